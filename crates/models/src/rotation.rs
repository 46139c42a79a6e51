//! Rotary embeddings in the layouts of checkpoints, converted to the layout of the kernel, which rotates whole heads in pairs half a head apart.

use burn::tensor::{Tensor, TensorData};
use lorelei_formats::config::Rope;
use lorelei_kernels as kernels;

use crate::{Model, Tokens};

/// Rotation angles of a batch.
pub(crate) struct Rotation {
    /// Whether neighbours are rotated together.
    interleaved: bool,
    /// Number of a head's values that are rotated.
    dim: usize,
    /// Cosines of the angles `[batch, seq, pairs]`.
    cos: Tensor<3>,
    sin: Tensor<3>,
}

impl Rotation {
    /// Computes the angles of `tokens`, in a text of `length` tokens.
    pub(crate) fn new(rope: &Rope, tokens: &Tokens, model: &Model, length: usize) -> Self {
        let longest = tokens.position_ids.iter().max().map_or(0, |last| *last as usize + 1);
        let (frequencies, factor) = rope.frequencies(longest.max(length));
        // In heads rotated in neighbouring pairs, the remaining pairs are rotated by an angle of zero.
        let pairs = if rope.interleaved { model.config.head_dim / 2 } else { rope.dim / 2 };
        let shape = [tokens.batch, tokens.seq, pairs];
        let table = |f: fn(f64) -> f64, still: f32| {
            let mut values = Vec::with_capacity(shape.iter().product());
            for position in &tokens.position_ids {
                // The angle is a product of two f32, as in Transformers; its cosine is then the nearest f32.
                let turned = frequencies.iter().map(|freq| f((*position as f32 * freq) as f64) as f32);
                values.extend(turned.map(|value| value * factor));
                values.resize(values.len() + pairs - frequencies.len(), still);
            }
            Tensor::from_data(TensorData::new(values, shape), &model.device)
        };
        let (cos, sin) = (table(f64::cos, 1.0), table(f64::sin, 0.0));
        Self { interleaved: rope.interleaved, dim: rope.dim, cos, sin }
    }

    /// Rotates `x [batch, seq, heads, d]`. Heads rotated in neighbouring pairs are returned in another order, the same for queries and keys.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, seq, heads, d] = x.dims();
        let turn = |x| kernels::rope(x, self.cos.clone(), self.sin.clone());
        if self.interleaved {
            let pairs = x.reshape([batch, seq, heads, d / 2, 2]).swap_dims(3, 4);
            return turn(pairs.reshape([batch, seq, heads, d]));
        }
        if self.dim == d {
            return turn(x);
        }
        let part = |from, to| x.clone().slice([0..batch, 0..seq, 0..heads, from..to]);
        Tensor::cat(vec![turn(part(0, self.dim)), part(self.dim, d)], 3)
    }
}
