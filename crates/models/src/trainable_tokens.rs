//! Trainable rows of the embedding: PEFT's `trainable_token_indices`.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use lorelei_formats::{config::Role, peft};

use crate::{
    Model, Parameter, Rows, Tokens,
    precision::{cast, dtype, to_f32},
};

/// Trainable rows, which replace those of the embedding.
#[derive(Debug, Clone)]
pub(crate) struct TrainableTokens {
    /// Token ids, each once, in the order of `rows`.
    ids: Vec<i32>,
    /// Trainable rows `[ids, hidden]`.
    rows: Tensor<2>,
}

impl TrainableTokens {
    /// Returns the embedding `[vocab, hidden]` with the trainable rows in place.
    fn put_into(&self, matrix: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
        let dtype = dtype(&matrix);
        let change = self.rows.clone() - to_f32(matrix.clone().select(0, ids.clone()));
        matrix.select_assign(0, ids, cast(change, dtype), IndexingUpdateOp::Add)
    }
}

impl Model {
    /// Makes the rows of `ids` trainable. The ids are in the vocabulary, each once.
    pub(crate) fn train_tokens(&mut self, ids: &[usize]) {
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let rows = to_f32(self.embed_tokens.select(&ids, &self.device));
        self.trainable_tokens = Some(TrainableTokens { ids, rows });
    }

    /// Calls `visit` with the trainable rows.
    pub(crate) fn visit_tokens(&mut self, visit: &mut dyn FnMut(&str, Parameter<'_>)) {
        let name = peft::trainable_tokens(&self.path_of(Role::Embedding));
        if let Some(tokens) = &mut self.trainable_tokens {
            visit(&name, Parameter::matrix(&mut tokens.rows));
        }
    }

    /// Copies the trained rows into the embedding, and into the head if it is tied.
    pub(crate) fn merge_tokens(&mut self) {
        if let Some(tokens) = self.trainable_tokens.take()
            && let Some(matrix) = self.embed_tokens.one()
        {
            self.embed_tokens = Rows::whole(tokens.put_into(matrix.clone(), self.index(&tokens.ids)));
        }
    }

    /// Returns the embeddings `[n, hidden]` of tokens with the trainable rows in place.
    pub(crate) fn with_token_rows(&self, embedded: Tensor<2>, tokens: &Tokens) -> Tensor<2> {
        let Some(trained) = &self.trainable_tokens else { return embedded };
        let places: Vec<Option<i32>> = tokens
            .input_ids
            .iter()
            .map(|id| trained.ids.iter().position(|known| known == id).map(|place| place as i32))
            .collect();
        let trains: Vec<f32> = places.iter().map(|place| f32::from(u8::from(place.is_some()))).collect();
        let rows: Vec<i32> = places.iter().map(|place| place.unwrap_or(0)).collect();
        let count = trains.len();
        let mask: Tensor<2> = Tensor::from_data(TensorData::new(trains, [count, 1]), &self.device);
        let chosen = trained.rows.clone().select(0, self.index(&rows));
        embedded * (1.0 - mask.clone()) + chosen * mask
    }

    /// Returns the head `[vocab, hidden]`, with the trainable rows in place if it is tied to the embedding.
    pub(crate) fn head(&self) -> Rows {
        match (&self.lm_head, &self.trainable_tokens, self.embed_tokens.one()) {
            (Some(head), ..) => head.clone(),
            (None, Some(tokens), Some(matrix)) => {
                Rows::whole(tokens.put_into(matrix.clone(), self.index(&tokens.ids)))
            }
            (None, ..) => self.embed_tokens.clone(),
        }
    }

    /// Returns the head `[vocab, hidden]` without the trainable rows, as one tensor.
    pub(crate) fn frozen_head(&self) -> Tensor<2> {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        head.joined()
    }

    /// Adds what the trainable rows change of a tied head's logits `[n, vocab]`: `normed·(rows − W[ids])ᵀ`, in the columns of their tokens. An adapted
    /// layer takes its weight as frozen, so that rows in it would not learn.
    pub(crate) fn with_row_logits(&self, logits: Tensor<2>, normed: Tensor<2>) -> Tensor<2> {
        let Some(trained) = self.trainable_tokens.as_ref().filter(|_| self.lm_head.is_none()) else {
            return logits;
        };
        let change = trained.rows.clone() - to_f32(self.embed_tokens.select(&trained.ids, &self.device));
        let dtype = dtype(&logits);
        let change = to_f32(normed).matmul(change.transpose());
        logits.select_assign(1, self.index(&trained.ids), cast(change, dtype), IndexingUpdateOp::Add)
    }

    /// Returns [`Model::head`] as one tensor, for heads that [`Model::in_one_piece`] has accepted.
    pub(crate) fn whole_head(&self) -> Tensor<2> {
        self.head().joined()
    }
}
