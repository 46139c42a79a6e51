//! A frozen linear layer with a low-rank adapter: the adapter's product is the base product's epilogue.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::{
    Layout::{Column, Row},
    Masked,
};

use super::{
    launch::{dims, empty, single},
    matmul::{Product, Weight},
};
use crate::{Dropout, PackedForm};

/// WGSL path of [`crate::backend::KernelBackend::lora_hidden`]: `drop(x)·Aᵀ`, `[n, r]`.
pub fn hidden(x: CubeTensor, a: CubeTensor, dropout: Dropout) -> CubeTensor {
    let [x, a] = [x, a].map(into_contiguous);
    let ([n, size_in], [r, _]) = (dims(&x), dims::<2>(&a));
    let out = single(&x, &[n, r]);
    Product::new((&x, Row), (&a, Row), [n, r, size_in]).masked(Masked::A, dropout).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_hidden_backward`]: `dY·B`, `[n, r]`.
pub fn hidden_backward(grad: CubeTensor, b: CubeTensor) -> CubeTensor {
    let [grad, b] = [grad, b].map(into_contiguous);
    let ([n, size_out], [_, r]) = (dims(&grad), dims::<2>(&b));
    let out = single(&grad, &[n, r]);
    Product::new((&grad, Row), (&b, Column), [n, r, size_out]).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear_from_hidden`].
pub fn from_hidden(
    x: CubeTensor,
    w: CubeTensor,
    hidden: CubeTensor,
    b: CubeTensor,
    scale: f32,
) -> CubeTensor {
    applied(x, Weight::dense(w), hidden, b, scale)
}

/// WGSL path of [`crate::backend::KernelBackend::packed_lora_linear_from_hidden`].
pub fn packed_from_hidden(
    x: CubeTensor,
    words: CubeTensor,
    form: PackedForm,
    hidden: CubeTensor,
    b: CubeTensor,
    scale: f32,
) -> CubeTensor {
    applied(x, Weight::packed(words, form), hidden, b, scale)
}

fn applied(x: CubeTensor, w: Weight, hidden: CubeTensor, b: CubeTensor, scale: f32) -> CubeTensor {
    let [x, hidden, b] = [x, hidden, b].map(into_contiguous);
    let ([n, _], [size_out, r]) = (dims(&x), dims::<2>(&b));
    let out = empty(&x, &[n, size_out]);
    Product { scale, low_rank: Some((&hidden, &b, r)), ..w.applied(&x, n) }.into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear_backward_input`].
pub fn backward_input(
    grad: CubeTensor,
    w: CubeTensor,
    grad_hidden: CubeTensor,
    a: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied_back(grad, Weight::dense(w), grad_hidden, a, scale, dropout)
}

/// WGSL path of [`crate::backend::KernelBackend::packed_lora_linear_backward_input`].
pub fn packed_backward_input(
    grad: CubeTensor,
    words: CubeTensor,
    form: PackedForm,
    grad_hidden: CubeTensor,
    a: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied_back(grad, Weight::packed(words, form), grad_hidden, a, scale, dropout)
}

fn applied_back(
    grad: CubeTensor,
    w: Weight,
    grad_hidden: CubeTensor,
    a: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    let [grad, grad_hidden, a] = [grad, grad_hidden, a].map(into_contiguous);
    let ([n, _], [r, size_in]) = (dims(&grad), dims::<2>(&a));
    let out = empty(&grad, &[n, size_in]);
    let product = Product { scale, low_rank: Some((&grad_hidden, &a, r)), ..w.applied_back(&grad, n) };
    product.masked(Masked::Low, dropout).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear_backward_adapter`].
pub fn backward_adapter(
    grad: CubeTensor,
    x: CubeTensor,
    hidden: CubeTensor,
    grad_hidden: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> (CubeTensor, CubeTensor) {
    let [grad, x, hidden, grad_hidden] = [grad, x, hidden, grad_hidden].map(into_contiguous);
    let ([n, size_in], [_, size_out], [_, r]) = (dims(&x), dims::<2>(&grad), dims::<2>(&hidden));
    let (grad_a, grad_b) = (single(&x, &[r, size_in]), single(&x, &[size_out, r]));
    let of_a = Product::new((&grad_hidden, Column), (&x, Column), [r, size_in, n]);
    Product { scale, ..of_a }.masked(Masked::B, dropout).into(&grad_a);
    let of_b = Product::new((&grad, Column), (&hidden, Column), [size_out, r, n]);
    Product { scale, ..of_b }.into(&grad_b);
    (grad_a, grad_b)
}
