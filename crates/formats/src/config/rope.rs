//! Rotary frequencies, in the same float32 operations as Transformers (`modeling_rope_utils.py`).

use std::f64::consts::TAU;

/// Scaling of rotary frequencies, so that a model reads longer contexts than it was first trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    Default,
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// The base grows with the text once that is longer than the first training's context (NTK-aware scaling).
    Dynamic {
        /// Rate of the growth.
        factor: f64,
        /// Length of the longest text that is read unscaled, in tokens.
        max_position_embeddings: usize,
    },
    /// Low frequencies are divided by `factor`, high ones are kept, and those between are blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// The context length of the first training, in tokens.
        original_max_position_embeddings: usize,
    },
    /// Low frequencies are divided by `factor`, high ones are kept, with a ramp between (Peng et al., 2023).
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Number of rotations over the first training's context above which a frequency is kept.
        beta_fast: f64,
        /// Number of rotations below which a frequency is divided.
        beta_slow: f64,
        /// The context length of the first training, in tokens.
        original_max_position_embeddings: usize,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// Whether the ramp begins and ends at whole frequencies.
        truncate: bool,
    },
    /// Every frequency has its own divisors, one for short texts and one for long ones (Ding et al., 2024).
    LongRope {
        /// Divisors for texts no longer than the first training's context.
        short_factor: Vec<f32>,
        /// Divisors for longer texts.
        long_factor: Vec<f32>,
        /// The context length of the first training, in tokens.
        original_max_position_embeddings: usize,
        /// Factor of cosines and sines.
        attention_factor: f64,
    },
}

/// Rotation of queries and keys by their positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// Number of a head's values that are rotated, from the first on; an even number.
    pub dim: usize,
    /// Whether neighbours `(2i, 2i + 1)` are rotated together (GLM), rather than `(i, i + dim / 2)`.
    pub interleaved: bool,
    /// Scaling of the frequencies.
    pub scaling: RopeScaling,
}

impl Rope {
    /// Returns the frequencies of a text of `length` tokens in radians a token, `[dim / 2]`, the fastest first, and the factor of cosines and sines.
    pub fn frequencies(&self, length: usize) -> (Vec<f32>, f32) {
        let factor = match &self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                *attention_factor as f32
            }
            _ => 1.0,
        };
        (self.scaled(length), factor)
    }

    fn scaled(&self, length: usize) -> Vec<f32> {
        let powers = |theta| powers(theta, self.dim);
        match &self.scaling {
            RopeScaling::Dynamic { factor, max_position_embeddings } => {
                let longest = length.max(*max_position_embeddings) as f64;
                let grown = factor * longest / *max_position_embeddings as f64 - (factor - 1.0);
                let dim = self.dim as f64;
                powers(self.theta * grown.powf(dim / (dim - 2.0))).map(|power| 1.0 / power).collect()
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings,
                truncate,
                ..
            } => {
                let context = *original_max_position_embeddings as f64;
                let place = |rotations: f64| {
                    self.dim as f64 * (context / (rotations * TAU)).ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (place(*beta_fast), place(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(self.dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let blended = |(i, power): (usize, f32)| {
                    let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    1.0 / (*factor as f32 * power) * (1.0 - kept) + 1.0 / power * kept
                };
                powers(self.theta).enumerate().map(blended).collect()
            }
            RopeScaling::LongRope { short_factor, long_factor, original_max_position_embeddings, .. } => {
                let divisors =
                    if length > *original_max_position_embeddings { long_factor } else { short_factor };
                powers(self.theta).zip(divisors).map(|(power, divisor)| 1.0 / (divisor * power)).collect()
            }
            scaling => powers(self.theta).map(|power| scale(1.0 / power, scaling)).collect(),
        }
    }
}

/// Returns `theta^(2i / dim)` for each `i`.
fn powers(theta: f64, dim: usize) -> impl Iterator<Item = f32> {
    (0..dim / 2).map(move |i| {
        let exponent = (2 * i) as f32 / dim as f32;
        // A float32 power, correctly rounded wherever it is computed (a browser's powf may differ from glibc's).
        f64::from(theta as f32).powf(exponent.into()) as f32
    })
}

/// Returns a frequency under the scalings that depend on no other value.
fn scale(freq: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Linear { factor } => freq / factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let context = original_max_position_embeddings as f64;
            // torch divides a scalar by a tensor as scalar * (1 / tensor).
            let wavelength = (1.0 / freq) * TAU as f32;
            if wavelength < (context / high_freq_factor) as f32 {
                freq
            } else if wavelength > (context / low_freq_factor) as f32 {
                freq / factor as f32
            } else {
                let turns = (1.0 / wavelength) * context as f32;
                let smooth = (turns - low_freq_factor as f32) / (high_freq_factor - low_freq_factor) as f32;
                (1.0 - smooth) * freq / factor as f32 + smooth * freq
            }
        }
        _ => freq,
    }
}
