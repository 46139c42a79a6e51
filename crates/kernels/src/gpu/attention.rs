//! Attention with an online softmax.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use lorelei_shaders::Kernel;

use super::launch::{Info, dims, empty, launch, typed};

/// Whether there is a kernel for heads of this size.
pub fn takes(q: &CubeTensor) -> bool {
    Kernel::takes_head_dim(dims::<4>(q)[3])
}

/// See [`crate::backend::KernelBackend::attention`].
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
    let kernel = Kernel::Attention { head_dim: d as u32 };
    launch(kernel, [seq.div_ceil(16), heads, batch], &[&q, &k, &v, &segments, &out], info);
    out
}

/// See [`crate::backend::KernelBackend::attention_backward`].
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
    let head_dim = d as u32;
    let info = || Info::default().count(seq).count(heads).count(kv_heads).float(scale);
    let tiles = seq.div_ceil(16);
    let grad_q = empty(&q, &[batch, seq, heads, d]);
    // What the second kernel needs of every query: four words.
    let rows = typed(&q, &[batch, heads, seq, 4], DType::U32);
    let tensors = [&grad, &q, &k, &v, &segments, &grad_q, &rows];
    launch(Kernel::AttentionBackwardQuery { head_dim }, [tiles, heads, batch], &tensors, info());
    let [grad_k, grad_v] = std::array::from_fn(|_| empty(&k, &[batch, seq, kv_heads, d]));
    let tensors = [&grad, &q, &k, &v, &rows, &grad_k, &grad_v];
    launch(Kernel::AttentionBackwardKey { head_dim }, [tiles, kv_heads, batch], &tensors, info());
    (grad_q, grad_k, grad_v)
}
