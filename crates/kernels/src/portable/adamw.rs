//! One step of AdamW (Loshchilov and Hutter, 2019) as `torch.optim.AdamW` takes it, over one flat vector.
//!
//! `θ ← θ·(1 - lr·λ)`, `m ← β₁m + (1-β₁)g`, `v ← β₂v + (1-β₂)g²`, `θ ← θ - lr/(1-β₁ᵗ) · m / (sqrt(v)/sqrt(1-β₂ᵗ) + ε)`.

use burn::backend::{Backend, tensor::FloatTensor};

use crate::AdamWStep;

/// `(θ, m, v)` after the step; all `[n]`.
pub fn step<B: Backend>(
    theta: FloatTensor<B>,
    m: FloatTensor<B>,
    v: FloatTensor<B>,
    grad: FloatTensor<B>,
    step: AdamWStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let AdamWStep { beta1, beta2, epsilon, .. } = step;
    let theta = B::float_mul_scalar(theta, step.keep().into());
    let blend = |old, new, beta: f64| {
        B::float_add(
            B::float_mul_scalar(old, (beta as f32).into()),
            B::float_mul_scalar(new, ((1.0 - beta) as f32).into()),
        )
    };
    let v = blend(v, B::float_mul(grad.clone(), grad.clone()), beta2);
    let m = blend(m, grad, beta1);
    let root = B::float_mul_scalar(B::float_sqrt(v.clone()), step.inverse_root_correction2().into());
    let update = B::float_div(m.clone(), B::float_add_scalar(root, epsilon.into()));
    let theta = B::float_sub(theta, B::float_mul_scalar(update, step.rate().into()));
    (theta, m, v)
}
