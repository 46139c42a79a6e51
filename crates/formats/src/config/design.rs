//! What sets one architecture apart from another, as values: everything else is shared.

use serde::{Deserialize, Serialize};

/// Kind of a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// RMSNorm with a weight.
    Rms,
    /// RMSNorm whose weight is kept less one (Gemma).
    RmsPlusOne,
    /// LayerNorm with weight and bias.
    Layer,
}

/// The MLP's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x·sigmoid(x)`.
    Silu,
    /// By the error function.
    Gelu,
    /// By its approximation with tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// Linear layers that have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Queries, keys and values.
    pub attention_input: bool,
    /// The attention's output.
    pub attention_output: bool,
    /// Both layers of the MLP.
    pub mlp: bool,
}

/// Purpose of a model: PEFT's `TaskType`, as far as models here go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Predicts the next token.
    CausalLm,
    /// Says which class a text is of.
    SequenceClassification,
    /// Says which class each token is of.
    TokenClassification,
    /// Gives the residual stream behind the last layer.
    FeatureExtraction,
}

impl Task {
    /// Whether the model has a head of classes.
    pub fn classifies(self) -> bool {
        matches!(self, Self::SequenceClassification | Self::TokenClassification)
    }
}

/// Order of the halves of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// The MLP reads the residual stream with the mixer's output added.
    Sequential,
    /// Mixer and MLP read the same residual stream, and both outputs are added to it (GPT-NeoX, Phi). An MLP without a norm of its own
    /// reads what the mixer reads.
    Parallel,
}

/// Numbers that scores, embeddings and logits are multiplied by or capped at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalars {
    /// Multiplies the scores of queries and keys.
    pub attention_scale: f64,
    /// Caps the scores: `cap·tanh(score / cap)`.
    pub attention_softcap: Option<f64>,
    /// Caps the logits likewise.
    pub logits_softcap: Option<f64>,
    /// Multiplies the embeddings.
    pub embedding_scale: f64,
    /// Multiplies the output of each half of a layer before it is added to the residual stream.
    pub residual_scale: f64,
    /// Multiplies the logits.
    pub logits_scale: f64,
}

impl Scalars {
    /// Scores divided by the square root of a head's width, everything else as it is.
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

/// Names of the parts of a checkpoint, those of layers relative to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Prefix of every name but the head's (Transformers' `base_model_prefix`), with its dot.
    pub prefix: &'static str,
    /// The embedding.
    pub embedding: &'static str,
    /// The embedding of positions, where they are learnt.
    pub positions: Option<&'static str>,
    /// The embedding of segments (`token_type_ids`).
    pub token_types: Option<&'static str>,
    /// The norm after the embeddings.
    pub embedding_norm: Option<&'static str>,
    /// Name before a layer's number.
    pub layers: &'static str,
    /// The attention's parts. `input` is queries, keys and values, or one layer for all three, in this order.
    pub attention: SublayerNames,
    /// The MLP's parts. `input` is gate and up, or one layer for both, in this order; without a gate it is one.
    pub mlp: SublayerNames,
    /// The norm of each head's queries.
    pub query_norm: Option<&'static str>,
    /// The norm of each head's keys.
    pub key_norm: Option<&'static str>,
    /// The norm after the last layer.
    pub final_norm: Option<&'static str>,
    /// The language model's head; an encoder has none.
    pub head: &'static str,
    /// The head that classifies texts.
    pub sequence_head: HeadNames,
    /// The head that classifies tokens.
    pub token_head: HeadNames,
}

/// A classifying head, by whole names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNames {
    /// A linear layer with a bias, `[hidden, hidden]`, and what its values go through before they reach the classes.
    pub dense: Option<(&'static str, Squash)>,
    /// The linear layer that gives the classes.
    pub output: &'static str,
    /// Whether that has a bias.
    pub bias: bool,
}

/// Activation between the two layers of a classifying head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// The names of a sublayer: what goes in, what comes out, and the norms around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SublayerNames {
    /// The linear layers that read its input.
    pub input: &'static [&'static str],
    /// The linear layer that gives its output.
    pub output: &'static str,
    /// The norm of its input.
    pub norm_before: Option<&'static str>,
    /// The norm of its output, before that is added to the residual stream.
    pub norm_after: Option<&'static str>,
    /// The norm of the residual stream, its output added.
    pub norm_residual: Option<&'static str>,
}

impl SublayerNames {
    /// A sublayer whose input is normed, and nothing else.
    pub(super) const fn pre_normed(
        input: &'static [&'static str],
        output: &'static str,
        norm: &'static str,
    ) -> Self {
        Self { input, output, norm_before: Some(norm), norm_after: None, norm_residual: None }
    }
}
