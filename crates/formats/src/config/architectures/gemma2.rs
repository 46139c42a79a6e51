//! Gemma 2: Gemma with norms on both sides of each part, soft caps, and a window in every other layer.

use super::super::ModelConfig;
use super::super::decoder::{self, LLAMA, MOST_TOKENS, set_windows};
use super::super::design::{Names, SublayerNames};
use super::super::fields::{FACTOR, Fields};
use super::gemma;
use crate::FormatError;

pub const NAMES: Names = Names {
    attention: SublayerNames { norm_after: Some("post_attention_layernorm"), ..LLAMA.attention },
    mlp: SublayerNames {
        norm_before: Some("pre_feedforward_layernorm"),
        norm_after: Some("post_feedforward_layernorm"),
        ..LLAMA.mlp
    },
    ..LLAMA
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let mut config = decoder::read(fields, "gemma2", NAMES, gemma::defaults())?;
    config.biases = gemma::biases(fields)?;
    gemma::common(&mut config);
    scaled(&mut config, fields)?;
    config.scalars.attention_softcap = cap(fields, "attn_logit_softcapping", 50.0)?;
    config.scalars.logits_softcap = cap(fields, "final_logit_softcapping", 30.0)?;
    let window = match fields.has("sliding_window") {
        true => fields.optional_size("sliding_window", MOST_TOKENS)?,
        false => Some(4096),
    };
    set_windows(&mut config, fields, window, |layer| layer % 2 == 0)?;
    Ok(config)
}

/// Sets the scale of the scores from a number of the file, instead of the width of a head.
pub fn scaled(config: &mut ModelConfig, fields: &Fields<'_>) -> Result<(), FormatError> {
    let scalar = fields.optional_number("query_pre_attn_scalar", &FACTOR)?.unwrap_or(256.0);
    config.scalars.attention_scale = 1.0 / scalar.sqrt();
    Ok(())
}

fn cap(fields: &Fields<'_>, key: &str, default: f64) -> Result<Option<f64>, FormatError> {
    match fields.has(key) {
        true => fields.optional_number(key, &FACTOR),
        false => Ok(Some(default)),
    }
}
