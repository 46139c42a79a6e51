//! The activation of Llama's MLP, `silu(gate)·up` (Shazeer, 2020).
//!
//! `σ = sigmoid(gate)`, hence `dUp = g·gate·σ` and `dGate = g·up·σ·(1 + gate·(1 - σ))`.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{cast, kind, single};

/// Computes `silu(gate)·up`; `gate`, `up` and the result have one shape.
pub fn forward<B: Backend>(gate: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    let kind = kind::<B>(&gate);
    let (gate, up) = (single::<B>(gate), single::<B>(up));
    let sigmoid = B::sigmoid(gate.clone());
    cast::<B>(B::float_mul(B::float_mul(gate, sigmoid), up), kind)
}

/// Computes `(dGate, dUp)`.
pub fn backward<B: Backend>(
    grad: FloatTensor<B>,
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let kind = kind::<B>(&gate);
    let (grad, gate, up) = (single::<B>(grad), single::<B>(gate), single::<B>(up));
    let sigmoid = B::sigmoid(gate.clone());
    let silu = B::float_mul(gate.clone(), sigmoid.clone());
    let complement = B::float_add_scalar(B::float_neg(sigmoid.clone()), 1f32.into());
    let slope = B::float_mul(sigmoid, B::float_add_scalar(B::float_mul(gate, complement), 1f32.into()));
    let grad_gate = B::float_mul(B::float_mul(grad.clone(), up), slope);
    (cast::<B>(grad_gate, kind), cast::<B>(B::float_mul(grad, silu), kind))
}
