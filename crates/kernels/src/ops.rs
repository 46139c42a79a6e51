//! The operations as functions over burn tensors. [`crate::backend::KernelBackend`] documents each.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use crate::{AdamWStep, Dropout, PackedForm, backend::KernelBackend};

/// Computes a frozen or trainable linear layer without bias: `x [n, in]`, `w [out, in]` to `[n, out]`.
pub fn linear(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    let y = <Dispatch as KernelBackend>::linear(x.into_dispatch(), w.into_dispatch());
    Tensor::from_dispatch(y)
}

/// Computes a frozen linear layer with a low-rank adapter, `x·Wᵀ + scale·drop(x)·Aᵀ·Bᵀ`: `x [n, in]`, `w [out, in]`, `a [r, in]`, `b [out, r]` to
/// `[n, out]`. `w` gets no gradient.
pub fn lora_linear(
    x: Tensor<2>,
    w: Tensor<2>,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
    dropout: Dropout,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::lora_linear(
        x.into_dispatch(),
        w.into_dispatch(),
        a.into_dispatch(),
        b.into_dispatch(),
        scale,
        dropout,
    ))
}

/// Computes a frozen linear layer whose weight is packed: `x [n, in]` to `[n, out]`.
pub fn packed_linear(x: Tensor<2>, words: Tensor<1, Int>, form: PackedForm) -> Tensor<2> {
    let y = <Dispatch as KernelBackend>::packed_linear(x.into_dispatch(), words.into_dispatch(), form);
    Tensor::from_dispatch(y)
}

/// Computes [`lora_linear`] over a packed weight.
pub fn packed_lora_linear(
    x: Tensor<2>,
    words: Tensor<1, Int>,
    form: PackedForm,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
    dropout: Dropout,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::packed_lora_linear(
        x.into_dispatch(),
        words.into_dispatch(),
        form,
        a.into_dispatch(),
        b.into_dispatch(),
        scale,
        dropout,
    ))
}

/// Computes root-mean-square normalisation of `x [n, h]` with `weight [h]`.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let y = <Dispatch as KernelBackend>::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps);
    Tensor::from_dispatch(y)
}

/// Computes rotary position embedding of `x [batch, seq, heads, d]` by `cos`, `sin` `[batch, seq, d/2]`.
pub fn rope(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::rope(
        x.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        false,
    ))
}

/// Computes causal attention inside segments: `q [batch, seq, heads, d]`, `k`, `v` `[batch, seq, kv_heads, d]`, `segment_ids [batch, seq]` to
/// `[batch, seq, heads, d]`.
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    segment_ids: Tensor<2, Int>,
    scale: f32,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::attention(
        q.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        segment_ids.into_dispatch(),
        scale,
    ))
}

/// Computes `silu(gate)·up`.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    let y = <Dispatch as KernelBackend>::swiglu(gate.into_dispatch(), up.into_dispatch());
    Tensor::from_dispatch(y)
}

/// Computes cross entropy summed over tokens, `[1]`: `hidden [n, h]`, `head [vocab, h]`, `targets [n]` in `0..vocab`.
///
/// # Panics
///
/// If there is no token: a caller counts the tokens of the loss before dividing by their number.
pub fn cross_entropy(hidden: Tensor<2>, head: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    assert!(hidden.dims()[0] > 0, "cross_entropy of no tokens");
    Tensor::from_dispatch(<Dispatch as KernelBackend>::cross_entropy(
        hidden.into_dispatch(),
        head.into_dispatch(),
        targets.into_dispatch(),
    ))
}

/// Joins vectors, such as the gradients of a model, into one. Not differentiable. There is at least one.
pub fn concatenate(parts: Vec<Tensor<1>>) -> Tensor<1> {
    crate::gpu::concatenate(&parts).unwrap_or_else(|| Tensor::cat(parts, 0))
}

/// Returns `(θ, m, v)` after one step of AdamW over flat vectors `[n]`, outside any graph, for a gradient of global norm `norm [1]`.
pub fn adamw(
    theta: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    grad: Tensor<1>,
    norm: Tensor<1>,
    step: AdamWStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let (theta, m, v) = <Dispatch as KernelBackend>::adamw(
        theta.into_dispatch(),
        m.into_dispatch(),
        v.into_dispatch(),
        grad.into_dispatch(),
        norm.into_dispatch(),
        step,
    );
    (Tensor::from_dispatch(theta), Tensor::from_dispatch(m), Tensor::from_dispatch(v))
}
