//! Attention under any mask, in plain operations: windows, soft caps, both directions, and queries that follow cached keys.
//!
//! The kernel ([`lorelei_kernels::attention`]) supports only causal attention inside segments, and is used for that case.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use crate::{
    Tokens,
    precision::{cast, dtype, to_f32},
};

/// Number added to the score of a forbidden pair. Its exponential is exactly zero.
pub(crate) const FORBIDDEN: f32 = -1e30;

/// Returns the mask `[batch, 1, seq, seq]`: zero where a query may see a key, [`FORBIDDEN`] elsewhere. A query sees keys of its segment; with
/// `causal`, only those at its own position or before, and of these the last `window`.
pub(crate) fn mask(tokens: &Tokens, causal: bool, window: Option<usize>, device: &Device) -> Tensor<4> {
    let (batch, seq) = (tokens.batch, tokens.seq);
    let mut values = vec![FORBIDDEN; batch * seq * seq];
    for (row, segments) in tokens.segment_ids.chunks(seq).enumerate() {
        for query in 0..seq {
            let first = window.map_or(0, |window| (query + 1).saturating_sub(window));
            for key in first..if causal { query + 1 } else { seq } {
                if segments[key] == segments[query] {
                    values[(row * seq + query) * seq + key] = 0.0;
                }
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [batch, 1, seq, seq]), device)
}

/// Computes attention of `q [batch, rows, heads, d]` and `k`, `v` `[batch, cols, kv_heads, d]` to `[batch, rows, heads, d]`. `mask` is broadcast to
/// `[batch, heads, rows, cols]`.
pub(crate) fn attend(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    mask: Option<Tensor<4>>,
    scale: f32,
    softcap: Option<f64>,
) -> Tensor<4> {
    let ([batch, rows, heads, d], [_, cols, kv_heads, _]) = (q.dims(), k.dims());
    let dtype = dtype(&q);
    let (q, k, v) = (to_f32(q), to_f32(k), to_f32(v));
    let group = heads / kv_heads;
    // The query heads of a key head, one after another.
    let q = q.swap_dims(1, 2).reshape([batch, kv_heads, group * rows, d]);
    let (k, v) = (k.swap_dims(1, 2), v.swap_dims(1, 2));
    let mut scores = q.matmul(k.swap_dims(2, 3)) * scale;
    if let Some(cap) = softcap {
        scores = (scores / cap as f32).tanh() * cap as f32;
    }
    let mut scores = scores.reshape([batch, heads, rows, cols]);
    if let Some(mask) = mask {
        scores = scores + mask;
    }
    let probs = softmax(scores, 3).reshape([batch, kv_heads, group * rows, cols]);
    cast(probs.matmul(v).reshape([batch, heads, rows, d]).swap_dims(1, 2), dtype)
}
