//! GLM-4 in its Transformers version: half of each head is rotated, in neighbouring pairs; gate and up are one projection.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA};
use super::super::design::{Biases, Names, SublayerNames};
use super::super::read_rope::RopeDefaults;
use super::super::{ModelConfig, fields::Fields};
use crate::FormatError;

const NAMES: Names = Names { mlp: SublayerNames { input: &["mlp.gate_up_proj"], ..LLAMA.mlp }, ..LLAMA };

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    family(fields, "glm", NAMES)
}

/// Reads GLM's settings under `names`.
pub fn family(
    fields: &Fields<'_>,
    model_type: &'static str,
    names: Names,
) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults {
        max_position_embeddings: 131_072,
        num_key_value_heads: Some(2),
        head_dim: Some(128),
        rms_norm_eps: 1.5625e-7,
        bos: None,
        eos: &[151_329, 151_336, 151_338],
        pad: Some(151_329),
        rope: RopeDefaults { partial: Some(0.5), interleaved: true, ..DEFAULTS.rope },
        ..DEFAULTS
    };
    let mut config = decoder::read(fields, model_type, names, defaults)?;
    let attention_input = fields.optional_flag("attention_bias")?.unwrap_or(true);
    config.biases = Biases { attention_input, ..Biases::default() };
    Ok(config)
}
