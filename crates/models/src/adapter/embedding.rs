//! LoRA on the embedding of tokens, as in PEFT.

use burn::tensor::{Int, Tensor};
use lorelei_formats::AdapterPart;
use lorelei_recipe::LoraConfig;

use super::{Adapter, AdapterPlace, LoraAdapter};
use crate::{
    Parameter, Rows,
    init::{Draw, fnv1a},
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
    /// The adapter's use by a tied head, if the head stays tied: the probability that an element of its input is dropped, and its dropout stream.
    pub head: Option<(f32, u64)>,
}

impl EmbeddingAdapter {
    /// Creates an adapter on an embedding `[vocab, hidden]`, with `A` zero and `B` normal, as in PEFT.
    pub(crate) fn fresh(config: &LoraConfig, place: AdapterPlace<'_>, [vocab, hidden]: [usize; 2]) -> Self {
        let AdapterPlace { path, rank, seed, device } = place;
        Self {
            a: Tensor::zeros([rank, vocab], device),
            b: Draw::new(seed, path).tensor([hidden, rank], device, |draw| draw.normal(1.0)),
            scale: config.scaling(path) as f32,
            head: None,
        }
    }

    /// Makes the adapter serve the tied head at `path` too.
    pub(crate) fn with_head(self, config: &LoraConfig, path: &str) -> Self {
        Self { head: Some((config.lora_dropout as f32, fnv1a(path))), ..self }
    }

    /// Returns the adapter `[vocab, hidden]` of the tied head, if the head stays tied: the transposed matrices, as in PEFT.
    pub(crate) fn of_head(&self) -> Option<Adapter> {
        let (dropout, dropout_stream) = self.head?;
        Some(Adapter::Lora(LoraAdapter {
            a: self.b.clone().transpose(),
            b: self.a.clone().transpose(),
            bias: None,
            dora: None,
            beginning: None,
            scale: self.scale,
            dropout,
            dropout_stream,
        }))
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
