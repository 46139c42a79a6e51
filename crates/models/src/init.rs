//! Random initial values that are the same on every device and platform.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Stream of random numbers selected by a seed and a tensor's name, so that one tensor's values do not depend on which others exist.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed ^ fnv1a(name)))
    }

    /// Draws uniformly from `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws uniformly from `[-bound, bound)`.
    pub(crate) fn uniform(&mut self, bound: f64) -> f32 {
        ((2.0 * self.unit() - 1.0) * bound) as f32
    }

    /// Draws from a normal distribution with mean zero, by Box and Muller's transform.
    pub(crate) fn normal(&mut self, deviation: f64) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        (radius * angle.cos() * deviation) as f32
    }

    /// Creates a tensor whose elements are returned by `draw`, row by row.
    pub(crate) fn tensor<const D: usize>(
        mut self,
        shape: [usize; D],
        device: &Device,
        mut draw: impl FnMut(&mut Self) -> f32,
    ) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw(&mut self)).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// Computes the 64-bit FNV-1a hash of a name.
pub(crate) fn fnv1a(name: &str) -> u64 {
    name.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_has_the_deviation_asked_for() {
        let mut draw = Draw::new(3, "x");
        let values: Vec<f64> = (0..100_000).map(|_| draw.normal(0.5) as f64).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean} {variance}");
    }

    #[test]
    fn names_and_seeds_draw_apart() {
        let first = |seed, name| Draw::new(seed, name).uniform(1.0);
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }
}
