//! The optimizers, a file each: how parameters that lie end to end are updated from their gradients, and what is kept of the steps before. Held to
//! torch's and Transformers' in `tests/tests/optimizers.rs`.

mod adafactor;
mod adamw;
mod lion;
mod muon;
mod sgd;

use std::{fmt::Debug, ops::Range};

use burn::tensor::Tensor;
use lorelei_recipe::{OptimizerNames, TrainingArguments};

/// How the parameters of a group are updated.
pub(crate) trait UpdateRule: Debug {
    /// The new values and states of a group, all flat. `grad` is as it was accumulated: neither unscaled nor clipped.
    fn update(&self, step: &Step, spans: &[Span], group: Flat, grad: Tensor<1>) -> Flat;
}

/// The values of a group and what is kept of the steps before, end to end.
#[derive(Debug, Clone)]
pub(crate) struct Flat {
    /// Values.
    pub(crate) theta: Tensor<1>,
    /// A tensor for each place in the lists of [`lorelei_estimate::optimizer_state`].
    pub(crate) states: Vec<Tensor<1>>,
}

/// A parameter's place in the flat tensors of its group.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The parameter's name.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// Its elements among all of the group's.
    pub(crate) elements: Range<usize>,
    /// What is kept of it: the name of each tensor, and its elements among all of the group's.
    pub(crate) states: Vec<(&'static str, Range<usize>)>,
}

/// What an update needs beside values and gradients.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
    /// From 1.
    pub(crate) step: u32,
    /// Global norm of the gradients as they were accumulated, `[1]`.
    pub(crate) norm: Tensor<1>,
    /// What the loss was multiplied by.
    pub(crate) loss_scale: f64,
    /// The norm above which gradients are scaled down; 0 does not clip.
    pub(crate) max_grad_norm: f64,
}

impl Step {
    /// Gradients with the loss scale divided out, clipped as `torch.nn.utils.clip_grad_norm_` does.
    fn clipped(&self, grad: Tensor<1>) -> Tensor<1> {
        let grad = grad / self.loss_scale;
        if self.max_grad_norm == 0.0 {
            return grad;
        }
        let norm = self.norm.clone() / self.loss_scale;
        grad * ((norm + 1e-6).recip() * self.max_grad_norm).clamp_max(1.0)
    }

    /// Values decayed as AdamW does, apart from the gradient.
    fn decayed(&self, theta: Tensor<1>) -> Tensor<1> {
        match self.weight_decay {
            0.0 => theta,
            weight_decay => theta * (1.0 - self.learning_rate * weight_decay),
        }
    }
}

/// A rule, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleKind {
    AdamW,
    Adafactor,
    Lion,
    Muon,
    Sgd,
}

impl RuleKind {
    /// The rule by which an optimizer updates a parameter of that shape.
    pub(crate) fn of(optimizer: OptimizerNames, shape: &[usize]) -> Self {
        match optimizer {
            OptimizerNames::AdamwTorch | OptimizerNames::AdamwTorchFused => Self::AdamW,
            OptimizerNames::Adafactor => Self::Adafactor,
            OptimizerNames::Lion | OptimizerNames::Lion32bit => Self::Lion,
            // What is no matrix goes by AdamW, as torch's Muon wants it.
            OptimizerNames::Muon if shape.len() == 2 => Self::Muon,
            OptimizerNames::Muon => Self::AdamW,
            OptimizerNames::Sgd => Self::Sgd,
        }
    }

    /// The rule with a recipe's constants.
    pub(crate) fn rule(self, arguments: &TrainingArguments) -> Box<dyn UpdateRule> {
        match self {
            Self::AdamW => Box::new(adamw::AdamW::new(arguments)),
            Self::Adafactor => Box::new(adafactor::Adafactor),
            Self::Lion => Box::new(lion::Lion::new(arguments)),
            Self::Muon => Box::new(muon::Muon),
            Self::Sgd => Box::new(sgd::Sgd),
        }
    }
}
