//! Gemma: Llama with scaled embeddings and norms whose weights are stored less one.

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

/// Returns Gemma's defaults.
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

/// Sets what all Gemma models share.
pub fn common(config: &mut ModelConfig) {
    config.norm = NormKind::RmsPlusOne;
    config.scalars.embedding_scale = (config.hidden_size as f64).sqrt();
}

/// Reads the biases of the attention, which the file may ask for.
pub fn biases(fields: &Fields<'_>) -> Result<Biases, FormatError> {
    let attention = fields.flag("attention_bias")?;
    Ok(Biases { attention_input: attention, attention_output: attention, ..Biases::default() })
}
