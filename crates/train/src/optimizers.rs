//! The optimizers, one a file: the update of concatenated parameters from their gradients, and the state that an optimizer keeps.
//! `tests/tests/optimizers.rs` compares them with torch's and Transformers'.

mod adafactor;
mod adamw;
mod lion;
mod muon;
mod sgd;

use std::{fmt::Debug, ops::Range};

use burn::tensor::Tensor;
use lorelei_recipe::{OptimizerNames, TrainingArguments};

/// Rule by which the parameters of a group are updated.
pub(crate) trait UpdateRule: Debug {
    /// Returns the new values and states of a group, all flat. `grad` is the accumulated gradient, neither unscaled nor clipped.
    fn update(&self, step: &Step, spans: &[Span], group: Flat, grad: Tensor<1>) -> Flat;
}

/// The concatenated values and states of a group.
#[derive(Debug, Clone)]
pub(crate) struct Flat {
    /// The values.
    pub(crate) theta: Tensor<1>,
    /// The states: a tensor for each position in the lists of [`lorelei_estimate::optimizer_state`].
    pub(crate) states: Vec<Tensor<1>>,
}

/// A parameter's place in the flat tensors of its group.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The parameter's name.
    pub(crate) name: String,
    /// The parameter's shape.
    pub(crate) shape: Vec<usize>,
    /// Range of the parameter's elements among the group's.
    pub(crate) elements: Range<usize>,
    /// The states of the parameter: the name of each, and the range of its elements among the group's.
    pub(crate) states: Vec<(&'static str, Range<usize>)>,
}

/// Settings of an update, beside values and gradients.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
    /// Number of the step, from 1.
    pub(crate) step: u32,
    /// Global norm `[1]` of the accumulated gradients.
    pub(crate) norm: Tensor<1>,
    /// The factor that the loss was multiplied by.
    pub(crate) loss_scale: f64,
    /// The norm above which gradients are scaled down; 0 does not clip.
    pub(crate) max_grad_norm: f64,
}

impl Step {
    /// Divides the gradients by the loss scale and clips them like `torch.nn.utils.clip_grad_norm_`.
    fn clipped(&self, grad: Tensor<1>) -> Tensor<1> {
        let grad = grad / self.loss_scale;
        if self.max_grad_norm == 0.0 {
            return grad;
        }
        let norm = self.norm.clone() / self.loss_scale;
        grad * ((norm + 1e-6).recip() * self.max_grad_norm).clamp_max(1.0)
    }

    /// Decays the values like AdamW, decoupled from the gradient.
    fn decayed(&self, theta: Tensor<1>) -> Tensor<1> {
        match self.weight_decay {
            0.0 => theta,
            weight_decay => theta * (1.0 - self.learning_rate * weight_decay),
        }
    }
}

/// Creates an optimizer's rule with a recipe's constants.
pub(crate) fn rule(optimizer: OptimizerNames, arguments: &TrainingArguments) -> Box<dyn UpdateRule> {
    match optimizer {
        OptimizerNames::AdamwTorch | OptimizerNames::AdamwTorchFused => {
            Box::new(adamw::AdamW::new(arguments))
        }
        OptimizerNames::Adafactor => Box::new(adafactor::Adafactor),
        OptimizerNames::Lion | OptimizerNames::Lion32bit => Box::new(lion::Lion::new(arguments)),
        OptimizerNames::Muon => Box::new(muon::Muon),
        OptimizerNames::Sgd => Box::new(sgd::Sgd),
    }
}
