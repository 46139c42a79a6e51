//! The differences between architectures as values; everything else is shared.

use serde::{Deserialize, Serialize};

/// Kind of a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// RMSNorm with a weight.
    Rms,
    /// RMSNorm whose weight is stored less one (Gemma).
    RmsPlusOne,
    /// LayerNorm with weight and bias.
    Layer,
}

/// Activation of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x·sigmoid(x)`.
    Silu,
    /// GELU, by the error function.
    Gelu,
    /// GELU, by its approximation with tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// Linear layers that have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Queries, keys and values.
    pub attention_input: bool,
    /// Output of the attention.
    pub attention_output: bool,
    /// Both layers of the MLP.
    pub mlp: bool,
}

/// Task of a model: PEFT's `TaskType`, as far as it is supported here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Prediction of the next token.
    CausalLm,
    /// Classification of texts.
    SequenceClassification,
    /// Classification of tokens.
    TokenClassification,
    /// Output of the residual stream after the last layer.
    FeatureExtraction,
}

impl Task {
    /// Whether the model has a classification head.
    pub fn classifies(self) -> bool {
        matches!(self, Self::SequenceClassification | Self::TokenClassification)
    }
}

/// Order of the halves of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// The MLP reads the residual stream with the mixer's output added.
    Sequential,
    /// Mixer and MLP read the same residual stream, and both outputs are added to it (GPT-NeoX, Phi). An MLP without its own norm reads the mixer's
    /// input.
    Parallel,
}

/// Factors and caps of scores, embeddings and logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalars {
    /// Factor of the scores of queries and keys.
    pub attention_scale: f64,
    /// Cap of the scores: `cap·tanh(score / cap)`.
    pub attention_softcap: Option<f64>,
    /// Cap of the logits, computed likewise.
    pub logits_softcap: Option<f64>,
    /// Factor of the embeddings.
    pub embedding_scale: f64,
    /// Factor of the output of each half of a layer, applied before it is added to the residual stream.
    pub residual_scale: f64,
    /// Factor of the logits.
    pub logits_scale: f64,
}

impl Scalars {
    /// Returns scalars that divide the scores by the square root of a head's width and change nothing else.
    pub fn for_head_dim(head_dim: usize) -> Self {
        Self {
            attention_scale: 1.0 / (head_dim as f64).sqrt(),
            attention_softcap: None,
            logits_softcap: None,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            logits_scale: 1.0,
        }
    }
}

/// Names of the parts of a checkpoint. The names of parts of a layer are relative to the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Prefix of every name but the head's (Transformers' `base_model_prefix`), including its dot.
    pub prefix: &'static str,
    /// Embedding of tokens.
    pub embedding: &'static str,
    /// Embedding of positions, if they are learnt.
    pub positions: Option<&'static str>,
    /// Embedding of segments (`token_type_ids`).
    pub token_types: Option<&'static str>,
    /// Norm after the embeddings.
    pub embedding_norm: Option<&'static str>,
    /// Name before a layer's number.
    pub layers: &'static str,
    /// Parts of the attention. `input` is queries, keys and values in this order, or one layer for all three.
    pub attention: SublayerNames,
    /// Parts of the MLP. `input` is gate and up in this order, or one layer for both; without a gate it is one layer.
    pub mlp: SublayerNames,
    /// Norm of each head's queries.
    pub query_norm: Option<&'static str>,
    /// Norm of each head's keys.
    pub key_norm: Option<&'static str>,
    /// Norm after the last layer.
    pub final_norm: Option<&'static str>,
    /// Language model's head; an encoder has none.
    pub head: &'static str,
    /// Head that classifies texts.
    pub sequence_head: HeadNames,
    /// Head that classifies tokens.
    pub token_head: HeadNames,
}

/// Names of a classification head, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNames {
    /// Linear layer with a bias, `[hidden, hidden]`, and the activation between it and the classes.
    pub dense: Option<(&'static str, Squash)>,
    /// Linear layer that computes the logits of the classes.
    pub output: &'static str,
    /// Whether `output` has a bias.
    pub bias: bool,
}

/// Activation between the two layers of a classification head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// Names of a sublayer: its input and output layers, and the norms around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SublayerNames {
    /// Linear layers that read the sublayer's input.
    pub input: &'static [&'static str],
    /// Linear layer that computes the sublayer's output.
    pub output: &'static str,
    /// Norm of the sublayer's input.
    pub norm_before: Option<&'static str>,
    /// Norm of the sublayer's output, before it is added to the residual stream.
    pub norm_after: Option<&'static str>,
    /// Norm of the residual stream, after the output has been added.
    pub norm_residual: Option<&'static str>,
}

impl SublayerNames {
    /// Returns a sublayer whose only norm is that of its input.
    pub(super) const fn pre_normed(
        input: &'static [&'static str],
        output: &'static str,
        norm: &'static str,
    ) -> Self {
        Self { input, output, norm_before: Some(norm), norm_after: None, norm_residual: None }
    }
}
