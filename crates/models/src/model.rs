//! The model: embedding, layers of attention and MLP around a residual stream, and head.
//!
//! The differences between architectures are in [`ModelConfig`]. Module paths, names and layouts are Hugging Face's, so that an adapter fits there.

use std::{collections::BTreeSet, sync::Arc};

use burn::tensor::{Device, Int, Tensor, TensorData};
use lorelei_formats::{
    ModelConfig,
    config::{Module, Task},
};

use crate::{
    Adapter, EmbeddingAdapter, Linear, ModelError, Regularization, Targets, Weight, attend,
    classifier::Classifier,
    extra_trainables::ExtraTrainables,
    layer::Layer,
    norm::Norm,
    precision::{cast, to_f32},
    rotation::Rotation,
    rows::Rows,
    trainable_tokens::TrainableTokens,
};

/// Mode of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ForwardMode {
    /// Evaluation without dropout.
    Evaluation,
    /// Training, in which adapters drop a part of their input.
    Training {
        /// Seed of this pass, which selects the dropped elements.
        dropout_seed: u64,
    },
}

/// Tokens of a batch on the host: `[batch, seq]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Number of rows.
    pub batch: usize,
    /// Number of tokens in a row.
    pub seq: usize,
    /// Token ids.
    pub input_ids: Vec<i32>,
    /// Position of each token in its document.
    pub position_ids: Vec<i32>,
    /// Document of each token; 0 is padding. A token sees only its own document.
    pub segment_ids: Vec<i32>,
    /// BERT's segment of each token, question or answer; empty if all are 0.
    pub token_type_ids: Vec<i32>,
}

impl Tokens {
    /// Creates a batch of one row with one document.
    pub fn single(input_ids: Vec<i32>) -> Self {
        let seq = input_ids.len();
        Self {
            batch: 1,
            seq,
            input_ids,
            position_ids: (0..seq as i32).collect(),
            segment_ids: vec![1; seq],
            token_type_ids: Vec::new(),
        }
    }
}

/// A model, whose base is frozen unless [`Model::finetune_all`] was called.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) config: ModelConfig,
    /// Modules that `config` calls for.
    pub(crate) modules: Arc<[Module]>,
    pub(crate) device: Device,
    /// Embedding of tokens `[vocab, hidden]`.
    pub(crate) embed_tokens: Rows,
    /// Embedding of learnt positions `[positions, hidden]`, if the model has one.
    pub(crate) positions: Option<Tensor<2>>,
    /// Embedding of segments `[segments, hidden]`, if the model has one.
    pub(crate) token_types: Option<Tensor<2>>,
    pub(crate) embedding_norm: Option<Norm>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Option<Norm>,
    /// Language model's head `[vocab, hidden]`; `None` if the embedding serves as head.
    pub(crate) lm_head: Option<Rows>,
    pub(crate) classifier: Option<Classifier>,
    pub(crate) embedding_adapter: Option<EmbeddingAdapter>,
    pub(crate) head_adapter: Option<Adapter>,
    pub(crate) extra_trainables: ExtraTrainables,
    pub(crate) trainable_tokens: Option<TrainableTokens>,
    /// Names of weights of the base that an adapter file replaced ([`Model::set_adapter`]).
    pub(crate) replaced: BTreeSet<String>,
    /// Whether every weight trains, instead of adapters.
    pub(crate) full_finetune: bool,
    pub(crate) regularization: Regularization,
}

/// Data of a batch that every layer of a pass needs.
pub(crate) struct Pass {
    pub(crate) batch: usize,
    pub(crate) seq: usize,
    /// Rotation for each of the model's rotary embeddings.
    pub(crate) rotations: Vec<Rotation>,
    pub(crate) segment_ids: Tensor<2, Int>,
    /// Masks by window. Layers whose attention the kernel computes need none: causal, without a soft cap, and without a window shorter than the text.
    pub(crate) masks: Vec<(Option<usize>, Tensor<4>)>,
    pub(crate) mode: ForwardMode,
}

impl Model {
    /// Returns the configuration that the model was created from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns the device of the model's tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Computes the residual stream after the last layer, before the final norm: `[batch * seq, hidden]`.
    ///
    /// # Errors
    ///
    /// If a token id is not in the vocabulary, or the slices are not `batch * seq` long.
    pub fn hidden_states(&self, tokens: &Tokens, mode: ForwardMode) -> Result<Tensor<2>, ModelError> {
        self.check(tokens)?;
        let pass = self.pass(tokens, mode);
        let mut hidden = self.noisy(self.embed(tokens), tokens, mode);
        for layer in &self.layers {
            hidden = layer.forward(hidden, &pass, None);
        }
        Ok(hidden)
    }

    /// Prepares a batch for the layers.
    pub(crate) fn pass(&self, tokens: &Tokens, mode: ForwardMode) -> Pass {
        let Tokens { batch, seq, .. } = *tokens;
        let rotations = self.config.ropes.iter().map(|rope| Rotation::new(rope, tokens, self, seq)).collect();
        let segment_ids = TensorData::new(tokens.segment_ids.clone(), [batch, seq]);
        let mut masks: Vec<(Option<usize>, Tensor<4>)> = Vec::new();
        for window in self.layers.iter().filter_map(|layer| layer.mixer.masked(seq)) {
            if !masks.iter().any(|(known, _)| *known == window) {
                masks.push((window, attend::mask(tokens, self.config.causal, window, &self.device)));
            }
        }
        let segment_ids = Tensor::from_data(segment_ids, &self.device);
        Pass { batch, seq, rotations, segment_ids, masks, mode }
    }

    /// Computes the residual stream before the first layer, in single floats like the rest of the stream.
    pub(crate) fn embed(&self, tokens: &Tokens) -> Tensor<2> {
        let mut hidden = to_f32(self.embed_tokens.select(&tokens.input_ids, &self.device));
        hidden = self.with_token_rows(hidden, tokens);
        if let Some(adapter) = &self.embedding_adapter {
            hidden = hidden + adapter.forward(self.index(&tokens.input_ids));
        }
        let scale = self.config.scalars.embedding_scale;
        if scale != 1.0 {
            hidden = hidden * scale as f32;
        }
        if let Some(positions) = &self.positions {
            let offset = self.config.position_offset as i32;
            let places: Vec<i32> = tokens.position_ids.iter().map(|place| place + offset).collect();
            hidden = hidden + to_f32(positions.clone().select(0, self.index(&places)));
        }
        if let Some(types) = &self.token_types {
            let types = match tokens.token_type_ids.is_empty() {
                true => types.clone().slice_dim(0, 0..1),
                false => types.clone().select(0, self.index(&tokens.token_type_ids)),
            };
            hidden = hidden + to_f32(types);
        }
        to_f32(Norm::apply(&self.embedding_norm, hidden))
    }

    /// Computes the logits of residual-stream rows: `[n, hidden]` to `[n, vocab]`, or to `[n, labels]` for a classifier. They are for inspection;
    /// training uses [`Model::loss`].
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.logits_in(ForwardMode::Evaluation, hidden)
    }

    fn logits_in(&self, mode: ForwardMode, hidden: Tensor<2>) -> Tensor<2> {
        if let (Some(classifier), Some(names)) = (&self.classifier, self.config.classifier()) {
            return classifier.forward(&names, to_f32(self.normed(hidden)), mode);
        }
        let normed = self.normed(hidden);
        let logits = match self.adapter_of_head() {
            None => self.head().product(normed),
            adapter => {
                let weight = Weight::Dense(self.frozen_head());
                let logits = Linear { weight, bias: None, adapter }.forward(normed.clone(), mode);
                self.with_row_logits(logits, normed)
            }
        };
        self.capped(self.scaled(to_f32(logits)))
    }

    /// Computes the loss summed over the labelled tokens or texts, `[1]`. Row `rows[i]` of `hidden [n, hidden]` predicts `targets[i]`, which is a
    /// token, a class, or numbers. For a classifier of texts, the rows are those of [`Model::text_rows`].
    ///
    /// Only these rows pass through the head, so that a prompt without targets costs nothing there.
    ///
    /// # Errors
    ///
    /// If there is no labelled token, or a target is not in the vocabulary.
    pub fn loss<'t>(
        &self,
        hidden: Tensor<2>,
        rows: &[i32],
        targets: impl Into<Targets<'t>>,
    ) -> Result<Tensor<1>, ModelError> {
        self.loss_in(ForwardMode::Evaluation, hidden, rows, targets.into())
    }

    /// Like [`Model::loss`], with a head whose adapter may apply dropout.
    ///
    /// # Errors
    ///
    /// The errors of [`Model::loss`].
    pub fn loss_in(
        &self,
        mode: ForwardMode,
        hidden: Tensor<2>,
        rows: &[i32],
        targets: Targets<'_>,
    ) -> Result<Tensor<1>, ModelError> {
        let (known, what) = match self.config.task {
            Task::CausalLm => (self.config.vocab_size, "tokens"),
            Task::SequenceClassification | Task::TokenClassification => (self.config.num_labels, "classes"),
            Task::FeatureExtraction => {
                return Err(ModelError::Unsupported(
                    "task_type FEATURE_EXTRACTION has no loss to train by; train with SEQ_CLS or TOKEN_CLS"
                        .into(),
                ));
            }
        };
        let targets = match targets {
            Targets::Ids(ids) => ids,
            Targets::Values(_) if rows.is_empty() || self.config.task != Task::SequenceClassification => {
                return Err(ModelError::Input("the batch has no text to learn from".into()));
            }
            Targets::Values(values) => {
                let chosen = hidden.select(0, self.index(rows));
                return self.loss_of_values(self.logits_in(mode, chosen), values);
            }
        };
        if targets.is_empty() || targets.len() != rows.len() {
            return Err(ModelError::Input("the batch has no token to learn from".into()));
        }
        if let Some(bad) = targets.iter().find(|t| **t < 0 || **t as usize >= known) {
            return Err(ModelError::Input(format!("label {bad} is not among the model's {known} {what}")));
        }
        let every_row = rows.iter().copied().eq(0..hidden.dims()[0] as i32);
        let chosen = if every_row { hidden } else { hidden.select(0, self.index(rows)) };
        let plain = self.classifier.is_none() && self.adapter_of_head().is_none();
        if self.config.scalars.logits_softcap.is_none() && plain {
            // The head has no bias, so that scaled rows give scaled logits.
            let (normed, head) = (self.scaled(self.normed(chosen)), self.head());
            let loss = head.cross_entropy(normed.clone(), targets, &self.device);
            return Ok(match self.smoothing(normed, &head, targets) {
                None => loss,
                Some(more) => loss + more,
            });
        }
        Ok(self.smoothed(self.logits_in(mode, chosen), self.index(targets)))
    }

    fn scaled(&self, logits: Tensor<2>) -> Tensor<2> {
        match self.config.scalars.logits_scale {
            1.0 => logits,
            scale => logits * scale as f32,
        }
    }

    fn capped(&self, logits: Tensor<2>) -> Tensor<2> {
        match self.config.scalars.logits_softcap {
            None => logits,
            Some(cap) => (logits / cap as f32).tanh() * cap as f32,
        }
    }

    /// Returns rows of the residual stream as input of the head: normalised, and in numbers of its type.
    pub(crate) fn normed(&self, hidden: Tensor<2>) -> Tensor<2> {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        cast(Norm::apply(&self.norm, hidden), head.dtype())
    }

    pub(crate) fn check(&self, tokens: &Tokens) -> Result<(), ModelError> {
        let count = tokens.batch * tokens.seq;
        let lengths = [tokens.input_ids.len(), tokens.position_ids.len(), tokens.segment_ids.len()];
        if count == 0 || lengths != [count; 3] {
            let Tokens { batch, seq, .. } = tokens;
            return Err(ModelError::Input(format!(
                "a batch of {batch} x {seq} tokens has {lengths:?} of them"
            )));
        }
        if self.positions.is_some() {
            let known = self.config.longest_text();
            if let Some(far) = tokens.position_ids.iter().find(|p| **p < 0 || **p as usize >= known) {
                return Err(ModelError::Input(format!(
                    "position {far} is beyond the {known} that the model has; lower data.max_length to {known}"
                )));
            }
        }
        let types = &tokens.token_type_ids;
        let types_known = types.iter().all(|id| *id >= 0 && (*id as usize) < self.config.token_types);
        if !types.is_empty() && (types.len() != count || self.token_types.is_some() && !types_known) {
            return Err(ModelError::Input(format!(
                "token_type_ids must be {count} numbers below {}",
                self.config.token_types
            )));
        }
        let vocab = self.config.vocab_size;
        match tokens.input_ids.iter().find(|id| **id < 0 || **id as usize >= vocab) {
            None => Ok(()),
            Some(id) => Err(ModelError::Input(format!(
                "token id {id} is not in the vocabulary of {vocab} tokens; was the data tokenised for another model?"
            ))),
        }
    }
}
