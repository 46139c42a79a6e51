//! Fast path of [`crate::portable::adamw`]: one pass, in place for vectors without another owner.

use burn::backend::flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{GRAIN, floats};
use crate::AdamWStep;

/// Returns `(θ, m, v)` after the step; all `[n]`.
pub fn step(
    theta: FlexTensor,
    m: FlexTensor,
    v: FlexTensor,
    grad: FlexTensor,
    norm: FlexTensor,
    step: AdamWStep,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let norm = floats(&norm)[0];
    if !norm.is_finite() {
        return (theta, m, v);
    }
    let (mut theta, mut m, mut v) = (owned(theta), owned(m), owned(v));
    let grad = floats(&grad);
    let clip = match step.max_grad_norm {
        0.0 => 1.0,
        max => (max / (norm * step.unscale + 1e-6)).min(1.0),
    };
    let factor = step.unscale * clip;
    let (keep, rate, root) = (step.keep(), step.rate(), step.inverse_root_correction2());
    let (beta1, beta2) = (step.beta1 as f32, step.beta2 as f32);
    let (new1, new2) = ((1.0 - step.beta1) as f32, (1.0 - step.beta2) as f32);
    let tasks = theta
        .storage_mut::<f32>()
        .par_chunks_mut(GRAIN)
        .zip(m.storage_mut::<f32>().par_chunks_mut(GRAIN))
        .zip(v.storage_mut::<f32>().par_chunks_mut(GRAIN))
        .zip(grad.par_chunks(GRAIN));
    tasks.for_each(|(((theta, m), v), grad)| {
        Arch::new().dispatch(|| {
            let elements = theta.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(grad);
            for (((theta, m), v), g) in elements {
                let g = g * factor;
                *m = *m * beta1 + g * new1;
                *v = *v * beta2 + g * g * new2;
                *theta = *theta * keep - rate * (*m / (v.sqrt() * root + step.epsilon));
            }
        })
    });
    (theta, m, v)
}

/// Returns the tensor in a storage that holds its elements and no others. It is not copied if that is so already: a second handle would force a copy
/// on writing.
fn owned(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.as_slice::<f32>().is_some_and(|slice| size_of_val(slice) == tensor.bytes().len());
    if whole { tensor } else { tensor.to_contiguous() }
}
