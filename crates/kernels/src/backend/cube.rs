//! Implementations of the operations on the CubeCL runtimes.

use burn::backend::{
    Cube,
    tensor::{FloatTensor, IntTensor},
};

use super::KernelBackend;
use crate::{AdamWStep, Dropout, PackedForm, gpu, portable};

/// Operations on the CubeCL runtimes: WGSL on wgpu where it can run, the portable bodies on CUDA and the others.
impl KernelBackend for Cube {
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        match gpu::takes(&[&x, &w], &[]) {
            true => gpu::linear::forward(x, w),
            false => portable::linear::forward::<Self>(x, w),
        }
    }

    fn linear_backward_input(grad: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        match gpu::takes(&[&grad, &w], &[]) {
            true => gpu::linear::backward_input(grad, w),
            false => portable::linear::backward_input::<Self>(grad, w),
        }
    }

    fn linear_backward_weight(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        match gpu::takes(&[], &[&grad, &x]) {
            true => gpu::linear::backward_weight(grad, x),
            false => portable::linear::backward_weight::<Self>(grad, x),
        }
    }

    fn lora_hidden(x: FloatTensor<Self>, a: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        match gpu::takes(&[&x], &[&a]) {
            true => gpu::lora_linear::hidden(x, a, dropout),
            false => portable::lora_linear::hidden::<Self>(x, a, dropout),
        }
    }

    fn lora_linear_from_hidden(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&x, &w], &[&hidden, &b]) {
            true => gpu::lora_linear::from_hidden(x, w, hidden, b, scale),
            false => portable::lora_linear::from_hidden::<Self>(x, w, hidden, b, scale),
        }
    }

    fn lora_hidden_backward(grad: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        match gpu::takes(&[&grad], &[&b]) {
            true => gpu::lora_linear::hidden_backward(grad, b),
            false => portable::lora_linear::hidden_backward::<Self>(grad, b),
        }
    }

    fn lora_linear_backward_input(
        grad: FloatTensor<Self>,
        w: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        a: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&grad, &w], &[&grad_hidden, &a]) {
            true => gpu::lora_linear::backward_input(grad, w, grad_hidden, a, scale, dropout),
            false => portable::lora_linear::backward_input::<Self>(grad, w, grad_hidden, a, scale, dropout),
        }
    }

    fn lora_linear_backward_adapter(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        grad_hidden: FloatTensor<Self>,
        scale: f32,
        dropout: Dropout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match gpu::takes(&[&grad, &x], &[&hidden, &grad_hidden]) {
            true => gpu::lora_linear::backward_adapter(grad, x, hidden, grad_hidden, scale, dropout),
            false => {
                portable::lora_linear::backward_adapter::<Self>(grad, x, hidden, grad_hidden, scale, dropout)
            }
        }
    }

    fn packed_linear(x: FloatTensor<Self>, words: IntTensor<Self>, form: PackedForm) -> FloatTensor<Self> {
        match gpu::takes(&[&x], &[]) && gpu::takes_ints(&words) {
            true => gpu::linear::packed_forward(x, words, form),
            false => portable::packed::forward::<Self>(x, words, form),
        }
    }

    fn packed_linear_backward_input(
        grad: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&grad], &[]) && gpu::takes_ints(&words) {
            true => gpu::linear::packed_backward_input(grad, words, form),
            false => portable::packed::backward_input::<Self>(grad, words, form),
        }
    }

    fn packed_lora_linear_from_hidden(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        form: PackedForm,
        hidden: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&x], &[&hidden, &b]) && gpu::takes_ints(&words) {
            true => gpu::lora_linear::packed_from_hidden(x, words, form, hidden, b, scale),
            false => portable::packed::from_hidden::<Self>(x, words, form, hidden, b, scale),
        }
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
        match gpu::takes(&[&grad], &[&grad_hidden, &a]) && gpu::takes_ints(&words) {
            true => {
                gpu::lora_linear::packed_backward_input(grad, words, form, grad_hidden, a, scale, dropout)
            }
            false => portable::packed::lora_backward_input::<Self>(
                grad,
                words,
                form,
                grad_hidden,
                a,
                scale,
                dropout,
            ),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        match gpu::takes(&[&x], &[]) && gpu::takes(&[&weight], &[]) {
            true => gpu::rms_norm::forward(x, weight, eps),
            false => portable::rms_norm::forward::<Self>(x, weight, eps),
        }
    }

    fn rms_norm_backward_input(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let takes = gpu::takes(&[&grad], &[]) && gpu::takes(&[&x], &[]) && gpu::takes(&[&weight], &[]);
        match takes {
            true => gpu::rms_norm::backward_input(grad, x, weight, eps),
            false => portable::rms_norm::backward_input::<Self>(grad, x, weight, eps),
        }
    }

    fn rope(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&x], &[&cos, &sin]) {
            true => gpu::pointwise::rope(x, cos, sin, inverse),
            false => portable::rope::rotate::<Self>(x, cos, sin, inverse),
        }
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&q, &k, &v], &[]) && gpu::takes_ints(&segment_ids) && gpu::attention::takes(&q) {
            true => gpu::attention::forward(q, k, v, segment_ids, scale),
            false => portable::attention::forward::<Self>(q, k, v, segment_ids, scale),
        }
    }

    fn attention_backward(
        grad: FloatTensor<Self>,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segment_ids: IntTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        match gpu::takes(&[&grad, &q, &k, &v], &[])
            && gpu::takes_ints(&segment_ids)
            && gpu::attention::takes(&q)
        {
            true => gpu::attention::backward(grad, q, k, v, segment_ids, scale),
            false => portable::attention::backward::<Self>(grad, q, k, v, segment_ids, scale),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match gpu::takes(&[&gate, &up], &[]) {
            true => gpu::pointwise::swiglu(gate, up),
            false => portable::swiglu::forward::<Self>(gate, up),
        }
    }

    fn swiglu_backward(
        grad: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match gpu::takes(&[&grad, &gate, &up], &[]) {
            true => gpu::pointwise::swiglu_backward(grad, gate, up),
            false => portable::swiglu::backward::<Self>(grad, gate, up),
        }
    }

    fn cross_entropy(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        match gpu::takes(&[&hidden, &head], &[]) && gpu::takes_ints(&targets) {
            true => gpu::cross_entropy::loss(hidden, head, targets),
            false => portable::cross_entropy::loss::<Self>(hidden, head, targets),
        }
    }

    fn cross_entropy_with_grad(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match gpu::takes(&[&hidden, &head], &[]) && gpu::takes_ints(&targets) {
            true => gpu::cross_entropy::loss_and_grad(hidden, head, targets),
            false => portable::cross_entropy::loss_and_grad::<Self>(hidden, head, targets),
        }
    }

    fn adamw(
        theta: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        match gpu::takes(&[], &[&theta, &m, &v, &grad, &norm]) {
            true => gpu::pointwise::adamw(theta, m, v, grad, norm, step),
            false => portable::adamw::step::<Self>(theta, m, v, grad, norm, step),
        }
    }
}
