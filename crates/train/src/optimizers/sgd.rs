//! Plain gradient descent.

use burn::tensor::Tensor;

use super::{Flat, Span, Step, UpdateRule};

/// `torch.optim.SGD` without momentum: its weight decay is a part of the gradient.
#[derive(Debug)]
pub(super) struct Sgd;

impl UpdateRule for Sgd {
    fn update(&self, step: &Step, _: &[Span], Flat { theta, states }: Flat, grad: Tensor<1>) -> Flat {
        let grad = step.clipped(grad);
        let grad = match step.weight_decay {
            0.0 => grad,
            weight_decay => grad + theta.clone() * weight_decay,
        };
        Flat { theta: theta - grad * step.learning_rate, states }
    }
}
