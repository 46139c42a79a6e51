//! What a model learns of a batch by its task, and how well a classifier finds classes.

use lorelei_data::{Batch, IGNORE_INDEX};
use lorelei_formats::config::Task;
use lorelei_models::Model;

use crate::tokens;

/// What the loss is taken of: (rows of the residual stream, targets).
///
/// A language model predicts each label from the token before it. Of a text's class (the label of its last token) it is the row that says
/// what the text is, and of a token's class its own.
pub(crate) fn targets(model: &Model, batch: &Batch) -> (Vec<i32>, Vec<i32>) {
    let at = |row: &i32| batch.labels[*row as usize];
    match model.config().task {
        Task::CausalLm | Task::FeatureExtraction => batch.targets(),
        Task::TokenClassification => {
            let learnt = (0..batch.labels.len() as i32).filter(|row| at(row) != IGNORE_INDEX);
            learnt.map(|row| (row, at(&row) as i32)).unzip()
        }
        Task::SequenceClassification => {
            let ends = (0..batch.labels.len()).filter(|&at| {
                let next_is_other =
                    (at + 1) % batch.seq_len == 0 || batch.segment_ids[at + 1] != batch.segment_ids[at];
                batch.segment_ids[at] != 0 && next_is_other
            });
            let rows = model.text_rows(&tokens(batch)).into_iter().zip(ends);
            let learnt = rows.filter(|(_, end)| batch.labels[*end] != IGNORE_INDEX);
            learnt.map(|(row, end)| (row, batch.labels[end] as i32)).unzip()
        }
    }
}

/// How often each class was taken for each: `counts[actual][found]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confusion(Vec<Vec<usize>>);

impl Confusion {
    pub(crate) fn new(classes: usize) -> Self {
        Self(vec![vec![0; classes]; classes])
    }

    /// Counts one; a class that is not known counts as nothing.
    pub(crate) fn add(&mut self, actual: i32, found: i32) {
        let row = usize::try_from(actual).ok().and_then(|actual| self.0.get_mut(actual));
        if let Some(count) = row.and_then(|row| row.get_mut(usize::try_from(found).ok()?)) {
            *count += 1;
        }
    }

    /// The share that was found.
    pub(crate) fn accuracy(&self) -> f64 {
        let right: usize = (0..self.0.len()).map(|class| self.0[class][class]).sum();
        right as f64 / self.0.iter().flatten().sum::<usize>().max(1) as f64
    }

    /// scikit-learn's `f1_score(average="macro")`: the mean over the classes that are there or were found.
    pub(crate) fn macro_f1(&self) -> f64 {
        let of_class = |class: usize| {
            let actual: usize = self.0[class].iter().sum();
            let found: usize = self.0.iter().map(|row| row[class]).sum();
            (actual + found > 0).then(|| 2.0 * self.0[class][class] as f64 / (actual + found) as f64)
        };
        let known: Vec<f64> = (0..self.0.len()).filter_map(of_class).collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
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
        actual.into_iter().zip(found).for_each(|(actual, found)| confusion.add(actual, found));
        // f1_score(actual, found, average="macro"): 2/3, 4/7 and 2/3.
        assert!((confusion.accuracy() - 0.625).abs() < 1e-12);
        assert!((confusion.macro_f1() - (2.0 / 3.0 + 4.0 / 7.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }
}
