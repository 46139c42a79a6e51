//! The optimizers beside AdamW: what each keeps of the past, and its update. Held to torch's and Transformers' in `tests/tests/optimizers.rs`.

use std::ops::Range;

use burn::tensor::Tensor;
use lorelei_estimate::optimizer_state;
use lorelei_recipe::Optimizer as Kind;

/// A parameter's place in the flat tensors of its group.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// Its elements among all of the group's.
    pub(crate) elements: Range<usize>,
    /// Rows and columns; of a vector, 1 row.
    matrix: Option<[usize; 2]>,
    /// What is kept of it in the group's first and second state.
    pub(crate) state: [Range<usize>; 2],
}

impl Span {
    /// The place behind those that end at `elements` and `state`.
    pub(crate) fn new(kind: Kind, name: &str, shape: &[usize], elements: usize, state: [usize; 2]) -> Self {
        let count = shape.iter().product::<usize>();
        let matrix = match shape {
            [rows, columns] => Some([*rows, *columns]),
            _ => None,
        };
        let sizes = optimizer_state(kind, shape);
        let [first, second] = [0, 1].map(|part| state[part]..state[part] + sizes[part]);
        Self { name: name.to_owned(), elements: elements..elements + count, matrix, state: [first, second] }
    }
}

/// What an update needs beside the values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) kind: Kind,
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) weight_decay: f64,
    /// From 1.
    pub(crate) step: u32,
}

/// The new values and states of a group, all flat.
pub(crate) fn update(
    update: Update,
    spans: &[Span],
    theta: Tensor<1>,
    states: [Tensor<1>; 2],
    grad: Tensor<1>,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    match update.kind {
        Kind::Sgd => (sgd(update, theta, grad), states),
        Kind::Lion | Kind::Lion32bit => {
            let [m, none] = states;
            let (theta, m) = lion(update, theta, m, grad);
            (theta, [m, none])
        }
        _ => adafactor(update, spans, theta, states, grad),
    }
}

/// `torch.optim.SGD` without momentum: its weight decay is a part of the gradient.
fn sgd(Update { lr, weight_decay, .. }: Update, theta: Tensor<1>, grad: Tensor<1>) -> Tensor<1> {
    let grad = if weight_decay == 0.0 { grad } else { grad + theta.clone() * weight_decay };
    theta - grad * lr
}

/// Chen et al., 2023, algorithm 2, in bitsandbytes' order: `theta` decays, then moves by `lr` in the direction of
/// `beta1 m + (1 - beta1) g`; `m` follows with `beta2`.
fn lion(
    Update { lr, beta1, beta2, weight_decay, .. }: Update,
    theta: Tensor<1>,
    m: Tensor<1>,
    grad: Tensor<1>,
) -> (Tensor<1>, Tensor<1>) {
    let direction = (m.clone() * beta1 + grad.clone() * (1.0 - beta1)).sign();
    let theta = if weight_decay == 0.0 { theta } else { theta * (1.0 - lr * weight_decay) };
    (theta - direction * lr, m * beta2 + grad * (1.0 - beta2))
}

/// Added to squared gradients.
const EPSILON: f64 = 1e-30;
/// The root mean square that an update may have before it is scaled down.
const CLIP_THRESHOLD: f64 = 1.0;
/// How the share of the past grows: `1 - step^DECAY_RATE`.
const DECAY_RATE: f64 = -0.8;

/// `transformers.Adafactor` (Shazeer and Stern, 2018), as the `Trainer` makes it: without a relative step, without a first moment.
fn adafactor(
    Update { lr, weight_decay, step, .. }: Update,
    spans: &[Span],
    theta: Tensor<1>,
    states: [Tensor<1>; 2],
    grad: Tensor<1>,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let past = 1.0 - f64::from(step).powf(DECAY_RATE);
    let cut = |tensor: &Tensor<1>, range: &Range<usize>| tensor.clone().narrow(0, range.start, range.len());
    let mixed = |old: Tensor<1>, new: Tensor<1>| old * past + new * (1.0 - past);
    let (mut values, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for span in spans {
        let (theta, grad) = (cut(&theta, &span.elements), cut(&grad, &span.elements));
        let squares = grad.clone() * grad.clone() + EPSILON;
        let change = match span.matrix {
            None => {
                let mean = mixed(cut(&states[0], &span.state[0]), squares);
                first.push(mean.clone());
                grad * mean.sqrt().recip()
            }
            Some([rows, columns]) => {
                let squares = squares.reshape([rows, columns]);
                let of_rows =
                    mixed(cut(&states[0], &span.state[0]), squares.clone().mean_dim(1).reshape([rows]));
                let of_columns =
                    mixed(cut(&states[1], &span.state[1]), squares.mean_dim(0).reshape([columns]));
                first.push(of_rows.clone());
                second.push(of_columns.clone());
                let by_row = (of_rows.clone() / of_rows.mean()).sqrt().recip().reshape([rows, 1]);
                let by_column = of_columns.sqrt().recip().reshape([1, columns]);
                (grad.reshape([rows, columns]) * by_row * by_column).reshape([rows * columns])
            }
        };
        let size = (change.clone() * change.clone()).mean().sqrt();
        let change = change / (size / CLIP_THRESHOLD).clamp_min(1.0) * lr;
        let theta = if weight_decay == 0.0 { theta } else { theta.clone() - theta * (weight_decay * lr) };
        values.push(theta - change);
    }
    let joined =
        |parts: Vec<Tensor<1>>, old: Tensor<1>| if parts.is_empty() { old } else { Tensor::cat(parts, 0) };
    let [old_first, old_second] = states;
    (Tensor::cat(values, 0), [joined(first, old_first), joined(second, old_second)])
}
