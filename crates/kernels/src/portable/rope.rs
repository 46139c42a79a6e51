//! Rotary position embedding (Su et al., 2021) in the rotate-half layout of Hugging Face checkpoints.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{cast, dims, kind, narrow, reshape, single};

/// Rotates the pairs `(i, i + d/2)` of each head by the angle of its position: `x [batch, seq, heads, d]`, `cos`, `sin` `[batch, seq, d/2]`.
pub fn rotate<B: Backend>(
    x: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    inverse: bool,
) -> FloatTensor<B> {
    let kind = kind::<B>(&x);
    let x = single::<B>(x);
    let half = dims::<B>(&x)[3] / 2;
    let angles = dims::<B>(&cos);
    let shape = [angles[0], angles[1], 1, half];
    let cos = reshape::<B>(cos, &shape);
    let sin = reshape::<B>(sin, &shape);
    let sin = if inverse { B::float_neg(sin) } else { sin };
    let first = narrow::<B>(x.clone(), 3, 0, half);
    let second = narrow::<B>(x, 3, half, half);
    let rotated_first =
        B::float_sub(B::float_mul(first.clone(), cos.clone()), B::float_mul(second.clone(), sin.clone()));
    let rotated_second = B::float_add(B::float_mul(second, cos), B::float_mul(first, sin));
    cast::<B>(B::float_cat(vec![rotated_first, rotated_second], 3), kind)
}
