//! Fast path of [`crate::portable::rope`], one position at a time.

use burn::backend::flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{dims, floats, rows_per_task, tensor};

/// Rotates `x [batch, seq, heads, d]` by `cos`, `sin` `[batch, seq, d/2]`.
pub fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor, inverse: bool) -> FlexTensor {
    let [batch, seq, heads, d] = dims(&x);
    let half = d / 2;
    let mut out = floats(&x).into_owned();
    let (cos, sin) = (floats(&cos), floats(&sin));
    let sign = if inverse { -1.0 } else { 1.0 };
    let width = heads * d;
    let rows = rows_per_task(width);
    let tasks =
        out.par_chunks_mut(rows * width).zip(cos.par_chunks(rows * half)).zip(sin.par_chunks(rows * half));
    tasks.for_each(|((out, cos), sin)| {
        Arch::new().dispatch(|| {
            let rows = out.chunks_exact_mut(width).zip(cos.chunks_exact(half)).zip(sin.chunks_exact(half));
            for ((row, cos), sin) in rows {
                for head in row.chunks_exact_mut(d) {
                    let (first, second) = head.split_at_mut(half);
                    let pairs = first.iter_mut().zip(second).zip(cos).zip(sin);
                    for (((first, second), cos), sin) in pairs {
                        let sin = sign * sin;
                        let (a, b) = (*first, *second);
                        *first = a * cos - b * sin;
                        *second = b * cos + a * sin;
                    }
                }
            }
        })
    });
    tensor(out, [batch, seq, heads, d])
}
