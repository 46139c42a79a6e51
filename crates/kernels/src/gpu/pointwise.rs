//! Operations that work on elements, or pairs of them: rotation, the gate, the optimizer.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::launch::{Info, dims, each, empty, launch, stored};
use crate::AdamWStep;

/// WGSL path of [`crate::backend::KernelBackend::rope`].
pub fn rope(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, inverse: bool) -> CubeTensor {
    let [x, cos, sin] = [x, cos, sin].map(into_contiguous);
    let [batch, seq, heads, d] = dims(&x);
    let pairs = batch * seq * heads * d / 2;
    let out = empty(&x, &[batch, seq, heads, d]);
    let info = Info::default().count(pairs).count(heads).count(d / 2).float(if inverse { -1.0 } else { 1.0 });
    launch(Kernel::Rope { x: stored(&x) }, each(pairs), &[&x, &cos, &sin, &out], info);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::swiglu`].
pub fn swiglu(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [gate, up] = [gate, up].map(into_contiguous);
    let [n, size] = dims(&gate);
    let out = empty(&gate, &[n, size]);
    let info = Info::default().count(n * size).count(0);
    launch(Kernel::Swiglu { x: stored(&gate) }, each(n * size), &[&gate, &up, &out], info);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::swiglu_backward`].
pub fn swiglu_backward(grad: CubeTensor, gate: CubeTensor, up: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [grad, gate, up] = [grad, gate, up].map(into_contiguous);
    let [n, size] = dims(&gate);
    let (grad_gate, grad_up) = (empty(&gate, &[n, size]), empty(&up, &[n, size]));
    let info = Info::default().count(n * size).count(0);
    let kernel = Kernel::SwigluBackward { x: stored(&gate) };
    launch(kernel, each(n * size), &[&grad, &gate, &up, &grad_gate, &grad_up], info);
    (grad_gate, grad_up)
}

/// WGSL path of [`crate::backend::KernelBackend::adamw`].
pub fn adamw(
    theta: CubeTensor,
    m: CubeTensor,
    v: CubeTensor,
    grad: CubeTensor,
    norm: CubeTensor,
    step: AdamWStep,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    // A tensor with another owner is copied: the kernel works in place.
    let own = |tensor: CubeTensor| {
        let tensor = into_contiguous(tensor);
        if tensor.can_mut() { tensor } else { tensor.copy() }
    };
    let [theta, m, v] = [theta, m, v].map(own);
    let [grad, norm] = [grad, norm].map(into_contiguous);
    let [count] = dims(&theta);
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
        .float(step.unscale)
        .float(step.max_grad_norm)
        .count(0);
    launch(Kernel::AdamW, each(count), &[&theta, &m, &v, &grad, &norm], info);
    (theta, m, v)
}
