//! Confusion matrix: how often each class was predicted for each actual class.

use super::{Measure, Metric, Supervision, argmax};

/// A confusion matrix: `counts[actual][predicted]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confusion(Vec<Vec<usize>>);

impl Confusion {
    pub(super) fn new(classes: usize) -> Self {
        Self(vec![vec![0; classes]; classes])
    }

    /// Counts one prediction. Ignores an unknown class.
    fn add_one(&mut self, actual: i32, found: usize) {
        let row = usize::try_from(actual).ok().and_then(|actual| self.0.get_mut(actual));
        if let Some(count) = row.and_then(|row| row.get_mut(found)) {
            *count += 1;
        }
    }

    /// scikit-learn's `accuracy_score`: the share of correct predictions.
    fn accuracy(&self) -> f64 {
        let right: usize = (0..self.0.len()).map(|class| self.0[class][class]).sum();
        right as f64 / self.0.iter().flatten().sum::<usize>().max(1) as f64
    }

    /// scikit-learn's `f1_score(average="macro")`: the mean over the classes that occur or were predicted.
    fn macro_f1(&self) -> f64 {
        let of_class = |class: usize| {
            let actual: usize = self.0[class].iter().sum();
            let found: usize = self.0.iter().map(|row| row[class]).sum();
            (actual + found > 0).then(|| 2.0 * self.0[class][class] as f64 / (actual + found) as f64)
        };
        let known: Vec<f64> = (0..self.0.len()).filter_map(of_class).collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    }
}

impl Measure for Confusion {
    fn add(&mut self, logits: &[f32], supervision: &Supervision) {
        let rows = logits.chunks(self.0.len().max(1));
        supervision.ids().iter().zip(rows).for_each(|(actual, logits)| self.add_one(*actual, argmax(logits)));
    }

    fn values(&self, _: f64) -> Vec<(Metric, f64)> {
        vec![(Metric::ACCURACY, self.accuracy()), (Metric::F1, self.macro_f1())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_and_f1_are_scikit_learns() {
        let mut confusion = Confusion::new(4);
        let actual = [0, 0, 1, 1, 1, 2, 2, 0];
        let found = [0, 1, 1, 1, 0, 2, 1, 0];
        actual.into_iter().zip(found).for_each(|(actual, found)| confusion.add_one(actual, found));
        // f1_score(actual, found, average="macro"): 2/3, 4/7 and 2/3.
        assert!((confusion.accuracy() - 0.625).abs() < 1e-12);
        assert!((confusion.macro_f1() - (2.0 / 3.0 + 4.0 / 7.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_largest_logit_is_found() {
        assert_eq!(argmax(&[0.5, 2.0, -1.0, 2.0]), 1);
        assert_eq!(argmax(&[f32::NAN]), 0);
    }
}
