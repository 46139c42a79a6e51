//! Dropout that is a function of a seed and a position, so that its mask need not be stored.

/// Mask of the dropped elements of an adapter's input.
///
/// Element `i` (row-major) survives or is dropped by a hash of `(seed, i)`. Survivors are multiplied by `1 / (1 - p)` as in `torch.nn.Dropout`. The
/// same seed gives the same mask on every backend and in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability of dropping an element, `0 <= p < 1`.
    pub p: f32,
    /// Seed of the mask, one for each adapter and each forward pass.
    pub seed: u64,
}

impl Dropout {
    /// Dropout that drops nothing.
    pub const NONE: Self = Self { p: 0.0, seed: 0 };

    /// Whether every element survives.
    pub fn is_none(&self) -> bool {
        self.p <= 0.0
    }

    /// Returns the factor of element `index`: `0` or `1 / (1 - p)`.
    pub fn factor(&self, index: usize) -> f32 {
        // pcg3d (Jarzynski and Olano, 2020) of position and seed, its top 24 bits as a uniform number: 32-bit words, as in WGSL.
        let word = |value: u64| (value as u32).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [mut x, mut y, mut z] = [word(index as u64), word(self.seed), word(self.seed >> 32)];
        x = x.wrapping_add(y.wrapping_mul(z));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        [x, y, z] = [x ^ (x >> 16), y ^ (y >> 16), z ^ (z >> 16)];
        x = x.wrapping_add(y.wrapping_mul(z));
        let uniform = (x >> 8) as f32 / (1u32 << 24) as f32;
        if uniform < self.p { 0.0 } else { 1.0 / (1.0 - self.p) }
    }

    /// Returns the factors of `len` elements in row-major order.
    pub fn mask(&self, len: usize) -> Vec<f32> {
        (0..len).map(|index| self.factor(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_share_it_says_and_the_mean() {
        let mask = Dropout { p: 0.3, seed: 7 }.mask(200_000);
        let dropped = mask.iter().filter(|f| **f == 0.0).count() as f64 / mask.len() as f64;
        let mean = mask.iter().map(|f| *f as f64).sum::<f64>() / mask.len() as f64;
        assert!((dropped - 0.3).abs() < 0.005, "dropped {dropped}");
        assert!((mean - 1.0).abs() < 0.01, "mean {mean}");
    }

    #[test]
    fn seeds_give_different_masks() {
        let (a, b) = (Dropout { p: 0.5, seed: 1 }, Dropout { p: 0.5, seed: 2 });
        let same = a.mask(10_000).iter().zip(b.mask(10_000)).filter(|(x, y)| **x == *y).count();
        assert!((4_000..6_000).contains(&same), "{same} of 10000 agree");
        assert_eq!(a.mask(64), a.mask(64));
    }
}
