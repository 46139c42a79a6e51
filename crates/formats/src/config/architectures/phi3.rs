//! Phi-3 and Phi-4-mini: Llama with one projection for queries, keys and values, and one for gate and up.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA, MOST_TOKENS, set_windows};
use super::super::design::{Names, SublayerNames};
use super::super::read_rope::RopeDefaults;
use super::super::{ModelConfig, fields::Fields};
use crate::FormatError;

const NAMES: Names = Names {
    attention: SublayerNames { input: &["self_attn.qkv_proj"], ..LLAMA.attention },
    mlp: SublayerNames { input: &["mlp.gate_up_proj"], ..LLAMA.mlp },
    ..LLAMA
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults {
        max_position_embeddings: 4096,
        rms_norm_eps: 1e-5,
        eos: &[32_000],
        pad: Some(32_000),
        rope: RopeDefaults { partial: Some(1.0), ..DEFAULTS.rope },
        ..DEFAULTS
    };
    let mut config = decoder::read(fields, "phi3", NAMES, defaults)?;
    let window = fields.optional_size("sliding_window", MOST_TOKENS)?;
    set_windows(&mut config, fields, window, |_| true)?;
    Ok(config)
}
