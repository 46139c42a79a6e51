//! What a run learns of its rows, an objective a file: which rows of the residual stream are supervised, by what, and how well an evaluation
//! finds that the model does.

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

use crate::tokens;

pub use causal_lm::CausalLm;
pub use multi_label::MultiLabel;
pub use regression::Regression;
pub use single_label::SingleLabel;
pub use token_classification::TokenClassification;

/// What a run learns.
pub trait Objective: Debug {
    /// The rows of the residual stream that a batch supervises, and what each is to give.
    fn supervision(&self, model: &Model, batch: &Batch) -> Supervision;

    /// The loss summed over the supervised rows of `hidden [n, hidden]`, `[1]`.
    ///
    /// # Errors
    ///
    /// If a target is not among the model's.
    fn loss(
        &self,
        model: &Model,
        hidden: Tensor<2>,
        supervision: &Supervision,
        mode: ForwardMode,
    ) -> Result<Tensor<1>, ModelError> {
        model.loss_in(mode, hidden, &supervision.rows, supervision.targets())
    }

    /// What an evaluation measures beside the loss.
    fn metrics(&self) -> &'static [Metric] {
        &[]
    }

    /// An empty measure of [`Self::metrics`] for a model of `num_labels` classes.
    fn measure(&self, num_labels: usize) -> Box<dyn Measure> {
        let _ = num_labels;
        Box::new(LossAlone)
    }
}

/// The objective for a data set: a classifier's by its labels, else next-token prediction.
pub fn objective(labels: Option<&Labels>) -> Box<dyn Objective> {
    match labels {
        None => Box::new(CausalLm),
        Some(Labels::Classes(_)) => Box::new(SingleLabel),
        Some(Labels::Several(_)) => Box::new(MultiLabel),
        Some(Labels::Number) => Box::new(Regression),
        Some(Labels::Tags(_)) => Box::new(TokenClassification),
    }
}

/// A number that an evaluation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in `metric_for_best_model`; in logs `eval_` stands before it.
    pub name: &'static str,
    /// Whether more of it is better.
    pub greater_is_better: bool,
}

impl Metric {
    /// The loss, which every objective has.
    pub const LOSS: Self = Self { name: "loss", greater_is_better: false };
    /// scikit-learn's `accuracy_score`.
    pub(crate) const ACCURACY: Self = Self { name: "accuracy", greater_is_better: true };
    /// scikit-learn's `f1_score`; the objective says how it is averaged.
    pub(crate) const F1: Self = Self { name: "f1", greater_is_better: true };
}

/// Counts over an evaluation.
pub trait Measure {
    /// Whether [`Self::add`] needs the logits of the supervised rows.
    fn reads_logits(&self) -> bool {
        true
    }

    /// Counts a batch: `logits [rows, labels]` of its supervised rows.
    fn add(&mut self, logits: &[f32], supervision: &Supervision);

    /// The metrics of all that was counted, with the evaluation's loss known.
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

/// What the loss of a batch is taken of.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervision {
    /// Rows of the residual stream `[batch * seq, hidden]`.
    pub rows: Vec<i32>,
    /// What they are to give.
    pub targets: SupervisedTargets,
}

/// What supervised rows are to give.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisedTargets {
    /// A token or a class for each row.
    Ids(Vec<i32>),
    /// Numbers `[rows, labels]`.
    Values(Vec<f32>),
}

impl Supervision {
    /// What the loss is divided by: the supervised rows.
    pub fn num_items(&self) -> usize {
        self.rows.len()
    }

    /// The targets as the model's losses take them.
    pub fn targets(&self) -> Targets<'_> {
        match &self.targets {
            SupervisedTargets::Ids(ids) => Targets::Ids(ids),
            SupervisedTargets::Values(values) => Targets::Values(values),
        }
    }

    /// Classes; empty where numbers are learnt.
    fn ids(&self) -> &[i32] {
        match &self.targets {
            SupervisedTargets::Ids(ids) => ids,
            SupervisedTargets::Values(_) => &[],
        }
    }

    /// Numbers; empty where classes are learnt.
    fn values(&self) -> &[f32] {
        match &self.targets {
            SupervisedTargets::Ids(_) => &[],
            SupervisedTargets::Values(values) => values,
        }
    }

    /// Nothing to learn: a batch of another objective.
    fn none() -> Self {
        Self { rows: Vec::new(), targets: SupervisedTargets::Ids(Vec::new()) }
    }

    /// The row of each text of a batch that says what the text is.
    fn of_texts(model: &Model, batch: &Batch, targets: SupervisedTargets) -> Self {
        Self { rows: model.text_rows(&tokens(batch)), targets }
    }
}

/// The index of the largest logit; the first of equals.
fn argmax(logits: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
    (1..logits.len()).fold(0, larger)
}
