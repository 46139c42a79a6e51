//! Root-mean-square normalisation (Zhang and Sennrich, 2019), computed as in `LlamaRMSNorm`.
//!
//! `s = 1 / sqrt(mean(x²) + eps)` for each row, and `y = x·s·w`, hence `dX = s·(g·w - x·s²·mean(g·w·x))` and `dW = Σ g·x·s`.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{cast, dims, kind, reshape, single};

/// Computes `1 / sqrt(mean(x²) + eps)`, `[n, 1]`.
fn inverse_rms<B: Backend>(x: FloatTensor<B>, eps: f32) -> FloatTensor<B> {
    let mean = B::float_mean_dim(B::float_mul(x.clone(), x), 1);
    B::float_recip(B::float_sqrt(B::float_add_scalar(mean, eps.into())))
}

fn as_row<B: Backend>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let size = dims::<B>(&weight)[0];
    reshape::<B>(single::<B>(weight), &[1, size])
}

/// Normalises `x [n, h]` with `weight [h]` to `[n, h]`.
pub fn forward<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, eps: f32) -> FloatTensor<B> {
    let (x, kind) = (single::<B>(x), kind::<B>(&weight));
    let scale = inverse_rms::<B>(x.clone(), eps);
    cast::<B>(B::float_mul(B::float_mul(x, scale), as_row::<B>(weight)), kind)
}

/// Computes `dX [n, h]`.
pub fn backward_input<B: Backend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    eps: f32,
) -> FloatTensor<B> {
    let kind = kind::<B>(&x);
    let (grad, x) = (single::<B>(grad), single::<B>(x));
    let scale = inverse_rms::<B>(x.clone(), eps);
    let weighted = B::float_mul(grad, as_row::<B>(weight));
    let mean = B::float_mean_dim(B::float_mul(weighted.clone(), x.clone()), 1);
    let along = B::float_mul(mean, B::float_mul(scale.clone(), scale.clone()));
    cast::<B>(B::float_mul(B::float_sub(weighted, B::float_mul(x, along)), scale), kind)
}

/// Computes `dWeight [h]`.
pub fn backward_weight<B: Backend>(grad: FloatTensor<B>, x: FloatTensor<B>, eps: f32) -> FloatTensor<B> {
    let size = dims::<B>(&x)[1];
    let scale = inverse_rms::<B>(x.clone(), eps);
    let per_row = B::float_mul(grad, B::float_mul(x, scale));
    reshape::<B>(B::float_sum_dim(per_row, 0), &[size])
}
