//! Adafactor.

use burn::tensor::Tensor;

use super::{Flat, Span, Step, UpdateRule};

/// The number that is added to squared gradients.
const EPSILON: f64 = 1e-30;
/// Largest root mean square of an update. A larger update is scaled down to it.
const CLIP_THRESHOLD: f64 = 1.0;
/// Exponent in the weight of the earlier squared gradients in their running mean: `1 - step^DECAY_RATE`.
const DECAY_RATE: f64 = -0.8;

/// `transformers.Adafactor` (Shazeer and Stern, 2018), as the `Trainer` creates it: without a relative step, without a first moment. For a
/// matrix it keeps the row and column means of the squared gradients, for a vector the squares.
#[derive(Debug)]
pub(super) struct Adafactor;

impl UpdateRule for Adafactor {
    fn update(&self, step: &Step, spans: &[Span], group: Flat, grad: Tensor<1>) -> Flat {
        let grad = step.clipped(grad);
        let mut values = Vec::with_capacity(spans.len());
        let mut states = vec![Vec::new(); group.states.len()];
        for span in spans {
            let cut = |tensor: &Tensor<1>| tensor.clone().narrow(0, span.elements.start, span.elements.len());
            let (value, kept) = update_one(step, span, cut(&group.theta), &group.states, cut(&grad));
            values.push(value);
            states.iter_mut().zip(kept).for_each(|(all, kept)| all.push(kept));
        }
        Flat {
            theta: Tensor::cat(values, 0),
            states: states.into_iter().map(|parts| Tensor::cat(parts, 0)).collect(),
        }
    }
}

/// Returns the new value of one parameter, and its new states.
fn update_one(
    step: &Step,
    span: &Span,
    theta: Tensor<1>,
    states: &[Tensor<1>],
    grad: Tensor<1>,
) -> (Tensor<1>, Vec<Tensor<1>>) {
    let past = 1.0 - f64::from(step.step).powf(DECAY_RATE);
    let mixed = |at: usize, new: Tensor<1>| {
        let (_, range) = &span.states[at];
        states[at].clone().narrow(0, range.start, range.len()) * past + new * (1.0 - past)
    };
    let squares = grad.clone() * grad.clone() + EPSILON;
    let (change, kept) = match span.shape[..] {
        [rows, columns] => {
            let squares = squares.reshape([rows, columns]);
            let of_rows = mixed(0, squares.clone().mean_dim(1).reshape([rows]));
            let of_columns = mixed(1, squares.mean_dim(0).reshape([columns]));
            let by_row = (of_rows.clone() / of_rows.clone().mean()).sqrt().recip().reshape([rows, 1]);
            let by_column = of_columns.clone().sqrt().recip().reshape([1, columns]);
            let change = (grad.reshape([rows, columns]) * by_row * by_column).reshape([rows * columns]);
            (change, vec![of_rows, of_columns])
        }
        _ => {
            let mean = mixed(0, squares);
            (grad * mean.clone().sqrt().recip(), vec![mean])
        }
    };
    let size = (change.clone() * change.clone()).mean().sqrt();
    let change = change / (size / CLIP_THRESHOLD).clamp_min(1.0) * step.learning_rate;
    let decay = step.weight_decay * step.learning_rate;
    let theta = if decay == 0.0 { theta } else { theta.clone() - theta * decay };
    (theta - change, kept)
}
