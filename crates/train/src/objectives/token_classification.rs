//! Token classification: a class for each word.

use lorelei_data::{Batch, IGNORE_INDEX, Targets};
use lorelei_models::Model;

use super::{Measure, Metric, Objective, SupervisedTargets, Supervision, confusion::Confusion};

/// Classification of each labelled token: cross entropy over the classes, accuracy and macro-averaged F1 over tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenClassification;

impl Objective for TokenClassification {
    fn supervision(&self, _: &Model, batch: &Batch) -> Supervision {
        let Targets::Tags(labels) = &batch.targets else { return Supervision::none() };
        let labelled = (0..).zip(labels).filter(|(_, label)| **label != IGNORE_INDEX);
        let (rows, ids) = labelled.map(|(row, label)| (row, *label as i32)).unzip();
        Supervision { rows, targets: SupervisedTargets::Ids(ids) }
    }

    fn uniform_loss(&self, model: &Model) -> Option<f64> {
        Some((model.config().num_labels as f64).ln())
    }

    fn metrics(&self) -> &'static [Metric] {
        &[Metric::ACCURACY, Metric::F1]
    }

    fn measure(&self, num_labels: usize) -> Box<dyn Measure> {
        Box::new(Confusion::new(num_labels))
    }
}
