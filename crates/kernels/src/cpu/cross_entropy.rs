//! Fast path of [`crate::portable::cross_entropy`]: one buffer of logits, turned into their gradient in place.

use burn::backend::flex::FlexTensor;
use lorelei_shaders::limits::logit_rows;
use pulp::Arch;
use rayon::prelude::*;

use super::{
    dims, floats, ints,
    linear::{times, times_transposed, transposed_times},
    math, tensor,
};

/// Turns a row of logits into `softmax - onehot(target)` and returns `logsumexp - logit[target]`.
fn softmax_minus_target(logits: &mut [f32], target: usize) -> f64 {
    Arch::new().dispatch(|| {
        let picked = logits[target];
        let max = math::max(logits);
        let sum = math::exp_sum(logits, max);
        let inverse = 1.0 / sum;
        for value in logits.iter_mut() {
            *value *= inverse;
        }
        logits[target] -= 1.0;
        (sum as f64).ln() + (max as f64 - picked as f64)
    })
}

struct Outcome {
    loss: FlexTensor,
    grad_hidden: Vec<f32>,
    grad_head: Vec<f32>,
}

fn run(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &FlexTensor,
    want_hidden: bool,
    want_head: bool,
) -> Outcome {
    let [n, h] = dims(hidden);
    let [vocab, _] = dims(head);
    let (hidden, head, targets) = (floats(hidden), floats(head), ints(targets));
    let step = logit_rows(vocab).min(n.max(1));
    let mut logits = vec![0f32; step * vocab];
    let mut grad_hidden = vec![0f32; if want_hidden { n * h } else { 0 }];
    let mut grad_head = vec![0f32; if want_head { vocab * h } else { 0 }];
    let mut loss = 0f64;
    for start in (0..n).step_by(step) {
        let rows = step.min(n - start);
        let logits = &mut logits[..rows * vocab];
        let hidden = &hidden[start * h..(start + rows) * h];
        times_transposed(logits, false, 1.0, hidden, &head, [rows, h, vocab]);
        let losses: Vec<f64> = logits
            .par_chunks_mut(vocab)
            .zip(&targets[start..start + rows])
            .map(|(logits, target)| softmax_minus_target(logits, *target as usize))
            .collect();
        // Summed in order: the loss does not depend on the number of threads.
        loss += losses.iter().sum::<f64>();
        if want_hidden {
            let out = &mut grad_hidden[start * h..(start + rows) * h];
            times(out, false, 1.0, logits, &head, [rows, h, vocab]);
        }
        if want_head {
            transposed_times(&mut grad_head, true, 1.0, logits, hidden, [rows, h, vocab]);
        }
    }
    Outcome { loss: tensor(vec![loss as f32], [1]), grad_hidden, grad_head }
}

/// Returns the summed loss, `[1]`.
pub fn loss(hidden: FlexTensor, head: FlexTensor, targets: FlexTensor) -> FlexTensor {
    run(&hidden, &head, &targets, false, false).loss
}

/// Returns the summed loss `[1]` and `dHidden [n, h]`.
pub fn loss_and_grad(hidden: FlexTensor, head: FlexTensor, targets: FlexTensor) -> (FlexTensor, FlexTensor) {
    let outcome = run(&hidden, &head, &targets, true, false);
    (outcome.loss, tensor(outcome.grad_hidden, dims::<2>(&hidden)))
}

/// Returns the summed loss `[1]`, `dHidden [n, h]` and `dHead [vocab, h]`.
pub fn loss_and_grads(
    hidden: FlexTensor,
    head: FlexTensor,
    targets: FlexTensor,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let outcome = run(&hidden, &head, &targets, true, true);
    (
        outcome.loss,
        tensor(outcome.grad_hidden, dims::<2>(&hidden)),
        tensor(outcome.grad_head, dims::<2>(&head)),
    )
}
