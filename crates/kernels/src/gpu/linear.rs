//! Linear layers without an adapter.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Layout::{Column, Row};

use super::{
    launch::{dims, empty},
    matmul::Product,
};

/// `x·Wᵀ`: see [`crate::backend::KernelBackend::linear`].
pub fn forward(x: CubeTensor, w: CubeTensor) -> CubeTensor {
    let (x, w) = (into_contiguous(x), into_contiguous(w));
    let ([n, size_in], [size_out, _]) = (dims(&x), dims::<2>(&w));
    let out = empty(&x, &[n, size_out]);
    Product::new((&x, Row), (&w, Row), [n, size_out, size_in]).into(&out);
    out
}

/// `dY·W`.
pub fn backward_input(grad: CubeTensor, w: CubeTensor) -> CubeTensor {
    let (grad, w) = (into_contiguous(grad), into_contiguous(w));
    let ([n, size_out], [_, size_in]) = (dims(&grad), dims::<2>(&w));
    let out = empty(&grad, &[n, size_in]);
    Product::new((&grad, Row), (&w, Column), [n, size_in, size_out]).into(&out);
    out
}

/// `dYᵀ·X`.
pub fn backward_weight(grad: CubeTensor, x: CubeTensor) -> CubeTensor {
    let (grad, x) = (into_contiguous(grad), into_contiguous(x));
    let ([n, size_out], [_, size_in]) = (dims(&grad), dims::<2>(&x));
    let out = empty(&grad, &[size_out, size_in]);
    Product::new((&grad, Column), (&x, Column), [size_out, size_in, n]).into(&out);
    out
}
