//! AdamW.

use burn::tensor::Tensor;
use lorelei_kernels::{AdamWStep, adamw};
use lorelei_recipe::TrainingArguments;

use super::{Flat, Span, Step, UpdateRule};

/// `torch.optim.AdamW` (Loshchilov and Hutter, 2019), with unscaling and clipping in the same pass.
#[derive(Debug)]
pub(super) struct AdamW {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
}

impl AdamW {
    pub(super) fn new(arguments: &TrainingArguments) -> Self {
        Self { beta1: arguments.adam_beta1, beta2: arguments.adam_beta2, epsilon: arguments.adam_epsilon }
    }
}

impl UpdateRule for AdamW {
    fn update(&self, step: &Step, _: &[Span], Flat { theta, states }: Flat, grad: Tensor<1>) -> Flat {
        let [exp_avg, exp_avg_sq] = states.try_into().expect("AdamW keeps two tensors");
        let kernel = AdamWStep {
            lr: step.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon as f32,
            weight_decay: step.weight_decay,
            step: step.step,
            unscale: (1.0 / step.loss_scale) as f32,
            max_grad_norm: step.max_grad_norm as f32,
        };
        let (theta, exp_avg, exp_avg_sq) = adamw(theta, exp_avg, exp_avg_sq, grad, step.norm.clone(), kernel);
        Flat { theta, states: vec![exp_avg, exp_avg_sq] }
    }
}
