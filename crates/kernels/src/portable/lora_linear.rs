//! Frozen linear layer with a low-rank adapter, factored: neither `W + s·B·A` nor `dW` is ever formed.
//!
//! `x' = drop(x)`, `H = x'·Aᵀ` and `y = x·Wᵀ + s·H·Bᵀ`, hence with `dH = dY·B`: `dX = dY·W + s·drop'(dH·A)`, `dA = s·dHᵀ·x'` and `dB = s·dYᵀ·H`
//! (Hu et al., 2021, "LoRA"; the layer is PEFT's `lora.Linear`).

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::TensorData;

use super::{cast, dims, kind, single, transposed};
use crate::Dropout;

/// Applies dropout, in single floats.
fn dropped<B: Backend>(x: FloatTensor<B>, dropout: Dropout) -> FloatTensor<B> {
    let x = single::<B>(x);
    if dropout.is_none() {
        return x;
    }
    let shape = dims::<B>(&x);
    let mask = dropout.mask(shape.iter().product());
    let mask = B::float_from_data(TensorData::new(mask, shape), &x.device());
    B::float_mul(x, mask)
}

/// Computes `H = drop(x)·Aᵀ`: `x [n, in]`, `a [r, in]` to `[n, r]`, in single floats.
pub fn hidden<B: Backend>(x: FloatTensor<B>, a: FloatTensor<B>, dropout: Dropout) -> FloatTensor<B> {
    super::linear::forward::<B>(dropped::<B>(x, dropout), a)
}

/// Computes `y`: `x [n, in]`, `w [out, in]`, `hidden [n, r]`, `b [out, r]` to `[n, out]`.
pub fn from_hidden<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    hidden: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f32,
) -> FloatTensor<B> {
    let base = super::linear::forward::<B>(x, w);
    let update = super::linear::forward::<B>(B::float_mul_scalar(hidden, scale.into()), b);
    let update = cast::<B>(update, kind::<B>(&base));
    B::float_add(base, update)
}

/// Computes `dH = dY·B`: `grad [n, out]`, `b [out, r]` to `[n, r]`, in single floats.
pub fn hidden_backward<B: Backend>(grad: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(single::<B>(grad), b)
}

/// Computes `dX [n, in]`.
pub fn backward_input<B: Backend>(
    grad: FloatTensor<B>,
    w: FloatTensor<B>,
    grad_hidden: FloatTensor<B>,
    a: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> FloatTensor<B> {
    let base = B::float_matmul(grad, w);
    let grad_hidden = B::float_mul_scalar(grad_hidden, scale.into());
    let update = dropped::<B>(B::float_matmul(grad_hidden, a), dropout);
    let update = cast::<B>(update, kind::<B>(&base));
    B::float_add(base, update)
}

/// Computes `(dA [r, in], dB [out, r])`.
pub fn backward_adapter<B: Backend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
    hidden: FloatTensor<B>,
    grad_hidden: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (grad, x) = (single::<B>(grad), dropped::<B>(x, dropout));
    let [hidden, grad_hidden] = [hidden, grad_hidden].map(|h| B::float_mul_scalar(h, scale.into()));
    (B::float_matmul(transposed::<B>(grad_hidden), x), B::float_matmul(transposed::<B>(grad), hidden))
}
