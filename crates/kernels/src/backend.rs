//! The trait that a backend implements to run Lorelei's operations.
//!
//! Every method has a portable body of plain burn operations, which is right on every backend and is the oracle of the tests. A backend with a faster
//! implementation overrides it: burn-flex with [`crate::cpu`], the CubeCL runtimes with [`crate::gpu`]. Backward passes are methods too, so that a
//! fast path may implement both halves; the autodiff wiring in [`crate::autodiff`] only decides which halves run.

use burn::backend::{
    Backend, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

use crate::{AdamWStep, Dropout, PackedForm, portable};

mod cube;
mod flex;

/// The operations of a decoder with low-rank adapters, forward and backward.
///
/// Floats are `f32`, except in mixed precision. There the frozen weights and the tensors between layers (`x`, `w`, `q`, `k`, `v`, `gate`, `up`, and
/// results) are of one half type, unless a method's documentation differs; adapters, angles and losses are `f32`, and sums are computed in `f32`
/// everywhere. `n` is the number of tokens (`batch * seq`), `h` the hidden size, `r` the rank of an adapter.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait KernelBackend: Backend {
    /// Computes `y = x·Wᵀ`: `x [n, in]`, `w [out, in]` to `[n, out]`.
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::linear::forward::<Self>(x, w)
    }

    /// Computes `dX = dY·W`: `grad [n, out]`, `w [out, in]` to `[n, in]`.
    fn linear_backward_input(grad: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::linear::backward_input::<Self>(grad, w)
    }

    /// Computes `dW = dYᵀ·X`: `grad [n, out]`, `x [n, in]` to `[out, in]`. Only full fine-tuning needs it.
    fn linear_backward_weight(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::linear::backward_weight::<Self>(grad, x)
    }

    /// Computes `y = x·Wᵀ + s·drop(x)·Aᵀ·Bᵀ`: `x [n, in]`, `w [out, in]`, `a [r, in]`, `b [out, r]` to `[n, out]`. It consists of
    /// [`Self::lora_hidden`] and [`Self::lora_linear_from_hidden`], between which the backward pass keeps the hidden values.
    fn lora_linear(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        let hidden = Self::lora_hidden(x.clone(), a, dropout);
        Self::lora_linear_from_hidden(x, w, hidden, b, scale)
    }

    /// Computes the hidden values of an adapter, `H = drop(x)·Aᵀ`: `x [n, in]`, `a [r, in]` to `[n, r]`, `f32`.
    fn lora_hidden(x: FloatTensor<Self>, a: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        portable::lora_linear::hidden::<Self>(x, a, dropout)
    }

    /// Computes `y = x·Wᵀ + s·H·Bᵀ`: `x [n, in]`, `w [out, in]`, `hidden [n, r]`, `b [out, r]` to `[n, out]`.
    fn lora_linear_from_hidden(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        portable::lora_linear::from_hidden::<Self>(x, w, hidden, b, scale)
    }

    /// Computes `dH = dY·B`, which both gradients below share, without the scale: `grad [n, out]`, `b [out, r]` to `[n, r]`, `f32`.
    fn lora_hidden_backward(grad: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::lora_linear::hidden_backward::<Self>(grad, b)
    }

    /// Computes `dX = dY·W + s·drop'(dH·A)`, without forming `W + s·B·A`.
    fn lora_linear_backward_input(
        grad: FloatTensor<Self>,
        w: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        a: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        portable::lora_linear::backward_input::<Self>(grad, w, grad_hidden, a, scale, dropout)
    }

    /// Computes `dA = s·dHᵀ·drop(x)` `[r, in]` and `dB = s·dYᵀ·H` `[out, r]`, without forming `dW`.
    fn lora_linear_backward_adapter(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::lora_linear::backward_adapter::<Self>(grad, x, hidden, grad_hidden, scale, dropout)
    }

    /// Computes [`Self::linear`] with a packed weight, whose `words` are laid out as [`PackedForm`] describes.
    fn packed_linear(x: FloatTensor<Self>, words: IntTensor<Self>, form: PackedForm) -> FloatTensor<Self> {
        portable::packed::forward::<Self>(x, words, form)
    }

    /// Computes [`Self::linear_backward_input`] with a packed weight.
    fn packed_linear_backward_input(
        grad: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
    ) -> FloatTensor<Self> {
        portable::packed::backward_input::<Self>(grad, words, form)
    }

    /// Computes [`Self::lora_linear`] with a packed weight.
    fn packed_lora_linear(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        let hidden = Self::lora_hidden(x.clone(), a, dropout);
        Self::packed_lora_linear_from_hidden(x, words, form, hidden, b, scale)
    }

    /// Computes [`Self::lora_linear_from_hidden`] with a packed weight.
    fn packed_lora_linear_from_hidden(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        portable::packed::from_hidden::<Self>(x, words, form, hidden, b, scale)
    }

    /// Computes [`Self::lora_linear_backward_input`] with a packed weight.
    fn packed_lora_linear_backward_input(
        grad: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        grad_hidden: FloatTensor<Self>,
        a: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        portable::packed::lora_backward_input::<Self>(grad, words, form, grad_hidden, a, scale, dropout)
    }

    /// Computes `y = x / sqrt(mean(x²) + eps) · weight` over the last dimension: `x [n, h]`, `weight [h]`. `x` and `weight` may differ in type: `y`
    /// has the type of `weight`, and the gradient of `x` has the type of `x`. So the residual stream stays `f32` in mixed precision.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        portable::rms_norm::forward::<Self>(x, weight, eps)
    }

    /// Computes `dX` of [`Self::rms_norm`], `[n, h]`.
    fn rms_norm_backward_input(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        portable::rms_norm::backward_input::<Self>(grad, x, weight, eps)
    }

    /// Computes `dWeight` of [`Self::rms_norm`], `[h]`. Only full fine-tuning needs it.
    fn rms_norm_backward_weight(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        portable::rms_norm::backward_weight::<Self>(grad, x, eps)
    }

    /// Rotates the halves of each head (`rotate_half`, in Hugging Face's layout of q and k): `x [batch, seq, heads, d]`, `cos` and `sin`
    /// `[batch, seq, d/2]`. `inverse` rotates back, which is also the backward pass.
    fn rope(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self> {
        portable::rope::rotate::<Self>(x, cos, sin, inverse)
    }

    /// Computes causal attention inside segments: `q [batch, seq, heads, d]`, `k`, `v` `[batch, seq, kv_heads, d]`, `segment_ids [batch, seq]` to
    /// `[batch, seq, heads, d]`. Query head `i` reads key head `i / (heads / kv_heads)`; a query sees the keys of its own segment id at its own
    /// position or before.
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        portable::attention::forward::<Self>(q, k, v, segment_ids, scale)
    }

    /// Computes `(dQ, dK, dV)` of [`Self::attention`]. The probabilities are recomputed, not saved.
    fn attention_backward(
        grad: FloatTensor<Self>,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::attention::backward::<Self>(grad, q, k, v, segment_ids, scale)
    }

    /// Computes `silu(gate) · up`, element by element.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::swiglu::forward::<Self>(gate, up)
    }

    /// Computes `(dGate, dUp)` of [`Self::swiglu`].
    fn swiglu_backward(
        grad: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::swiglu::backward::<Self>(grad, gate, up)
    }

    /// Computes the sum over tokens of `logsumexp(h·Wᵀ) - (h·Wᵀ)[target]`, `[1]`: `hidden [n, h]`, `head [vocab, h]`, `targets [n]`. The loss and the
    /// gradient of `hidden` are `f32`. The tokens are processed in chunks, so that `[n, vocab]` never exists.
    fn cross_entropy(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::cross_entropy::loss::<Self>(hidden, head, targets)
    }

    /// Computes [`Self::cross_entropy`] and its gradient `dHidden [n, h]` in one pass over the chunks: both use the same logits of a chunk.
    fn cross_entropy_with_grad(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::cross_entropy::loss_and_grad::<Self>(hidden, head, targets)
    }

    /// Computes [`Self::cross_entropy_with_grad`] and `dHead [vocab, h]`. Only full fine-tuning needs it.
    fn cross_entropy_with_grads(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::cross_entropy::loss_and_grads::<Self>(hidden, head, targets)
    }

    /// Returns `(θ, m, v)` after one step of AdamW over flat vectors `[n]`. The gradient, whose global norm is `norm [1]`, is first unscaled and
    /// clipped by that norm. If the norm is not finite, nothing changes. Not differentiable.
    fn adamw(
        theta: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::adamw::step::<Self>(theta, m, v, grad, norm, step)
    }
}
