//! SmolLM3: Llama with no rotary embedding in every fourth layer.

use super::super::decoder::{self, DEFAULTS, Defaults, LLAMA, MOST_LAYERS, MOST_TOKENS, set_windows};
use super::super::read_rope::RopeDefaults;
use super::super::{Mixer, ModelConfig, design::Biases, fields::Fields};
use crate::FormatError;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let defaults = Defaults {
        max_position_embeddings: 32_768,
        num_key_value_heads: Some(4),
        tie_word_embeddings: true,
        bos: Some(128_000),
        eos: &[128_001],
        pad: Some(128_004),
        rope: RopeDefaults { theta: 2_000_000.0, ..DEFAULTS.rope },
        ..DEFAULTS
    };
    let mut config = decoder::read(fields, "smollm3", LLAMA, defaults)?;
    let attention = fields.flag("attention_bias")?;
    config.biases =
        Biases { attention_input: attention, attention_output: attention, mlp: fields.flag("mlp_bias")? };
    const KEY: &str = "no_rope_layers";
    // In spite of the key's name, 1 means that the layer rotates its queries and keys.
    let turned = fields.bits(KEY)?;
    let interval = fields.optional_size("no_rope_layer_interval", MOST_LAYERS)?.unwrap_or(4);
    if let Some(turned) = &turned
        && turned.len() < config.layers.len()
    {
        let problem = format!("{} numbers for {} layers", turned.len(), config.layers.len());
        return Err(fields.wrong(KEY, problem));
    }
    let is_turned = |layer: usize| match &turned {
        Some(turned) => turned[layer],
        None => !(layer + 1).is_multiple_of(interval),
    };
    for (index, layer) in config.layers.iter_mut().enumerate() {
        *layer = Mixer::attention(is_turned(index).then_some(0));
    }
    let window = match fields.flag("use_sliding_window")? {
        true => fields.optional_size("sliding_window", MOST_TOKENS)?,
        false => None,
    };
    set_windows(&mut config, fields, window, |layer| !is_turned(layer))?;
    Ok(config)
}
