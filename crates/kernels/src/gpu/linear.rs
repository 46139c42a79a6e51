//! Linear layers without an adapter.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Layout::Column;

use super::{
    launch::{dims, empty, single},
    matmul::{Product, Weight},
};
use crate::PackedForm;

/// WGSL path of [`crate::backend::KernelBackend::linear`]: `x·Wᵀ`.
pub fn forward(x: CubeTensor, w: CubeTensor) -> CubeTensor {
    applied(x, Weight::dense(w))
}

/// WGSL path of [`crate::backend::KernelBackend::packed_linear`].
pub fn packed_forward(x: CubeTensor, words: CubeTensor, form: PackedForm) -> CubeTensor {
    applied(x, Weight::packed(words, form))
}

/// WGSL path of [`crate::backend::KernelBackend::linear_backward_input`]: `dY·W`.
pub fn backward_input(grad: CubeTensor, w: CubeTensor) -> CubeTensor {
    applied_back(grad, Weight::dense(w))
}

/// WGSL path of [`crate::backend::KernelBackend::packed_linear_backward_input`].
pub fn packed_backward_input(grad: CubeTensor, words: CubeTensor, form: PackedForm) -> CubeTensor {
    applied_back(grad, Weight::packed(words, form))
}

fn applied(x: CubeTensor, w: Weight) -> CubeTensor {
    let x = into_contiguous(x);
    let [n, _] = dims(&x);
    let out = empty(&x, &[n, w.sizes[0]]);
    w.applied(&x, n).into(&out);
    out
}

fn applied_back(grad: CubeTensor, w: Weight) -> CubeTensor {
    let grad = into_contiguous(grad);
    let [n, _] = dims(&grad);
    let out = empty(&grad, &[n, w.sizes[1]]);
    w.applied_back(&grad, n).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::linear_backward_weight`]: `dYᵀ·X`.
pub fn backward_weight(grad: CubeTensor, x: CubeTensor) -> CubeTensor {
    let (grad, x) = (into_contiguous(grad), into_contiguous(x));
    let ([n, size_out], [_, size_in]) = (dims(&grad), dims::<2>(&x));
    let out = single(&grad, &[size_out, size_in]);
    Product::new((&grad, Column), (&x, Column), [size_out, size_in, n]).into(&out);
    out
}
