//! Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA, MOST_LAYERS, MOST_TOKENS, set_windows};
use super::super::{ModelConfig, design::Biases, fields::Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let mut config = decoder::read(fields, "qwen2", LLAMA, defaults())?;
    config.biases = Biases { attention_input: true, ..Biases::default() };
    windows(&mut config, fields)?;
    Ok(config)
}

/// Returns Qwen's defaults.
pub fn defaults() -> Defaults {
    Defaults { max_position_embeddings: 32_768, bos: None, eos: &[], ..DEFAULTS }
}

/// Sets the window of the upper layers, if it is used at all.
pub fn windows(config: &mut ModelConfig, fields: &Fields<'_>) -> Result<(), FormatError> {
    let window = match (fields.flag("use_sliding_window")?, fields.has("sliding_window")) {
        (false, _) => None,
        (true, true) => fields.optional_size("sliding_window", MOST_TOKENS)?,
        (true, false) => Some(4096),
    };
    // Zero is a valid number of layers too.
    let full = match fields.get("max_window_layers").and_then(serde_json::Value::as_u64) {
        Some(0) => 0,
        _ => fields.optional_size("max_window_layers", MOST_LAYERS)?.unwrap_or(28),
    };
    set_windows(config, fields, window, |layer| layer >= full)
}
