//! Gemma: Llama with scaled embeddings and norms whose weights are kept less one.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA};
use super::super::design::{Biases, NormKind};
use super::super::{ModelConfig, fields::Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults { num_key_value_heads: None, activation_key: "hidden_act", ..defaults() };
    let mut config = decoder::read(fields, "gemma", LLAMA, defaults)?;
    config.biases = biases(fields)?;
    common(&mut config);
    Ok(config)
}

/// Gemma's.
pub fn defaults() -> Defaults {
    Defaults {
        max_position_embeddings: 8192,
        num_key_value_heads: Some(4),
        head_dim: Some(256),
        tie_word_embeddings: true,
        activation_key: "hidden_activation",
        activation: "gelu_pytorch_tanh",
        bos: Some(2),
        eos: &[1],
        pad: Some(0),
        ..DEFAULTS
    }
}

/// What all Gemmas share.
pub fn common(config: &mut ModelConfig) {
    config.norm = NormKind::RmsPlusOne;
    config.scalars.embedding_scale = (config.hidden_size as f64).sqrt();
}

/// Biases of the attention, where the file asks for them.
pub fn biases(fields: &Fields<'_>) -> Result<Biases, FormatError> {
    let attention = fields.flag("attention_bias")?;
    Ok(Biases { attention_input: attention, attention_output: attention, ..Biases::default() })
}
