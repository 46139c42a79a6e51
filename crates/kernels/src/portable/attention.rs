//! Scaled dot-product attention, causal inside segments, with grouped key heads.
//!
//! `P = softmax(s·Q·Kᵀ + mask)` and `O = P·V`, hence `dV = Pᵀ·dO`, `dP = dO·Vᵀ`, `dS = P·(dP - rowsum(P·dP))`, `dQ = s·dS·K`, `dK = s·dSᵀ·Q`. `P` is
//! recomputed in the backward pass. Segments keep packed documents, and padding, apart.

use burn::backend::{
    Backend, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{FloatDType, TensorData};

use super::{cast, dims, kind, reshape, single, transposed};

/// Number added to the score of a forbidden pair. Its exponential is exactly zero.
const FORBIDDEN: f32 = -1e30;

/// Sizes of a call's tensors.
struct Sizes {
    batch: usize,
    seq: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Sizes {
    fn of<B: Backend>(q: &FloatTensor<B>, k: &FloatTensor<B>) -> Self {
        let (q, k) = (dims::<B>(q), dims::<B>(k));
        Self { batch: q[0], seq: q[1], heads: q[2], kv_heads: k[2], head_dim: q[3] }
    }

    /// Returns the number of rows that share a key head: those of the query heads of its group, one head after another.
    fn rows(&self) -> usize {
        self.heads / self.kv_heads * self.seq
    }
}

/// Rearranges `[batch, seq, heads, d]` to `[batch, kv_heads, rows, d]`.
fn by_key_head<B: Backend>(tensor: FloatTensor<B>, sizes: &Sizes) -> FloatTensor<B> {
    let rows = dims::<B>(&tensor)[2] / sizes.kv_heads * sizes.seq;
    let tensor = B::float_swap_dims(tensor, 1, 2);
    reshape::<B>(tensor, &[sizes.batch, sizes.kv_heads, rows, sizes.head_dim])
}

/// Inverts [`by_key_head`].
fn by_position<B: Backend>(tensor: FloatTensor<B>, sizes: &Sizes) -> FloatTensor<B> {
    let heads = dims::<B>(&tensor)[2] / sizes.seq * sizes.kv_heads;
    let tensor = reshape::<B>(tensor, &[sizes.batch, heads, sizes.seq, sizes.head_dim]);
    B::float_swap_dims(tensor, 1, 2)
}

/// Returns the mask `[batch, 1, seq, seq]`: zero where a query (row) may see a key (column), [`FORBIDDEN`] elsewhere.
fn mask<B: Backend>(segment_ids: IntTensor<B>, sizes: &Sizes) -> FloatTensor<B> {
    let (batch, seq) = (sizes.batch, sizes.seq);
    let segments = B::int_into_float(segment_ids, FloatDType::F32);
    let device = segments.device();
    let apart = B::float_sub(
        reshape::<B>(segments.clone(), &[batch, 1, seq, 1]),
        reshape::<B>(segments, &[batch, 1, 1, seq]),
    );
    let apart = B::float_abs(apart);
    let positions: Vec<f32> = (0..seq).map(|i| i as f32).collect();
    let positions = B::float_from_data(TensorData::new(positions, [seq]), &device);
    let ahead = B::float_sub(
        reshape::<B>(positions.clone(), &[1, 1, 1, seq]),
        reshape::<B>(positions, &[1, 1, seq, 1]),
    );
    let ahead = B::float_clamp(ahead, 0f32.into(), 1f32.into());
    let forbidden = B::float_clamp(B::float_add(apart, ahead), 0f32.into(), 1f32.into());
    B::float_mul_scalar(forbidden, FORBIDDEN.into())
}

/// Computes `P`, `[batch, kv_heads, rows, seq]`, of q and k as returned by [`by_key_head`].
fn probabilities<B: Backend>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    segment_ids: IntTensor<B>,
    scale: f32,
    sizes: &Sizes,
) -> FloatTensor<B> {
    let scores = B::float_mul_scalar(B::float_matmul(q, transposed::<B>(k)), scale.into());
    let by_head = [sizes.batch, sizes.heads, sizes.seq, sizes.seq];
    let scores = B::float_add(reshape::<B>(scores, &by_head), mask::<B>(segment_ids, sizes));
    let max = B::float_max_dim(scores.clone(), 3);
    let exp = B::float_exp(B::float_sub(scores, max));
    let sum = B::float_sum_dim(exp.clone(), 3);
    reshape::<B>(B::float_div(exp, sum), &[sizes.batch, sizes.kv_heads, sizes.rows(), sizes.seq])
}

/// Computes attention: `q [batch, seq, heads, d]`, `k`, `v` `[batch, seq, kv_heads, d]`, `segment_ids [batch, seq]` to `[batch, seq, heads, d]`.
pub fn forward<B: Backend>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    segment_ids: IntTensor<B>,
    scale: f32,
) -> FloatTensor<B> {
    let (sizes, kind) = (Sizes::of::<B>(&q, &k), kind::<B>(&q));
    let [q, k, v] = [q, k, v].map(|tensor| by_key_head::<B>(single::<B>(tensor), &sizes));
    let probabilities = probabilities::<B>(q, k, segment_ids, scale, &sizes);
    by_position::<B>(cast::<B>(B::float_matmul(probabilities, v), kind), &sizes)
}

/// Returns `(dQ, dK, dV)` in the shapes of q, k and v.
pub fn backward<B: Backend>(
    grad: FloatTensor<B>,
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    segment_ids: IntTensor<B>,
    scale: f32,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (sizes, kind) = (Sizes::of::<B>(&q, &k), kind::<B>(&q));
    let [grad, q, k, v] = [grad, q, k, v].map(|tensor| by_key_head::<B>(single::<B>(tensor), &sizes));
    let p = probabilities::<B>(q.clone(), k.clone(), segment_ids, scale, &sizes);
    let grad_v = B::float_matmul(transposed::<B>(p.clone()), grad.clone());
    let grad_p = B::float_matmul(grad, transposed::<B>(v));
    let row = B::float_sum_dim(B::float_mul(p.clone(), grad_p.clone()), 3);
    let grad_scores = B::float_mul_scalar(B::float_mul(p, B::float_sub(grad_p, row)), scale.into());
    let grad_q = B::float_matmul(grad_scores.clone(), k);
    let grad_k = B::float_matmul(transposed::<B>(grad_scores), q);
    let out = |grad| by_position::<B>(cast::<B>(grad, kind), &sizes);
    (out(grad_q), out(grad_k), out(grad_v))
}
