//! Reading of the rotary embedding of a `config.json`, in either of Transformers' styles.

use super::fields::{Bounds, FACTOR, Fields, GROWTH, ROTARY_BASE, SHARE};
use super::rope::{Rope, RopeScaling};
use crate::FormatError;

/// Names of the scalings that can be read.
const KNOWN_SCALINGS: &str = "default, linear, dynamic, llama3, yarn, longrope";
const MOST_TOKENS: u64 = 1 << 31;
/// Weights of the logarithm of the growth; 0 stands for none.
const MSCALE: Bounds = Bounds::Within(0.0, 1e6);

/// Rotary embedding of an architecture for keys that the file lacks.
pub(super) struct RopeDefaults {
    pub theta: f64,
    /// Share of a head that is rotated; `None` if the architecture has no such share.
    pub partial: Option<f64>,
    pub interleaved: bool,
}

/// Reads the only rotary embedding of a model, from whichever key has it, in the same order as Transformers.
pub(super) fn read_rope(
    fields: &Fields<'_>,
    head_dim: usize,
    max_positions: usize,
    defaults: &RopeDefaults,
) -> Result<Rope, FormatError> {
    let inner = match fields.object("rope_scaling")? {
        Some(inner) => Some(inner),
        None => fields.object("rope_parameters")?,
    };
    let theta = fields.optional_number("rope_theta", &ROTARY_BASE)?.unwrap_or(defaults.theta);
    read_part(fields, inner.as_ref(), theta, head_dim, max_positions, defaults)
}

/// Reads the rotary embedding described by `inner`, and by `fields` for keys that `inner` lacks.
pub(super) fn read_part(
    fields: &Fields<'_>,
    inner: Option<&Fields<'_>>,
    theta: f64,
    head_dim: usize,
    max_positions: usize,
    defaults: &RopeDefaults,
) -> Result<Rope, FormatError> {
    const PARTIAL: &str = "partial_rotary_factor";
    let (mut share, mut place) = (fields.optional_number(PARTIAL, &SHARE)?, fields);
    if let Some(inner) = inner
        && let Some(inside) = inner.optional_number(PARTIAL, &SHARE)?
    {
        (share, place) = (Some(inside), inner);
    }
    let share = match (share, defaults.partial) {
        (Some(share), None) if share != 1.0 => {
            let problem = format!("only {share} of each head would be rotated");
            return Err(place.unsupported(PARTIAL, problem, "use a model whose heads are rotated whole"));
        }
        (share, partial) => share.or(partial).unwrap_or(1.0),
    };
    let dim = (head_dim as f64 * share) as usize;
    if dim == 0 || !dim.is_multiple_of(2) || dim > head_dim {
        let problem = format!("{dim} of a head's {head_dim} values would be rotated, which makes no pairs");
        return Err(place.wrong(if share == 1.0 { "head_dim" } else { PARTIAL }, problem));
    }
    let theta = match inner {
        Some(inner) => inner.optional_number("rope_theta", &ROTARY_BASE)?.unwrap_or(theta),
        None => theta,
    };
    let scaling = match inner {
        Some(inner) => read_scaling(fields, inner, dim, max_positions)?,
        None => RopeScaling::Default,
    };
    Ok(Rope { theta, dim, interleaved: defaults.interleaved, scaling })
}

fn read_scaling(
    fields: &Fields<'_>,
    rope: &Fields<'_>,
    dim: usize,
    max_positions: usize,
) -> Result<RopeScaling, FormatError> {
    let key = if rope.get("rope_type").is_some() { "rope_type" } else { "type" };
    let original = || -> Result<usize, FormatError> {
        const KEY: &str = "original_max_position_embeddings";
        let outside = fields.optional_size(KEY, MOST_TOKENS)?;
        Ok(outside.or(rope.optional_size(KEY, MOST_TOKENS)?).unwrap_or(max_positions))
    };
    let scaling = match rope.text(key)? {
        None | Some("default") => RopeScaling::Default,
        Some("linear") => RopeScaling::Linear { factor: rope.number("factor", &GROWTH)? },
        Some("dynamic") if dim > 2 => RopeScaling::Dynamic {
            factor: rope.number("factor", &GROWTH)?,
            max_position_embeddings: max_positions,
        },
        Some("llama3") => {
            let (low, high) =
                (rope.number("low_freq_factor", &FACTOR)?, rope.number("high_freq_factor", &FACTOR)?);
            if low as f32 >= high as f32 {
                let problem = format!("{high} is not above low_freq_factor {low}");
                return Err(rope.wrong("high_freq_factor", problem));
            }
            RopeScaling::Llama3 {
                factor: rope.number("factor", &GROWTH)?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original()?,
            }
        }
        // "su" is the first name of LongRoPE in Phi-3.
        Some("longrope" | "su") => longrope(rope, dim, max_positions, original()?)?,
        Some("yarn") if rope.get("short_factor").is_some() => {
            longrope(rope, dim, max_positions, original()?)?
        }
        Some("yarn") => yarn(rope, max_positions, original()?)?,
        Some(other) => {
            let problem = format!(
                "rotary scaling {:?} is not supported (supported: {KNOWN_SCALINGS})",
                crate::error::Shortened(other)
            );
            return Err(rope.unsupported(key, problem, "use a model with a supported scaling"));
        }
    };
    Ok(scaling)
}

fn yarn(rope: &Fields<'_>, max_positions: usize, original: usize) -> Result<RopeScaling, FormatError> {
    let factor = match rope.optional_number("factor", &GROWTH)? {
        Some(factor) => factor,
        None => max_positions as f64 / original as f64,
    };
    let grown = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    let mscales =
        (rope.optional_number("mscale", &MSCALE)?, rope.optional_number("mscale_all_dim", &MSCALE)?);
    let attention_factor = match (rope.optional_number("attention_factor", &FACTOR)?, mscales) {
        (Some(given), _) => given,
        (None, (Some(one), Some(all))) if one != 0.0 && all != 0.0 => grown(one) / grown(all),
        _ => grown(1.0),
    };
    let beta_fast = rope.optional_number("beta_fast", &FACTOR)?.unwrap_or(32.0);
    let beta_slow = rope.optional_number("beta_slow", &FACTOR)?.unwrap_or(1.0);
    if beta_fast < beta_slow {
        return Err(rope.wrong("beta_fast", format!("{beta_fast} is below beta_slow {beta_slow}")));
    }
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        original_max_position_embeddings: original,
        attention_factor,
        truncate: rope.optional_flag("truncate")?.unwrap_or(true),
    })
}

fn longrope(
    rope: &Fields<'_>,
    dim: usize,
    max_positions: usize,
    original: usize,
) -> Result<RopeScaling, FormatError> {
    let divisors = |key: &str| {
        let divisors = rope.numbers(key, &FACTOR)?;
        match divisors.len() == dim / 2 {
            true => Ok(divisors),
            false => Err(rope.wrong(key, format!("{} numbers for {} frequencies", divisors.len(), dim / 2))),
        }
    };
    let factor = match rope.optional_number("factor", &GROWTH)? {
        Some(factor) => factor,
        None => max_positions as f64 / original as f64,
    };
    let attention_factor = match rope.optional_number("attention_factor", &FACTOR)? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None if original < 2 => {
            let problem = format!("{original} tokens are no context that grows to {max_positions}");
            return Err(rope.wrong("original_max_position_embeddings", problem));
        }
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok(RopeScaling::LongRope {
        short_factor: divisors("short_factor")?,
        long_factor: divisors("long_factor")?,
        original_max_position_embeddings: original,
        attention_factor,
    })
}
