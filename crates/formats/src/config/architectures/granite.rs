//! Granite 3 and 4 (dense): Llama whose embeddings, scores, residual branches and logits are scaled by numbers of the file.

use super::super::ModelConfig;
use super::super::decoder::{self, DEFAULTS, LLAMA};
use super::super::design::{Biases, Scalars};
use super::super::fields::{FACTOR, Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let mut config = decoder::read(fields, "granite", LLAMA, DEFAULTS)?;
    let attention = fields.flag("attention_bias")?;
    config.biases =
        Biases { attention_input: attention, attention_output: attention, mlp: fields.flag("mlp_bias")? };
    let multiplier = |key| Ok::<_, FormatError>(fields.optional_number(key, &FACTOR)?.unwrap_or(1.0));
    config.scalars = Scalars {
        embedding_scale: multiplier("embedding_multiplier")?,
        // Used instead of the square root of a head's width.
        attention_scale: multiplier("attention_multiplier")?,
        residual_scale: multiplier("residual_multiplier")?,
        logits_scale: 1.0 / multiplier("logits_scaling")?,
        ..config.scalars
    };
    Ok(config)
}
