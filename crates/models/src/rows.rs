//! Matrix with a row for each token of the vocabulary, in pieces that a device can bind.

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use lorelei_kernels::{self as kernels, limits::logit_rows};

use crate::precision::{dtype, to_f32};

/// Matrix `[rows, columns]` in pieces of whole rows, all of the same number but the last. It is one piece if the device can bind that.
#[derive(Debug, Clone)]
pub struct Rows(Vec<Tensor<2>>);

impl Rows {
    /// Wraps a matrix as one piece.
    pub(crate) fn whole(matrix: Tensor<2>) -> Self {
        Self(vec![matrix])
    }

    /// Returns the number of rows of a piece, so that none has more than `largest` bytes. Without a limit it is the number of all rows.
    pub(crate) fn rows_each(rows: usize, row_bytes: usize, largest: Option<u64>) -> usize {
        let fitting = largest.map_or(usize::MAX, |largest| {
            usize::try_from(largest / row_bytes.max(1) as u64).unwrap_or(usize::MAX)
        });
        match rows.div_ceil(fitting.max(1)) {
            0 | 1 => rows,
            pieces => rows.div_ceil(pieces),
        }
    }

    /// Wraps pieces, all of the same number of rows but the last.
    pub(crate) fn of(pieces: Vec<Tensor<2>>) -> Self {
        Self(pieces)
    }

    /// Returns the pieces.
    pub(crate) fn pieces(&self) -> &[Tensor<2>] {
        &self.0
    }

    /// Like [`Self::pieces`], but mutable.
    pub(crate) fn pieces_mut(&mut self) -> &mut [Tensor<2>] {
        &mut self.0
    }

    /// Returns the matrix, if it is in one piece.
    pub(crate) fn one(&self) -> Option<&Tensor<2>> {
        match &self.0[..] {
            [matrix] => Some(matrix),
            _ => None,
        }
    }

    /// Returns the pieces as one tensor.
    pub(crate) fn joined(&self) -> Tensor<2> {
        Tensor::cat(self.0.clone(), 0)
    }

    /// Returns the type of the numbers.
    pub(crate) fn dtype(&self) -> FloatDType {
        self.0.first().map_or(FloatDType::F32, dtype)
    }

    /// Returns `[rows, columns]`.
    pub fn dims(&self) -> [usize; 2] {
        let rows = self.0.iter().map(|piece| piece.dims()[0]).sum();
        [rows, self.0.first().map_or(0, |piece| piece.dims()[1])]
    }

    /// Returns some rows `[ids, columns]`, in the order of `ids`.
    pub(crate) fn select(&self, ids: &[i32], device: &Device) -> Tensor<2> {
        if let Some(matrix) = self.one() {
            return matrix.clone().select(0, index(ids, device));
        }
        let each = self.0[0].dims()[0] as i32;
        let (mut found, mut places, mut parts) = (0, vec![0i32; ids.len()], Vec::new());
        for (number, piece) in (0..).zip(&self.0) {
            let here: Vec<usize> = (0..ids.len()).filter(|at| ids[*at] / each == number).collect();
            if here.is_empty() {
                continue;
            }
            for (place, at) in (found..).zip(&here) {
                places[*at] = place;
            }
            found += here.len() as i32;
            let inside: Vec<i32> = here.iter().map(|at| ids[*at] % each).collect();
            parts.push(piece.clone().select(0, index(&inside, device)));
        }
        Tensor::cat(parts, 0).select(0, index(&places, device))
    }

    /// Computes `x·Wᵀ`: `x [n, columns]` to `[n, rows]`.
    pub(crate) fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let parts: Vec<Tensor<2>> =
            self.0.iter().map(|piece| kernels::linear(x.clone(), piece.clone())).collect();
        if parts.len() == 1 { parts.into_iter().next().unwrap_or(x) } else { Tensor::cat(parts, 1) }
    }

    /// Computes the mean of all rows, `[1, columns]` in single floats.
    pub(crate) fn mean(&self) -> Tensor<2> {
        let [rows, columns] = self.dims();
        let sum = self.0.iter().map(|piece| to_f32(piece.clone()).sum_dim(0)).reduce(|sum, part| sum + part);
        sum.map_or_else(|| Tensor::zeros([1, columns], &self.0[0].device()), |sum| sum / rows as f32)
    }

    /// Computes the cross entropy summed over rows, `[1]`, of `hidden [n, columns]`, whose logits are `hidden·Wᵀ`. With frozen pieces no logits are
    /// saved: the gradient of `hidden` is computed together with the loss, from a few logits at a time.
    pub(crate) fn cross_entropy(&self, hidden: Tensor<2>, targets: &[i32], device: &Device) -> Tensor<1> {
        if let Some(matrix) = self.one() {
            return kernels::cross_entropy(hidden, matrix.clone(), index(targets, device));
        }
        let tracked = hidden.is_autodiff();
        let bare = if tracked { hidden.clone().inner() } else { hidden.clone() };
        let each = logit_rows(self.dims()[0]);
        let (mut loss, mut gradients) = (None::<Tensor<1>>, Vec::new());
        for (start, targets) in (0..).step_by(each).zip(targets.chunks(each)) {
            let x = bare.clone().slice_dim(0, start..start + targets.len());
            let logits = to_f32(self.product(x));
            let log_probs = burn::tensor::activation::log_softmax(logits, 1);
            let targets: Tensor<2, Int> = index(targets, device).unsqueeze_dim(1);
            let part = log_probs.clone().gather(1, targets.clone()).sum().neg();
            loss = Some(match loss {
                None => part,
                Some(sum) => sum + part,
            });
            if tracked {
                // Gradient of the logits, softmax - onehot, times W.
                let ones = Tensor::ones(targets.dims(), device);
                let gradient =
                    log_probs.exp().scatter(1, targets, ones.neg(), burn::tensor::IndexingUpdateOp::Add);
                let (mut from, mut sum) = (0, None::<Tensor<2>>);
                for piece in &self.0 {
                    let to = from + piece.dims()[0];
                    let part = gradient.clone().slice_dim(1, from..to).matmul(to_f32(piece.clone()));
                    (from, sum) = (to, Some(sum.map_or(part.clone(), |sum| sum + part)));
                }
                gradients.extend(sum);
            }
        }
        let loss = loss.unwrap_or_else(|| Tensor::zeros([1], device));
        if !tracked {
            return loss;
        }
        // A sum whose value is the loss and whose gradient is the computed one.
        let dtype = dtype(&hidden);
        let gradient = crate::precision::cast(Tensor::cat(gradients, 0), dtype);
        let apart = hidden - Tensor::from_inner(bare);
        Tensor::from_inner(loss) + to_f32(apart * Tensor::from_inner(gradient)).sum()
    }
}

/// Moves row numbers to a device.
pub(crate) fn index(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_few_and_as_even_as_the_limit_lets_them_be() {
        assert_eq!(Rows::rows_each(10, 4, None), 10);
        assert_eq!(Rows::rows_each(10, 4, Some(40)), 10);
        assert_eq!(Rows::rows_each(10, 4, Some(39)), 5);
        assert_eq!(Rows::rows_each(10, 4, Some(12)), 3);
        assert_eq!(Rows::rows_each(10, 4, Some(1)), 1);
    }
}
