//! Classification of texts with one class each (`single_label_classification`).

use lorelei_data::{Batch, Targets};
use lorelei_models::Model;

use super::{Measure, Metric, Objective, SupervisedTargets, Supervision, confusion::Confusion};

/// Single-label classification of texts: cross entropy over the classes, accuracy and macro-averaged F1.
#[derive(Debug, Clone, Copy)]
pub struct SingleLabel;

impl Objective for SingleLabel {
    fn supervision(&self, model: &Model, batch: &Batch) -> Supervision {
        match &batch.targets {
            Targets::Class(classes) => {
                Supervision::of_texts(model, batch, SupervisedTargets::Ids(classes.clone()))
            }
            Targets::Tokens(_) | Targets::Tags(_) | Targets::Classes(_) | Targets::Number(_) => {
                Supervision::none()
            }
        }
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
