//! Fast path of [`crate::portable::attention`]: one head and one block of queries at a time, so that only a block of scores exists and the half that
//! causality forbids is skipped.

use burn::backend::flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{
    dims, floats,
    gemm::{Threads, View, gemm},
    ints, math, tensor,
};

/// Queries in a block.
const BLOCK: usize = 64;

/// Positions of the heads in a call's slices.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    seq: usize,
    heads: usize,
    kv_heads: usize,
    d: usize,
}

impl Sizes {
    fn of(q: &FlexTensor, k: &FlexTensor) -> Self {
        let [batch, seq, heads, d] = dims(q);
        let [_, _, kv_heads, _] = dims(k);
        Self { batch, seq, heads, kv_heads, d }
    }

    /// Returns rows `from..to` of head `head` of `heads` in a `[batch, seq, heads, d]` slice.
    fn rows<'a>(
        &self,
        data: &'a [f32],
        heads: usize,
        (row, head): (usize, usize),
        (from, to): (usize, usize),
    ) -> View<'a> {
        let stride = heads * self.d;
        let offset = (row * self.seq + from) * stride + head * self.d;
        View::new(&data[offset..], to - from, self.d, stride)
    }

    /// Returns the key head of query head `head`.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    fn blocks(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.seq).step_by(BLOCK).map(move |from| (from, (from + BLOCK).min(self.seq)))
    }
}

/// Writes the probabilities of queries `from..to` over keys `0..to` into `scores`, with rows `to` elements apart.
fn probabilities(
    scores: &mut [f32],
    q: View<'_>,
    k: View<'_>,
    segments: &[i64],
    scale: f32,
    (from, to): (usize, usize),
) {
    gemm(scores, to, false, scale, q, k.t(), Threads::One);
    Arch::new().dispatch(|| {
        for (i, row) in scores.chunks_exact_mut(to).enumerate() {
            let query = from + i;
            let (seen, ahead) = row.split_at_mut(query + 1);
            ahead.fill(0.0);
            for (score, segment) in seen.iter_mut().zip(segments) {
                if *segment != segments[query] {
                    *score = f32::NEG_INFINITY;
                }
            }
            let max = math::max(seen);
            let inverse = 1.0 / math::exp_sum(seen, max);
            for p in seen {
                *p *= inverse;
            }
        }
    });
}

/// Rearranges `[batch, heads, seq, d]` to `[batch, seq, kv, d]`, adding up the `heads / kv` neighbours that share a key head.
fn gathered(by_head: &[f32], sizes: Sizes, kv: usize) -> FlexTensor {
    let Sizes { batch, seq, heads, d, .. } = sizes;
    let group = heads / kv;
    let mut out = vec![0f32; batch * seq * kv * d];
    out.par_chunks_mut(kv * d).enumerate().for_each(|(token, out)| {
        let (row, position) = (token / seq, token % seq);
        for head in 0..heads {
            let source = ((row * heads + head) * seq + position) * d;
            let target = head / group * d;
            for (out, value) in out[target..target + d].iter_mut().zip(&by_head[source..]) {
                *out += value;
            }
        }
    });
    tensor(out, [batch, seq, kv, d])
}

/// Computes attention: `q [batch, seq, heads, d]`, `k`, `v` `[batch, seq, kv_heads, d]`, `segment_ids [batch, seq]` to `[batch, seq, heads, d]`.
pub fn forward(
    q: FlexTensor,
    k: FlexTensor,
    v: FlexTensor,
    segment_ids: FlexTensor,
    scale: f32,
) -> FlexTensor {
    let sizes = Sizes::of(&q, &k);
    let Sizes { seq, heads, kv_heads, d, .. } = sizes;
    let (q, k, v, segments) = (floats(&q), floats(&k), floats(&v), ints(&segment_ids));
    let mut out = vec![0f32; q.len()];
    out.par_chunks_mut(seq * d).enumerate().for_each(|(task, out)| {
        let (row, head) = (task / heads, task % heads);
        let kv = sizes.kv_head(head);
        let segments = &segments[row * seq..(row + 1) * seq];
        let mut scores = vec![0f32; BLOCK.min(seq) * seq];
        for (from, to) in sizes.blocks() {
            let scores = &mut scores[..(to - from) * to];
            let q = sizes.rows(&q, heads, (row, head), (from, to));
            let k = sizes.rows(&k, kv_heads, (row, kv), (0, to));
            let v = sizes.rows(&v, kv_heads, (row, kv), (0, to));
            probabilities(scores, q, k, segments, scale, (from, to));
            let p = View::new(scores, to - from, to, to);
            gemm(&mut out[from * d..to * d], d, false, 1.0, p, v, Threads::One);
        }
    });
    gathered(&out, sizes, heads)
}

/// Returns `(dQ, dK, dV)` in the shapes of q, k and v.
pub fn backward(
    grad: FlexTensor,
    q: FlexTensor,
    k: FlexTensor,
    v: FlexTensor,
    segment_ids: FlexTensor,
    scale: f32,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let sizes = Sizes::of(&q, &k);
    let Sizes { seq, heads, kv_heads, d, .. } = sizes;
    let (q, k, v, segments) = (floats(&q), floats(&k), floats(&v), ints(&segment_ids));
    let grad = floats(&grad);
    let mut grad_q = vec![0f32; q.len()];
    // One pair for each query head: the heads of a group add to the same keys, from different threads.
    let mut grad_k = vec![0f32; q.len()];
    let mut grad_v = vec![0f32; q.len()];
    let tasks = grad_q
        .par_chunks_mut(seq * d)
        .zip(grad_k.par_chunks_mut(seq * d))
        .zip(grad_v.par_chunks_mut(seq * d))
        .enumerate();
    tasks.for_each(|(task, ((grad_q, grad_k), grad_v))| {
        let (row, head) = (task / heads, task % heads);
        let kv = sizes.kv_head(head);
        let segments = &segments[row * seq..(row + 1) * seq];
        let mut p = vec![0f32; BLOCK.min(seq) * seq];
        let mut grad_p = vec![0f32; BLOCK.min(seq) * seq];
        for (from, to) in sizes.blocks() {
            let rows = to - from;
            let (p, grad_p) = (&mut p[..rows * to], &mut grad_p[..rows * to]);
            let q = sizes.rows(&q, heads, (row, head), (from, to));
            let k = sizes.rows(&k, kv_heads, (row, kv), (0, to));
            let v = sizes.rows(&v, kv_heads, (row, kv), (0, to));
            let grad = sizes.rows(&grad, heads, (row, head), (from, to));
            probabilities(p, q, k, segments, scale, (from, to));
            let seen = View::new(p, rows, to, to);
            gemm(&mut grad_v[..to * d], d, true, 1.0, seen.t(), grad, Threads::One);
            gemm(grad_p, to, false, 1.0, grad, v.t(), Threads::One);
            Arch::new().dispatch(|| {
                for (grad_p, p) in grad_p.chunks_exact_mut(to).zip(p.chunks_exact(to)) {
                    let mean = math::dot(p, grad_p);
                    for (grad_p, p) in grad_p.iter_mut().zip(p) {
                        *grad_p = p * (*grad_p - mean);
                    }
                }
            });
            let grad_scores = View::new(grad_p, rows, to, to);
            gemm(&mut grad_q[from * d..to * d], d, false, scale, grad_scores, k, Threads::One);
            gemm(&mut grad_k[..to * d], d, true, scale, grad_scores.t(), q, Threads::One);
        }
    });
    (gathered(&grad_q, sizes, heads), gathered(&grad_k, sizes, kv_heads), gathered(&grad_v, sizes, kv_heads))
}
