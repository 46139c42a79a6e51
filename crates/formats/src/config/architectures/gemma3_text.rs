//! Gemma 3's language model: norms on both sides of each part, and windows whose layers have their own rotary embedding.

use super::super::decoder::{self, DEFAULTS, Defaults, MOST_LAYERS, MOST_TOKENS, set_windows};
use super::super::design::Names;
use super::super::fields::{FACTOR, Fields, ROTARY_BASE};
use super::super::read_rope::{RopeDefaults, read_part};
use super::super::{Mixer, ModelConfig};
use super::{gemma, gemma2};
use crate::FormatError;

const NAMES: Names =
    Names { query_norm: Some("self_attn.q_norm"), key_norm: Some("self_attn.k_norm"), ..gemma2::NAMES };

/// Rotary base of the layers with a window.
const LOCAL_THETA: f64 = 10_000.0;

pub fn read(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    if fields.flag("use_bidirectional_attention")? {
        let problem = "it is an encoder".to_owned();
        let help = "use a Gemma 3 that generates text";
        return Err(fields.unsupported("use_bidirectional_attention", problem, help));
    }
    let defaults = Defaults {
        max_position_embeddings: 131_072,
        rope: RopeDefaults { theta: 1_000_000.0, ..DEFAULTS.rope },
        ..gemma::defaults()
    };
    let mut config = decoder::read(fields, "gemma3_text", NAMES, defaults)?;
    gemma::common(&mut config);
    gemma2::scaled(&mut config, fields)?;
    // Transformers reads `attn_logit_softcapping` and ignores it; so does this code.
    config.biases = gemma::biases(fields)?;
    config.scalars.logits_softcap = fields.optional_number("final_logit_softcapping", &FACTOR)?;

    let nested = fields.object("rope_parameters")?;
    let part = |key: &str| match &nested {
        Some(nested) => nested.object(key),
        None => Ok(None),
    };
    let (full, sliding) = (part("full_attention")?, part("sliding_attention")?);
    let theta = fields.optional_number("rope_local_base_freq", &ROTARY_BASE)?.unwrap_or(LOCAL_THETA);
    let (dim, positions) = (config.head_dim, config.max_position_embeddings);
    if let Some(full) = &full {
        let theta = fields.optional_number("rope_theta", &ROTARY_BASE)?.unwrap_or(1_000_000.0);
        config.ropes[0] = read_part(fields, Some(full), theta, dim, positions, &DEFAULTS.rope)?;
    }
    config.ropes.push(read_part(fields, sliding.as_ref(), theta, dim, positions, &DEFAULTS.rope)?);

    let window = match fields.has("sliding_window") {
        true => fields.optional_size("sliding_window", MOST_TOKENS)?,
        false => Some(4096),
    };
    // Transformers 4 has the distance between full layers; in some versions the name of the key begins with an underscore.
    let pattern = match fields.optional_size("sliding_window_pattern", MOST_LAYERS)? {
        Some(pattern) => pattern,
        None => fields.optional_size("_sliding_window_pattern", MOST_LAYERS)?.unwrap_or(6),
    };
    // A window of any size marks a layer; its size is set afterwards.
    set_windows(&mut config, fields, Some(usize::MAX), |layer| (layer + 1) % pattern != 0)?;
    let attentions = config.layers.iter_mut().filter_map(Mixer::as_attention_mut);
    for attention in attentions.filter(|attention| attention.window.is_some()) {
        (attention.rope, attention.window) = (Some(1), window);
    }
    Ok(config)
}
