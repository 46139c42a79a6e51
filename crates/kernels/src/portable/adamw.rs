//! One step of AdamW (Loshchilov and Hutter, 2019) as `torch.optim.AdamW` takes it, over one flat vector, after unscaling and
//! `torch.nn.utils.clip_grad_norm_`.
//!
//! `N` is the norm of the gradient before unscaling. `g ← g·unscale·min(1, max_norm / (N·unscale + 1e-6))`, `θ ← θ·(1 - lr·λ)`, `m ← β₁m + (1-β₁)g`,
//! `v ← β₂v + (1-β₂)g²`, `θ ← θ - lr/(1-β₁ᵗ) · m / (sqrt(v)/sqrt(1-β₂ᵗ) + ε)`. If `N` is not finite, nothing changes.

use burn::backend::{Backend, TensorMetadata, get_device_settings, tensor::FloatTensor};

use crate::AdamWStep;

/// Computes `unscale·min(1, max_norm / (N·unscale + 1e-6))`, `[1]`.
fn factor<B: Backend>(norm: FloatTensor<B>, step: AdamWStep) -> FloatTensor<B> {
    let AdamWStep { unscale, max_grad_norm, .. } = step;
    if max_grad_norm <= 0.0 {
        return B::float_add_scalar(B::float_mul_scalar(norm, 0f32.into()), unscale.into());
    }
    let norm = B::float_add_scalar(B::float_mul_scalar(norm, unscale.into()), 1e-6f32.into());
    let clip =
        B::float_clamp_max(B::float_mul_scalar(B::float_recip(norm), max_grad_norm.into()), 1f32.into());
    B::float_mul_scalar(clip, unscale.into())
}

/// Returns `(θ, m, v)` after the step; all `[n]`, `norm [1]`.
pub fn step<B: Backend>(
    theta: FloatTensor<B>,
    m: FloatTensor<B>,
    v: FloatTensor<B>,
    grad: FloatTensor<B>,
    norm: FloatTensor<B>,
    step: AdamWStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let AdamWStep { beta1, beta2, epsilon, .. } = step;
    let before = [&theta, &m, &v].map(FloatTensor::<B>::clone);
    let bool_dtype = get_device_settings::<B>(&norm.device()).bool_dtype;
    // A finite number times zero is zero; the others become NaN.
    let bad = B::float_is_nan(B::float_mul_scalar(norm.clone(), 0f32.into()), bool_dtype);
    let bad = B::bool_expand(bad, theta.shape());
    let grad = B::float_mul(grad, factor::<B>(norm, step));
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
    let [old_theta, old_m, old_v] = before;
    let kept = |new, old| B::float_mask_where(new, bad.clone(), old);
    (kept(theta, old_theta), kept(m, old_m), kept(v, old_v))
}
