//! Operations that work on elements, or pairs of them: rotation, the gate, the optimizer.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::launch::{Info, dims, each, empty, launch};
use crate::AdamWStep;

/// See [`crate::backend::KernelBackend::rope`].
pub fn rope(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, inverse: bool) -> CubeTensor {
    let [x, cos, sin] = [x, cos, sin].map(into_contiguous);
    let [batch, seq, heads, d] = dims(&x);
    let pairs = batch * seq * heads * d / 2;
    let out = empty(&x, &[batch, seq, heads, d]);
    let info = Info::default().count(pairs).count(heads).count(d / 2).float(if inverse { -1.0 } else { 1.0 });
    launch(Kernel::Rope, each(pairs), &[&x, &cos, &sin, &out], info);
    out
}

/// See [`crate::backend::KernelBackend::swiglu`].
pub fn swiglu(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [gate, up] = [gate, up].map(into_contiguous);
    let [n, size] = dims(&gate);
    let out = empty(&gate, &[n, size]);
    launch(Kernel::Swiglu, each(n * size), &[&gate, &up, &out], Info::default().count(n * size).count(0));
    out
}

/// See [`crate::backend::KernelBackend::swiglu_backward`].
pub fn swiglu_backward(grad: CubeTensor, gate: CubeTensor, up: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [grad, gate, up] = [grad, gate, up].map(into_contiguous);
    let [n, size] = dims(&gate);
    let (grad_gate, grad_up) = (empty(&gate, &[n, size]), empty(&up, &[n, size]));
    let info = Info::default().count(n * size).count(0);
    launch(Kernel::SwigluBackward, each(n * size), &[&grad, &gate, &up, &grad_gate, &grad_up], info);
    (grad_gate, grad_up)
}

/// See [`crate::backend::KernelBackend::adamw`].
pub fn adamw(
    theta: CubeTensor,
    m: CubeTensor,
    v: CubeTensor,
    grad: CubeTensor,
    step: AdamWStep,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [theta, m, v, grad] = [theta, m, v, grad].map(into_contiguous);
    let [count] = dims(&theta);
    let [new_theta, new_m, new_v] = std::array::from_fn(|_| empty(&theta, &[count]));
    let info = Info::default()
        .count(count)
        .float(step.keep())
        .float(step.rate())
        .float(step.inverse_root_correction2())
        .float(step.beta1 as f32)
        .float((1.0 - step.beta1) as f32)
        .float(step.beta2 as f32)
        .float((1.0 - step.beta2) as f32)
        .float(step.epsilon)
        .count(0);
    let tensors = [&theta, &m, &v, &grad, &new_theta, &new_m, &new_v];
    launch(Kernel::AdamW, each(count), &tensors, info);
    (new_theta, new_m, new_v)
}
