//! Fast path of [`crate::portable::rms_norm`], one row at a time.

use burn::backend::flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{dims, floats, math, rows_per_task, tensor};

/// Normalises `x [n, h]` with `weight [h]` to `[n, h]`.
pub fn forward(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
    let [n, h] = dims(&x);
    let (x, weight) = (floats(&x), floats(&weight));
    let mut out = vec![0f32; n * h];
    let block = rows_per_task(h) * h;
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
        Arch::new().dispatch(|| {
            for (out, x) in out.chunks_exact_mut(h).zip(x.chunks_exact(h)) {
                let scale = 1.0 / (math::dot(x, x) / h as f32 + eps).sqrt();
                for ((out, x), w) in out.iter_mut().zip(x).zip(weight.iter()) {
                    *out = x * scale * w;
                }
            }
        })
    });
    tensor(out, [n, h])
}

/// Computes `dX [n, h]`.
pub fn backward_input(grad: FlexTensor, x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
    let [n, h] = dims(&x);
    let (grad, x, weight) = (floats(&grad), floats(&x), floats(&weight));
    let mut out = vec![0f32; n * h];
    let block = rows_per_task(h) * h;
    let rows = out.par_chunks_mut(block).zip(x.par_chunks(block)).zip(grad.par_chunks(block));
    rows.for_each(|((out, x), grad)| {
        Arch::new().dispatch(|| {
            let rows = out.chunks_exact_mut(h).zip(x.chunks_exact(h)).zip(grad.chunks_exact(h));
            for ((out, x), grad) in rows {
                let scale = 1.0 / (math::dot(x, x) / h as f32 + eps).sqrt();
                let mean = math::dot3(grad, &weight, x) / h as f32;
                let along = mean * scale * scale;
                for (((out, x), g), w) in out.iter_mut().zip(x).zip(grad).zip(weight.iter()) {
                    *out = (g * w - x * along) * scale;
                }
            }
        })
    });
    tensor(out, [n, h])
}
