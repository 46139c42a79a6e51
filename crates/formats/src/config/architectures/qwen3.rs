//! Qwen3: Qwen2 without its biases, with a norm of each head's queries and keys.

use super::super::decoder::{self, Defaults, LLAMA};
use super::super::design::{Biases, Names};
use super::super::{ModelConfig, fields::Fields};
use super::qwen2;
use crate::FormatError;

const NAMES: Names =
    Names { query_norm: Some("self_attn.q_norm"), key_norm: Some("self_attn.k_norm"), ..LLAMA };

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults { head_dim: Some(128), ..qwen2::defaults() };
    let mut config = decoder::read(fields, "qwen3", NAMES, defaults)?;
    let attention = fields.flag("attention_bias")?;
    config.biases = Biases { attention_input: attention, attention_output: attention, ..Biases::default() };
    qwen2::windows(&mut config, fields)?;
    Ok(config)
}
