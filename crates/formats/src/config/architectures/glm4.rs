//! GLM-4-0414: GLM with norms on both sides of each part.

use super::super::decoder::LLAMA;
use super::super::design::{Names, SublayerNames};
use super::super::{ModelConfig, fields::Fields};
use super::glm;
use crate::FormatError;

const NAMES: Names = Names {
    attention: SublayerNames { norm_after: Some("post_self_attn_layernorm"), ..LLAMA.attention },
    mlp: SublayerNames { input: &["mlp.gate_up_proj"], norm_after: Some("post_mlp_layernorm"), ..LLAMA.mlp },
    ..LLAMA
};

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    glm::family(fields, "glm4", NAMES)
}
