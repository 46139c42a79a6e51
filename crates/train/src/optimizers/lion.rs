//! Lion.

use burn::tensor::Tensor;
use lorelei_recipe::TrainingArguments;

use super::{Flat, Span, Step, UpdateRule};

/// Lion (Chen et al., 2023, algorithm 2), in bitsandbytes' order. The values decay, then move by the learning rate in the direction of
/// `sign(beta1 m + (1 - beta1) g)`. Then `m` becomes `beta2 m + (1 - beta2) g`.
#[derive(Debug)]
pub(super) struct Lion {
    beta1: f64,
    beta2: f64,
}

impl Lion {
    pub(super) fn new(arguments: &TrainingArguments) -> Self {
        Self { beta1: arguments.adam_beta1, beta2: arguments.adam_beta2 }
    }
}

impl UpdateRule for Lion {
    fn update(&self, step: &Step, _: &[Span], Flat { theta, states }: Flat, grad: Tensor<1>) -> Flat {
        let [m] = states.try_into().expect("Lion keeps one tensor");
        let grad = step.clipped(grad);
        let direction = (m.clone() * self.beta1 + grad.clone() * (1.0 - self.beta1)).sign();
        let theta = step.decayed(theta) - direction * step.learning_rate;
        Flat { theta, states: vec![m * self.beta2 + grad * (1.0 - self.beta2)] }
    }
}
