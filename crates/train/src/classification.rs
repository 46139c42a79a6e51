//! What a model learns of a batch by its task, and how well a classifier finds classes.

use burn::tensor::Tensor;
use lorelei_data::{Batch, IGNORE_INDEX};
use lorelei_formats::config::Task;
use lorelei_models::{Model, ModelError, Targets};

use crate::tokens;

/// What the loss is taken of.
pub(crate) struct Learnt {
    /// Rows of the residual stream.
    pub(crate) rows: Vec<i32>,
    /// The token or class of each.
    ids: Vec<i32>,
    /// In place of classes, numbers.
    values: Vec<f32>,
}

impl Learnt {
    /// What the rows are to say.
    pub(crate) fn targets(&self) -> Targets<'_> {
        if self.values.is_empty() { Targets::Ids(&self.ids) } else { Targets::Values(&self.values) }
    }
}

/// What a batch teaches.
///
/// A language model predicts each label from the token before it. Of a text's class (the label of its last token) it is the row that says
/// what the text is, and of a token's class its own.
pub(crate) fn learnt(model: &Model, batch: &Batch) -> Learnt {
    let at = |row: &i32| batch.labels[*row as usize];
    let (rows, ids) = match model.config().task {
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
    };
    Learnt { rows, ids, values: batch.values.clone() }
}

/// How well a classifier does on a validation set.
pub(crate) enum Score {
    /// A class each.
    Classes(Confusion),
    /// Several classes each.
    Several(Several),
    /// Numbers: the loss, the mean squared error, says it.
    Number,
}

impl Score {
    /// Of a model that learns that.
    pub(crate) fn new(model: &Model, has_values: bool) -> Self {
        match (has_values, model.config().num_labels) {
            (true, 1) => Score::Number,
            (true, _) => Score::Several(Several::default()),
            (false, classes) => Score::Classes(Confusion::new(classes)),
        }
    }

    /// Counts what the model says of a batch.
    ///
    /// # Errors
    ///
    /// If the device fails.
    pub(crate) async fn add(
        &mut self,
        model: &Model,
        hidden: Tensor<2>,
        learnt: &Learnt,
    ) -> Result<(), ModelError> {
        match self {
            Score::Number => {}
            Score::Classes(confusion) => {
                let found = model.classes(hidden, &learnt.rows).await?;
                learnt.ids.iter().zip(found).for_each(|(actual, found)| confusion.add(*actual, found));
            }
            Score::Several(several) => {
                let logits = model.logits_of(hidden, &learnt.rows).await?;
                let classes = model.config().num_labels;
                let texts = learnt.values.chunks(classes).zip(logits.chunks(classes));
                texts.for_each(|(actual, found)| several.add(actual, found));
            }
        }
        Ok(())
    }

    /// The share of texts or tokens whose class, or all of whose classes, were found.
    pub(crate) fn accuracy(&self) -> Option<f64> {
        match self {
            Score::Classes(confusion) => Some(confusion.accuracy()),
            Score::Several(several) => Some(several.accuracy()),
            Score::Number => None,
        }
    }

    /// The macro average over classes; of several classes a text the micro average, as in Transformers' `run_classification.py`.
    pub(crate) fn f1(&self) -> Option<f64> {
        match self {
            Score::Classes(confusion) => Some(confusion.macro_f1()),
            Score::Several(several) => Some(several.micro_f1()),
            Score::Number => None,
        }
    }
}

/// What was found of several classes a text. A class is found where its logit is above 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Several {
    texts: usize,
    exact: usize,
    both: usize,
    only_one: usize,
}

impl Several {
    fn add(&mut self, actual: &[f32], found: &[f32]) {
        let pairs = || actual.iter().zip(found).map(|(actual, found)| (*actual > 0.5, *found > 0.0));
        self.texts += 1;
        self.exact += usize::from(pairs().all(|(actual, found)| actual == found));
        self.both += pairs().filter(|(actual, found)| *actual && *found).count();
        self.only_one += pairs().filter(|(actual, found)| actual != found).count();
    }

    /// scikit-learn's `accuracy_score`: all classes of a text are right.
    fn accuracy(&self) -> f64 {
        self.exact as f64 / self.texts.max(1) as f64
    }

    /// scikit-learn's `f1_score(average="micro")`.
    fn micro_f1(&self) -> f64 {
        2.0 * self.both as f64 / (2 * self.both + self.only_one).max(1) as f64
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
    fn several_classes_are_counted_as_scikit_learn_does() {
        let mut several = Several::default();
        several.add(&[1.0, 0.0, 1.0], &[2.0, -1.0, 0.5]);
        several.add(&[0.0, 1.0, 0.0], &[0.1, 3.0, -2.0]);
        several.add(&[1.0, 1.0, 0.0], &[-0.1, 3.0, -2.0]);
        // accuracy_score 1/3; f1_score(average="micro"): 4 found rightly, 1 too many, 1 missed.
        assert!((several.accuracy() - 1.0 / 3.0).abs() < 1e-12);
        assert!((several.micro_f1() - 0.8).abs() < 1e-12);
    }

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
