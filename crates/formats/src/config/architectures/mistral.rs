//! Mistral: Llama with a window in every layer.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA, MOST_TOKENS, set_windows};
use super::super::{ModelConfig, fields::Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults { max_position_embeddings: 4096 * 32, num_key_value_heads: Some(8), ..DEFAULTS };
    let mut config = decoder::read(fields, "mistral", LLAMA, defaults)?;
    let window = match fields.has("sliding_window") {
        true => fields.optional_size("sliding_window", MOST_TOKENS)?,
        false => Some(4096),
    };
    set_windows(&mut config, fields, window, |_| true)?;
    Ok(config)
}
