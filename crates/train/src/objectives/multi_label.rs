//! Classification of texts with any number of classes each (`multi_label_classification`).

use lorelei_data::{Batch, Targets};
use lorelei_models::Model;

use super::{Measure, Metric, Objective, SupervisedTargets, Supervision};

/// Multi-label classification of texts: binary cross entropy, accuracy (all classes of a text are right) and micro-averaged F1, as in
/// Transformers' `run_classification.py`.
#[derive(Debug, Clone, Copy)]
pub struct MultiLabel;

impl Objective for MultiLabel {
    fn supervision(&self, model: &Model, batch: &Batch) -> Supervision {
        match &batch.targets {
            Targets::Classes(classes) => {
                Supervision::of_texts(model, batch, SupervisedTargets::Values(classes.clone()))
            }
            Targets::Tokens(_) | Targets::Tags(_) | Targets::Class(_) | Targets::Number(_) => {
                Supervision::none()
            }
        }
    }

    fn uniform_loss(&self, _: &Model) -> Option<f64> {
        Some(std::f64::consts::LN_2)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[Metric::ACCURACY, Metric::F1]
    }

    fn measure(&self, num_labels: usize) -> Box<dyn Measure> {
        Box::new(Counts { num_labels, ..Counts::default() })
    }
}

/// Counts of the predictions for several classes a text. A class is predicted if its logit is above 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    num_labels: usize,
    texts: usize,
    exact: usize,
    true_positives: usize,
    /// False positives and false negatives.
    errors: usize,
}

impl Counts {
    fn add_text(&mut self, actual: &[f32], logits: &[f32]) {
        let pairs = || actual.iter().zip(logits).map(|(actual, logit)| (*actual > 0.5, *logit > 0.0));
        self.texts += 1;
        self.exact += usize::from(pairs().all(|(actual, found)| actual == found));
        self.true_positives += pairs().filter(|(actual, found)| *actual && *found).count();
        self.errors += pairs().filter(|(actual, found)| actual != found).count();
    }

    /// scikit-learn's `accuracy_score`: all classes of a text are right.
    fn accuracy(&self) -> f64 {
        self.exact as f64 / self.texts.max(1) as f64
    }

    /// scikit-learn's `f1_score(average="micro")`.
    fn micro_f1(&self) -> f64 {
        2.0 * self.true_positives as f64 / (2 * self.true_positives + self.errors).max(1) as f64
    }
}

impl Measure for Counts {
    fn add(&mut self, logits: &[f32], supervision: &Supervision) {
        let labels = self.num_labels.max(1);
        let texts = supervision.values().chunks(labels).zip(logits.chunks(labels));
        texts.for_each(|(actual, logits)| self.add_text(actual, logits));
    }

    fn values(&self, _: f64) -> Vec<(Metric, f64)> {
        vec![(Metric::ACCURACY, self.accuracy()), (Metric::F1, self.micro_f1())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_classes_are_counted_as_scikit_learn_does() {
        let mut counts = Counts::default();
        counts.add_text(&[1.0, 0.0, 1.0], &[2.0, -1.0, 0.5]);
        counts.add_text(&[0.0, 1.0, 0.0], &[0.1, 3.0, -2.0]);
        counts.add_text(&[1.0, 1.0, 0.0], &[-0.1, 3.0, -2.0]);
        // accuracy_score 1/3; f1_score(average="micro"): 4 true positives, 1 false positive, 1 false negative.
        assert!((counts.accuracy() - 1.0 / 3.0).abs() < 1e-12);
        assert!((counts.micro_f1() - 0.8).abs() < 1e-12);
    }
}
