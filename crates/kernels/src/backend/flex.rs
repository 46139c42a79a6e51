//! Implementations of the operations on the CPU.

use burn::backend::{
    Flex,
    tensor::{FloatTensor, IntTensor},
};

use super::KernelBackend;
use crate::{AdamWStep, Dropout, PackedForm, cpu};

/// Operations on the CPU: loops over slices around one matrix product.
impl KernelBackend for Flex {
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::linear::forward(x, w)
    }

    fn linear_backward_input(grad: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::linear::backward_input(grad, w)
    }

    fn linear_backward_weight(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::linear::backward_weight(grad, x)
    }

    fn lora_hidden(x: FloatTensor<Self>, a: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        cpu::lora_linear::hidden(x, a, dropout)
    }

    fn lora_linear_from_hidden(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        cpu::lora_linear::from_hidden(x, w, hidden, b, scale)
    }

    fn lora_hidden_backward(grad: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::lora_linear::hidden_backward(grad, b)
    }

    fn lora_linear_backward_input(
        grad: FloatTensor<Self>,
        w: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        a: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        cpu::lora_linear::backward_input(grad, w, grad_hidden, a, scale, dropout)
    }

    fn lora_linear_backward_adapter(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cpu::lora_linear::backward_adapter(grad, x, hidden, grad_hidden, scale, dropout)
    }

    fn packed_linear(x: FloatTensor<Self>, words: IntTensor<Self>, form: PackedForm) -> FloatTensor<Self> {
        cpu::packed::forward(x, words, form)
    }

    fn packed_linear_backward_input(
        grad: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
    ) -> FloatTensor<Self> {
        cpu::packed::backward_input(grad, words, form)
    }

    fn packed_lora_linear_from_hidden(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        cpu::packed::from_hidden(x, words, form, hidden, b, scale)
    }

    fn packed_lora_linear_backward_input(
        grad: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        grad_hidden: FloatTensor<Self>,
        a: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        cpu::packed::lora_backward_input(grad, words, form, grad_hidden, a, scale, dropout)
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        cpu::rms_norm::forward(x, weight, eps)
    }

    fn rms_norm_backward_input(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        cpu::rms_norm::backward_input(grad, x, weight, eps)
    }

    fn rope(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self> {
        cpu::rope::rotate(x, cos, sin, inverse)
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        cpu::attention::forward(q, k, v, segment_ids, scale)
    }

    fn attention_backward(
        grad: FloatTensor<Self>,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        cpu::attention::backward(grad, q, k, v, segment_ids, scale)
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::swiglu::forward(gate, up)
    }

    fn swiglu_backward(
        grad: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cpu::swiglu::backward(grad, gate, up)
    }

    fn cross_entropy(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        cpu::cross_entropy::loss(hidden, head, targets)
    }

    fn cross_entropy_with_grad(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cpu::cross_entropy::loss_and_grad(hidden, head, targets)
    }

    fn cross_entropy_with_grads(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        cpu::cross_entropy::loss_and_grads(hidden, head, targets)
    }

    fn adamw(
        theta: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        cpu::adamw::step(theta, m, v, grad, norm, step)
    }
}
