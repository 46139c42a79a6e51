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

/// Computes `drop(x)·Aᵀ`, `[n, r]`.
fn lowered(x: &CubeTensor, a: &CubeTensor, dropout: Dropout) -> CubeTensor {
    let ([n, size_in], [r, _]) = (dims(x), dims::<2>(a));
    let out = single(x, &[n, r]);
    Product::new((x, Row), (a, Row), [n, r, size_in]).masked(Masked::A, dropout).into(&out);
    out
}

/// Computes `dY·B`, `[n, r]`.
fn lowered_grad(grad: &CubeTensor, b: &CubeTensor) -> CubeTensor {
    let ([n, size_out], [_, r]) = (dims(grad), dims::<2>(b));
    let out = single(grad, &[n, r]);
    Product::new((grad, Row), (b, Column), [n, r, size_out]).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear`].
pub fn forward(
    x: CubeTensor,
    w: CubeTensor,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied(x, Weight::dense(w), a, b, scale, dropout)
}

/// WGSL path of [`crate::backend::KernelBackend::packed_lora_linear`].
pub fn packed_forward(
    x: CubeTensor,
    words: CubeTensor,
    form: PackedForm,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied(x, Weight::packed(words, form), a, b, scale, dropout)
}

fn applied(
    x: CubeTensor,
    w: Weight,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    let [x, a, b] = [x, a, b].map(into_contiguous);
    let ([n, _], [size_out, r]) = (dims(&x), dims::<2>(&b));
    let h = lowered(&x, &a, dropout);
    let out = empty(&x, &[n, size_out]);
    Product { scale, low_rank: Some((&h, &b, r)), ..w.applied(&x, n) }.into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear_backward_input`].
pub fn backward_input(
    grad: CubeTensor,
    w: CubeTensor,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied_back(grad, Weight::dense(w), a, b, scale, dropout)
}

/// WGSL path of [`crate::backend::KernelBackend::packed_lora_linear_backward_input`].
pub fn packed_backward_input(
    grad: CubeTensor,
    words: CubeTensor,
    form: PackedForm,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    applied_back(grad, Weight::packed(words, form), a, b, scale, dropout)
}

fn applied_back(
    grad: CubeTensor,
    w: Weight,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> CubeTensor {
    let [grad, a, b] = [grad, a, b].map(into_contiguous);
    let ([n, _], [r, size_in]) = (dims(&grad), dims::<2>(&a));
    let h = lowered_grad(&grad, &b);
    let out = empty(&grad, &[n, size_in]);
    let product = Product { scale, low_rank: Some((&h, &a, r)), ..w.applied_back(&grad, n) };
    product.masked(Masked::Low, dropout).into(&out);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::lora_linear_backward_adapter`].
pub fn backward_adapter(
    grad: CubeTensor,
    x: CubeTensor,
    a: CubeTensor,
    b: CubeTensor,
    scale: f32,
    dropout: Dropout,
) -> (CubeTensor, CubeTensor) {
    let [grad, x, a, b] = [grad, x, a, b].map(into_contiguous);
    let ([n, size_in], [size_out, r]) = (dims(&x), dims::<2>(&b));
    let (h, grad_h) = (lowered(&x, &a, dropout), lowered_grad(&grad, &b));
    let (grad_a, grad_b) = (empty(&a, &[r, size_in]), empty(&b, &[size_out, r]));
    let of_a = Product::new((&grad_h, Column), (&x, Column), [r, size_in, n]);
    Product { scale, ..of_a }.masked(Masked::B, dropout).into(&grad_a);
    let of_b = Product::new((&grad, Column), (&h, Column), [size_out, r, n]);
    Product { scale, ..of_b }.into(&grad_b);
    (grad_a, grad_b)
}
