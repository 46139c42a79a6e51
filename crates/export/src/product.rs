//! The products that merging needs, row by row: the rank is small, so that a row of the sum stays in a processor's cache.

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

/// A low-rank change `scale · B A` of a weight `[out, in]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LowRank<'a> {
    /// Matrix `A [r, in]`.
    pub a: &'a [f32],
    /// Matrix `B [out, r]`.
    pub b: &'a [f32],
    /// Number of rows of `A`.
    pub rank: usize,
    /// Number of columns of `A`, above 0.
    pub size_in: usize,
    /// Factor of the product.
    pub scale: f32,
}

impl LowRank<'_> {
    /// Adds the change to `weight [out, in]`. With DoRA's `magnitudes [out]`, the length of each row of the sum becomes that of its magnitude.
    pub fn add_to(&self, weight: &mut [f32], magnitudes: Option<&[f32]>) {
        let each = |(row, values): (usize, &mut [f32])| {
            let b = self.b.get(row * self.rank..).unwrap_or_default();
            let mut change = vec![0.0f32; values.len()];
            for (factor, a) in b.iter().zip(self.a.chunks(self.size_in)) {
                change.iter_mut().zip(a).for_each(|(change, a)| *change += factor * a);
            }
            values.iter_mut().zip(&change).for_each(|(value, change)| *value += self.scale * change);
            if let Some(magnitude) = magnitudes.and_then(|magnitudes| magnitudes.get(row)) {
                let squares: f64 = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
                let factor = magnitude / (squares.sqrt() as f32);
                values.iter_mut().for_each(|value| *value *= factor);
            }
        };
        #[cfg(not(target_arch = "wasm32"))]
        weight.par_chunks_mut(self.size_in).enumerate().for_each(each);
        #[cfg(target_arch = "wasm32")]
        weight.chunks_mut(self.size_in).enumerate().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_by_hand() {
        // B A = [[1, 2, 0], [3, 6, 3]].
        let change = LowRank {
            a: &[1.0, 2.0, 0.0, 0.0, 0.0, 1.0],
            b: &[1.0, 0.0, 3.0, 3.0],
            rank: 2,
            size_in: 3,
            scale: 2.0,
        };
        let mut weight = vec![1.0; 6];
        change.add_to(&mut weight, None);
        assert_eq!(weight, [3.0, 5.0, 1.0, 7.0, 13.0, 7.0]);
        let mut weight = vec![1.0; 6];
        change.add_to(&mut weight, Some(&[35.0f32.sqrt(), 2.0 * 267.0f32.sqrt()]));
        let want = [3.0, 5.0, 1.0, 14.0, 26.0, 14.0];
        assert!(
            weight.iter().zip(want).all(|(got, want): (&f32, f32)| (got - want).abs() < 1e-5),
            "{weight:?}"
        );
    }
}
