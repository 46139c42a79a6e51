//! Frozen linear layer with a low-rank adapter, factored: neither `W + s·B·A` nor `dW` is ever formed.
//!
//! `x' = drop(x)` and `y = x·Wᵀ + s·(x'·Aᵀ)·Bᵀ`, hence `dX = dY·W + s·drop'((dY·B)·A)`, `dA = s·(dY·B)ᵀ·x'` and `dB = s·dYᵀ·(x'·Aᵀ)` (Hu et al.,
//! 2021, "LoRA"; the layer is PEFT's `lora.Linear`).

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

/// Computes `y`: `x [n, in]`, `w [out, in]`, `a [r, in]`, `b [out, r]` to `[n, out]`.
pub fn forward<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> FloatTensor<B> {
    let base = super::linear::forward::<B>(x.clone(), w);
    let hidden = super::linear::forward::<B>(dropped::<B>(x, dropout), a);
    let update = super::linear::forward::<B>(B::float_mul_scalar(hidden, scale.into()), b);
    let update = cast::<B>(update, kind::<B>(&base));
    B::float_add(base, update)
}

/// Computes `dX [n, in]`.
pub fn backward_input<B: Backend>(
    grad: FloatTensor<B>,
    w: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> FloatTensor<B> {
    let base = B::float_matmul(grad.clone(), w);
    let hidden = B::float_mul_scalar(B::float_matmul(single::<B>(grad), b), scale.into());
    let update = dropped::<B>(B::float_matmul(hidden, a), dropout);
    let update = cast::<B>(update, kind::<B>(&base));
    B::float_add(base, update)
}

/// Computes `(dA [r, in], dB [out, r])`.
pub fn backward_adapter<B: Backend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f32,
    dropout: Dropout,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (grad, x) = (single::<B>(grad), dropped::<B>(x, dropout));
    let grad_hidden = B::float_mul_scalar(B::float_matmul(grad.clone(), b), scale.into());
    let hidden = B::float_mul_scalar(super::linear::forward::<B>(x.clone(), a), scale.into());
    (B::float_matmul(transposed::<B>(grad_hidden), x), B::float_matmul(transposed::<B>(grad), hidden))
}
