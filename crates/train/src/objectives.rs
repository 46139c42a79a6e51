//! The objectives of training, one a file: the supervised rows of the residual stream, their targets, and the metrics of an evaluation.

mod causal_lm;
mod confusion;
mod multi_label;
mod regression;
mod single_label;
mod token_classification;

use std::fmt::Debug;

use burn::tensor::Tensor;
use lorelei_data::{Batch, Labels};
use lorelei_models::{ForwardMode, Model, ModelError, Targets};

use crate::model_input::tokens;

pub use causal_lm::CausalLm;
pub use multi_label::MultiLabel;
pub use regression::Regression;
pub use single_label::SingleLabel;
pub use token_classification::TokenClassification;

/// An objective of training.
pub trait Objective: Debug {
    /// Returns the rows of the residual stream that a batch supervises, and the target of each.
    fn supervision(&self, model: &Model, batch: &Batch) -> Supervision;

    /// Computes the loss `[1]`, summed over the supervised rows of `hidden [n, hidden]`.
    ///
    /// # Errors
    ///
    /// If a target is not one of the model's classes or tokens.
    fn loss(
        &self,
        model: &Model,
        hidden: Tensor<2>,
        supervision: &Supervision,
        mode: ForwardMode,
    ) -> Result<Tensor<1>, ModelError> {
        model.loss_in(mode, hidden, &supervision.rows, supervision.targets())
    }

    /// Returns the loss of a model that takes every outcome for equally likely. `None` if there is no such loss.
    fn uniform_loss(&self, model: &Model) -> Option<f64>;

    /// The metrics of an evaluation beside the loss.
    fn metrics(&self) -> &'static [Metric] {
        &[]
    }

    /// Creates an empty measure of [`Self::metrics`] for a model of `num_labels` classes.
    fn measure(&self, num_labels: usize) -> Box<dyn Measure> {
        let _ = num_labels;
        Box::new(LossAlone)
    }
}

/// Returns the objective for a data set: with `labels`, the classifier's for them, else next-token prediction.
pub fn objective(labels: Option<&Labels>) -> Box<dyn Objective> {
    match labels {
        None => Box::new(CausalLm),
        Some(Labels::Classes(_)) => Box::new(SingleLabel),
        Some(Labels::Several(_) | Labels::MultiHot(_)) => Box::new(MultiLabel),
        Some(Labels::Number) => Box::new(Regression),
        Some(Labels::Tags(_)) => Box::new(TokenClassification),
    }
}

/// A metric of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name of the metric in `metric_for_best_model`. In logs it has the prefix `eval_`.
    pub name: &'static str,
    /// Whether a greater value is better.
    pub greater_is_better: bool,
}

impl Metric {
    /// The loss, which every objective has.
    pub const LOSS: Self = Self { name: "loss", greater_is_better: false };
    /// scikit-learn's `accuracy_score`.
    pub(crate) const ACCURACY: Self = Self { name: "accuracy", greater_is_better: true };
    /// scikit-learn's `f1_score`. The objective determines how it is averaged.
    pub(crate) const F1: Self = Self { name: "f1", greater_is_better: true };
}

/// Counts over the batches of an evaluation, from which metrics are computed.
pub trait Measure {
    /// Whether [`Self::add`] needs the logits of the supervised rows.
    fn reads_logits(&self) -> bool {
        true
    }

    /// Adds a batch: the `logits [rows, labels]` of its supervised rows.
    fn add(&mut self, logits: &[f32], supervision: &Supervision);

    /// Returns the metrics of all batches that were added. `loss` is the evaluation's.
    fn values(&self, loss: f64) -> Vec<(Metric, f64)>;
}

/// A measure of an objective that has no metric but the loss.
struct LossAlone;

impl Measure for LossAlone {
    fn reads_logits(&self) -> bool {
        false
    }

    fn add(&mut self, _: &[f32], _: &Supervision) {}

    fn values(&self, _: f64) -> Vec<(Metric, f64)> {
        Vec::new()
    }
}

/// The supervised rows of a batch and their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervision {
    /// Rows of the residual stream `[batch * seq, hidden]`.
    pub rows: Vec<i32>,
    /// The targets of the rows.
    pub targets: SupervisedTargets,
}

/// Targets of supervised rows.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisedTargets {
    /// A token or a class for each row.
    Ids(Vec<i32>),
    /// Numbers `[rows, labels]`.
    Values(Vec<f32>),
}

impl Supervision {
    /// Returns the divisor of the loss: the number of supervised rows.
    pub fn num_items(&self) -> usize {
        self.rows.len()
    }

    /// Returns the targets in the form that the model's losses take.
    pub fn targets(&self) -> Targets<'_> {
        match &self.targets {
            SupervisedTargets::Ids(ids) => Targets::Ids(ids),
            SupervisedTargets::Values(values) => Targets::Values(values),
        }
    }

    /// Returns the targets that are tokens or classes; empty if the targets are numbers.
    fn ids(&self) -> &[i32] {
        match &self.targets {
            SupervisedTargets::Ids(ids) => ids,
            SupervisedTargets::Values(_) => &[],
        }
    }

    /// Returns the targets that are numbers; empty if the targets are tokens or classes.
    fn values(&self) -> &[f32] {
        match &self.targets {
            SupervisedTargets::Ids(_) => &[],
            SupervisedTargets::Values(values) => values,
        }
    }

    /// Creates an empty supervision, for a batch of another objective.
    fn none() -> Self {
        Self { rows: Vec::new(), targets: SupervisedTargets::Ids(Vec::new()) }
    }

    /// Supervises the row of each text of a batch that the classification head reads.
    fn of_texts(model: &Model, batch: &Batch, targets: SupervisedTargets) -> Self {
        Self { rows: model.text_rows(&tokens(batch)), targets }
    }
}

/// Returns the index of the largest logit, or the first such index.
fn argmax(logits: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
    (1..logits.len()).fold(0, larger)
}
