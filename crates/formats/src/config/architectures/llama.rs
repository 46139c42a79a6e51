//! Llama 1 to 3, SmolLM and SmolLM2, TinyLlama, and all other models of type `llama`.

use super::super::decoder::{self, DEFAULTS, LLAMA};
use super::super::design::Biases;
use super::super::{ModelConfig, fields::Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let mut config = decoder::read(fields, "llama", LLAMA, DEFAULTS)?;
    let attention = fields.flag("attention_bias")?;
    config.biases =
        Biases { attention_input: attention, attention_output: attention, mlp: fields.flag("mlp_bias")? };
    Ok(config)
}
