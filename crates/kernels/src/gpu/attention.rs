//! Attention with an online softmax.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::launch::{Info, Work, bytes, dims, empty, launch_counted, stored, typed};

/// Whether there is a kernel for heads of this size.
pub fn takes(q: &CubeTensor) -> bool {
    Kernel::takes_head_dim(dims::<4>(q)[3])
}

/// Counts the work of `products` products of a query with a key each, computed in tiles of 16 by 16, for which `loads` tiles of keys are loaded.
/// Because of causality a query meets half of the keys.
fn work(products: usize, loads: usize, [batch, seq, heads, d]: [usize; 4], q: &CubeTensor) -> Work {
    let pairs = batch * heads * seq * seq.div_ceil(2);
    Work { flops: 2 * products * pairs * d, bytes: bytes(q) * 2 + loads * pairs / 16 * d * q.dtype.size() }
}

/// WGSL path of [`crate::backend::KernelBackend::attention`].
pub fn forward(
    q: CubeTensor,
    k: CubeTensor,
    v: CubeTensor,
    segment_ids: CubeTensor,
    scale: f32,
) -> CubeTensor {
    let [q, k, v, segments] = [q, k, v, segment_ids].map(into_contiguous);
    let [batch, seq, heads, d] = dims(&q);
    let kv_heads = dims::<4>(&k)[2];
    let out = empty(&q, &[batch, seq, heads, d]);
    let info = Info::default().count(seq).count(heads).count(kv_heads).float(scale);
    let kernel = Kernel::Attention { head_dim: d as u32, x: stored(&q) };
    let work = work(2, 2, [batch, seq, heads, d], &q);
    launch_counted(kernel, [seq.div_ceil(16), heads, batch], &[&q, &k, &v, &segments, &out], info, work);
    out
}

/// WGSL path of [`crate::backend::KernelBackend::attention_backward`].
pub fn backward(
    grad: CubeTensor,
    q: CubeTensor,
    k: CubeTensor,
    v: CubeTensor,
    segment_ids: CubeTensor,
    scale: f32,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [grad, q, k, v, segments] = [grad, q, k, v, segment_ids].map(into_contiguous);
    let [batch, seq, heads, d] = dims(&q);
    let kv_heads = dims::<4>(&k)[2];
    let (head_dim, x, shape) = (d as u32, stored(&q), [batch, seq, heads, d]);
    let info = || Info::default().count(seq).count(heads).count(kv_heads).float(scale);
    let tiles = seq.div_ceil(16);
    let grad_q = empty(&q, &[batch, seq, heads, d]);
    // The four words of each query that the second kernel reads.
    let rows = typed(&q, &[batch, heads, seq, 4], DType::U32);
    let tensors = [&grad, &q, &k, &v, &segments, &grad_q, &rows];
    let kernel = Kernel::AttentionBackwardQuery { head_dim, x };
    launch_counted(kernel, [tiles, heads, batch], &tensors, info(), work(5, 4, shape, &q));
    let [grad_k, grad_v] = std::array::from_fn(|_| empty(&k, &[batch, seq, kv_heads, d]));
    let tensors = [&grad, &q, &k, &v, &rows, &grad_k, &grad_v];
    let kernel = Kernel::AttentionBackwardKey { head_dim, x };
    launch_counted(kernel, [tiles, kv_heads, batch], &tensors, info(), work(4, 3, shape, &q));
    (grad_q, grad_k, grad_v)
}
