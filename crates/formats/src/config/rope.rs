//! Rotary frequencies, in the very operations of Transformers (`modeling_rope_utils.py`), which are float32's.

use std::f64::consts::TAU;

/// How rotary frequencies are stretched so that a model reads longer contexts than it was first trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// The base grows with the text, once that is longer than the first training's (NTK-aware scaling).
    Dynamic {
        /// How fast it grows.
        factor: f64,
        /// The longest text that is read unscaled, in tokens.
        max_position_embeddings: usize,
    },
    /// Low frequencies are divided by `factor`, high ones are kept, those between are blended.
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
        /// Rotations over the first training's context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is divided.
        beta_slow: f64,
        /// The context length of the first training, in tokens.
        original_max_position_embeddings: usize,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// Whether the ramp begins and ends at whole frequencies.
        truncate: bool,
    },
    /// Every frequency has a divisor of its own, one for short texts and one for long ones (Ding et al., 2024).
    LongRope {
        /// The divisors of texts no longer than the first training's.
        short_factor: Vec<f32>,
        /// The divisors of longer ones.
        long_factor: Vec<f32>,
        /// The context length of the first training, in tokens.
        original_max_position_embeddings: usize,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
    },
}

/// How queries and keys are turned by their positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How many of a head's values are turned, from the first on; even.
    pub dim: usize,
    /// Whether neighbours `(2i, 2i + 1)` are turned together (GLM), rather than `(i, i + dim / 2)`.
    pub interleaved: bool,
    /// How the frequencies are stretched.
    pub scaling: RopeScaling,
}

impl Rope {
    /// The frequencies of a text of `length` tokens in radians a token, `[dim / 2]`, the fastest first, and what cosines and sines are
    /// multiplied by.
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

/// `theta^(2i / dim)` for each `i`.
fn powers(theta: f64, dim: usize) -> impl Iterator<Item = f32> {
    (0..dim / 2).map(move |i| {
        let exponent = (2 * i) as f32 / dim as f32;
        // A float32 power, correctly rounded wherever it is computed (a browser's powf may differ from glibc's).
        f64::from(theta as f32).powf(exponent.into()) as f32
    })
}

/// A frequency by the scalings that look at nothing else.
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
