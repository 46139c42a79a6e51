//! Rotary embeddings in the layouts that checkpoints have, by way of the one that the kernel turns: whole heads, pairs half a head apart.

use burn::tensor::{Tensor, TensorData};
use lorelei_formats::config::Rope;
use lorelei_kernels as kernels;

use crate::{Model, Tokens};

/// The angles of a batch.
pub(crate) struct Rotation {
    /// Whether neighbours are turned together.
    interleaved: bool,
    /// How many of a head's values are turned.
    dim: usize,
    /// `[batch, seq, pairs]`.
    cos: Tensor<3>,
    sin: Tensor<3>,
}

impl Rotation {
    /// The angles of `tokens`, in a text of `length` of them.
    pub(crate) fn new(rope: &Rope, tokens: &Tokens, model: &Model, length: usize) -> Self {
        let longest = tokens.position_ids.iter().max().map_or(0, |last| *last as usize + 1);
        let (frequencies, factor) = rope.frequencies(longest.max(length));
        // Of heads turned in neighbouring pairs, those that are left are turned by nothing.
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

    /// `x [batch, seq, heads, d]`, turned. Heads turned in neighbouring pairs come out in another order, queries and keys in the same.
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
