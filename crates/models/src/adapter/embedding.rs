//! LoRA on the embedding of tokens, as in PEFT.

use burn::tensor::{Int, Tensor};
use lorelei_formats::AdapterPart;
use lorelei_recipe::LoraConfig;

use super::AdapterPlace;
use crate::{
    Parameter, Rows,
    init::Draw,
    precision::{cast, dtype, to_f32},
};

/// The addition `s·(B·A)ᵀ` to an embedding.
#[derive(Debug, Clone)]
pub struct EmbeddingAdapter {
    /// Matrix `A` `[r, vocab]`.
    pub a: Tensor<2>,
    /// Matrix `B` `[hidden, r]`.
    pub b: Tensor<2>,
    /// Factor `s`, computed as for a linear layer.
    pub scale: f32,
}

impl EmbeddingAdapter {
    /// Creates an adapter on an embedding `[vocab, hidden]`, with `A` zero and `B` normal, as in PEFT.
    pub(crate) fn fresh(config: &LoraConfig, place: AdapterPlace<'_>, [vocab, hidden]: [usize; 2]) -> Self {
        let AdapterPlace { path, rank, seed, device } = place;
        Self {
            a: Tensor::zeros([rank, vocab], device),
            b: Draw::new(seed, path).tensor([hidden, rank], device, |draw| draw.normal(1.0)),
            scale: config.scaling(path) as f32,
        }
    }

    /// Computes the addition to the embeddings of `ids`, `[ids, hidden]`. There is no dropout, as in PEFT.
    pub(crate) fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        let low = self.a.clone().select(1, ids).transpose();
        low.matmul(self.b.clone().transpose()) * self.scale
    }

    /// Calls `visit` with each parameter of the adapter on the embedding at `path`.
    pub(crate) fn visit(&mut self, path: &str, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        visit(&AdapterPart::LoraEmbeddingA.parameter(path), Parameter::matrix(&mut self.a));
        visit(&AdapterPart::LoraEmbeddingB.parameter(path), Parameter::matrix(&mut self.b));
    }

    /// Merges the adapter into the embedding `[vocab, hidden]`.
    pub(crate) fn merge(self, embedding: &mut Rows) {
        let mut change = self.b.matmul(self.a).transpose() * self.scale;
        for piece in embedding.pieces_mut() {
            let [rows, _] = piece.dims();
            let (dtype, all) = (dtype(piece), change.dims()[0]);
            let part = change.clone().slice_dim(0, 0..rows);
            *piece = cast(to_f32(piece.clone()) + part, dtype);
            if rows < all {
                change = change.slice_dim(0, rows..all);
            }
        }
    }
}
