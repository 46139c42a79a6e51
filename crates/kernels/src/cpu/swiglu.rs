//! Fast path of [`crate::portable::swiglu`]: one pass.

use burn::backend::flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{GRAIN, dims, floats, math, tensor};

/// Computes `silu(gate)·up`: `gate`, `up` `[n, f]` to `[n, f]`.
pub fn forward(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
    let shape: [usize; 2] = dims(&gate);
    let (gate, up) = (floats(&gate), floats(&up));
    let mut out = vec![0f32; gate.len()];
    let tasks = out.par_chunks_mut(GRAIN).zip(gate.par_chunks(GRAIN)).zip(up.par_chunks(GRAIN));
    tasks.for_each(|((out, gate), up)| {
        Arch::new().dispatch(|| {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * math::sigmoid(*gate) * up;
            }
        })
    });
    tensor(out, shape)
}

/// Computes `(dGate, dUp)`, each `[n, f]`.
pub fn backward(grad: FlexTensor, gate: FlexTensor, up: FlexTensor) -> (FlexTensor, FlexTensor) {
    let shape: [usize; 2] = dims(&gate);
    let (grad, gate, up) = (floats(&grad), floats(&gate), floats(&up));
    let mut grad_gate = vec![0f32; gate.len()];
    let mut grad_up = vec![0f32; gate.len()];
    let outputs = grad_gate.par_chunks_mut(GRAIN).zip(grad_up.par_chunks_mut(GRAIN));
    let inputs = grad.par_chunks(GRAIN).zip(gate.par_chunks(GRAIN)).zip(up.par_chunks(GRAIN));
    outputs.zip(inputs).for_each(|((grad_gate, grad_up), ((grad, gate), up))| {
        Arch::new().dispatch(|| {
            let outputs = grad_gate.iter_mut().zip(grad_up.iter_mut());
            let inputs = grad.iter().zip(gate).zip(up);
            for ((grad_gate, grad_up), ((g, gate), up)) in outputs.zip(inputs) {
                let sigmoid = math::sigmoid(*gate);
                *grad_up = g * gate * sigmoid;
                *grad_gate = g * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
            }
        })
    });
    (tensor(grad_gate, shape), tensor(grad_up, shape))
}
