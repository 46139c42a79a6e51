//! Regression: a number for each text (`regression`).

use lorelei_data::{Batch, Targets};
use lorelei_models::Model;

use super::{Objective, SupervisedTargets, Supervision};

/// Regression of a number for each text: mean squared error, which is its only metric.
#[derive(Debug, Clone, Copy)]
pub struct Regression;

impl Objective for Regression {
    fn supervision(&self, model: &Model, batch: &Batch) -> Supervision {
        match &batch.targets {
            Targets::Number(numbers) => {
                Supervision::of_texts(model, batch, SupervisedTargets::Values(numbers.clone()))
            }
            Targets::Tokens(_) | Targets::Tags(_) | Targets::Class(_) | Targets::Classes(_) => {
                Supervision::none()
            }
        }
    }

    fn uniform_loss(&self, _: &Model) -> Option<f64> {
        None
    }
}
