//! BERT and MiniLM: an encoder with norms after the residual sums.

use super::super::decoder::{
    MOST_HEADS, MOST_LAYERS, MOST_TOKENS, MOST_VOCABULARY, MOST_WIDE, MOST_WIDTH, activation, cut_into_heads,
    labels, task,
};
use super::super::design::{
    Biases, HeadNames, Names, NormKind, Residual, Scalars, Squash, SublayerNames, Task,
};
use super::super::fields::{EPSILON, Fields};
use super::super::{Mixer, ModelConfig};
use crate::FormatError;

pub const NAMES: Names = Names {
    prefix: "bert.",
    embedding: "embeddings.word_embeddings",
    positions: Some("embeddings.position_embeddings"),
    token_types: Some("embeddings.token_type_embeddings"),
    embedding_norm: Some("embeddings.LayerNorm"),
    layers: "encoder.layer",
    attention: SublayerNames {
        input: &["attention.self.query", "attention.self.key", "attention.self.value"],
        output: "attention.output.dense",
        norm_before: None,
        norm_after: None,
        norm_residual: Some("attention.output.LayerNorm"),
    },
    mlp: SublayerNames {
        input: &["intermediate.dense"],
        output: "output.dense",
        norm_before: None,
        norm_after: None,
        norm_residual: Some("output.LayerNorm"),
    },
    query_norm: None,
    key_norm: None,
    final_norm: None,
    head: "",
    sequence_head: HeadNames {
        dense: Some(("bert.pooler.dense", Squash::Tanh)),
        output: "classifier",
        bias: true,
    },
    token_head: HeadNames { dense: None, output: "classifier", bias: true },
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    family(fields, "bert", NAMES)
}

/// Reads BERT's settings under `names`.
pub fn family(
    fields: &Fields<'_>,
    model_type: &'static str,
    names: Names,
) -> Result<ModelConfig, FormatError> {
    for key in ["is_decoder", "add_cross_attention"] {
        if fields.flag(key)? {
            let problem = "encoders made into decoders are not supported".to_owned();
            return Err(fields.unsupported(key, problem, "use it as an encoder"));
        }
    }
    if let Some(other) = fields.text("position_embedding_type")?.filter(|&kind| kind != "absolute") {
        let other = crate::error::Shortened(other);
        let problem = format!("positions of type {other:?} are not supported (supported: absolute)");
        return Err(fields.unsupported("position_embedding_type", problem, "use a model with absolute ones"));
    }
    let size = |key: &str, most: u64, usual: usize| -> Result<usize, FormatError> {
        Ok(fields.optional_size(key, most)?.unwrap_or(usual))
    };
    let hidden_size = size("hidden_size", MOST_WIDTH, 768)?;
    let heads = size("num_attention_heads", MOST_HEADS, 12)?;
    let layers = size("num_hidden_layers", MOST_LAYERS, 12)?;
    encoder(
        fields,
        ModelConfig {
            model_type,
            vocab_size: size("vocab_size", MOST_VOCABULARY, 30_522)?,
            intermediate_size: size("intermediate_size", MOST_WIDE, 3072)?,
            max_position_embeddings: size("max_position_embeddings", MOST_TOKENS, 512)?,
            token_types: size("type_vocab_size", MOST_WIDTH, 2)?,
            norm_eps: fields.optional_number("layer_norm_eps", &EPSILON)?.unwrap_or(1e-12),
            activation: activation(fields, "hidden_act", "gelu")?,
            ..blank(fields, names, ("hidden_size", hidden_size), heads, layers)?
        },
    )
}

/// Returns an encoder of these sizes, with all other settings those of BERT.
pub fn blank(
    fields: &Fields<'_>,
    names: Names,
    (key, hidden_size): (&str, usize),
    heads: usize,
    layers: usize,
) -> Result<ModelConfig, FormatError> {
    let head_dim = cut_into_heads(fields, key, hidden_size, heads)?;
    Ok(ModelConfig {
        model_type: "bert",
        vocab_size: 0,
        hidden_size,
        intermediate_size: 0,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        max_position_embeddings: 0,
        tie_word_embeddings: true,
        bos_token_id: fields.token("bos_token_id", None)?,
        eos_token_id: fields.tokens("eos_token_id", &[])?,
        pad_token_id: fields.token("pad_token_id", Some(0))?,
        names,
        norm: NormKind::Layer,
        norm_eps: 1e-12,
        activation: activation(fields, "activation", "gelu")?,
        gated: false,
        biases: Biases { attention_input: true, attention_output: true, mlp: true },
        stored_in_out: false,
        scalars: Scalars::for_head_dim(head_dim),
        residual: Residual::Sequential,
        causal: false,
        position_offset: 0,
        token_types: 0,
        task: task(fields, Task::FeatureExtraction)?,
        num_labels: labels(fields)?,
        ropes: Vec::new(),
        layers: vec![Mixer::attention(None); layers],
    })
}

/// Refuses an encoder whose learnt positions end before its texts begin.
pub fn encoder(fields: &Fields<'_>, config: ModelConfig) -> Result<ModelConfig, FormatError> {
    if config.max_position_embeddings <= config.position_offset {
        let problem = format!("{} positions leave none for a token", config.max_position_embeddings);
        return Err(fields.wrong("max_position_embeddings", problem));
    }
    Ok(config)
}
