//! Rotary frequencies, in the very operations of Transformers (`modeling_rope_utils.py`), which are float32's.

use std::f64::consts::TAU;

/// How rotary frequencies are stretched so that a model reads longer contexts than it was first trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
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
}

/// The frequencies `theta^(-2i / head_dim)` in radians a token, scaled; `[head_dim / 2]`, the fastest first.
///
/// The cosines and sines are not scaled by any of the [`RopeScaling`]s.
pub fn inv_freq(theta: f64, head_dim: usize, scaling: &RopeScaling) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            // A float32 power, correctly rounded wherever it is computed (a browser's powf may differ from glibc's).
            let power = f64::from(theta as f32).powf(exponent.into()) as f32;
            scale(1.0 / power, scaling)
        })
        .collect()
}

fn scale(freq: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Default => freq,
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
    }
}
