//! One optimizer step: forward and backward of every micro-batch, then the update.

use burn::tensor::Tensor;
use lorelei_data::Batch;
use lorelei_models::{BatchGradients, ForwardMode, Model};

use crate::{
    Job, LossScale, Optimizer, Supervision, TrainError,
    device::{read_number, reserved_bytes},
    model_input::tokens,
};

/// Result of a step, on the device.
pub(crate) struct StepOutcome {
    /// The mean loss, `[1]`.
    pub(crate) loss: Tensor<1>,
    /// The norm of the gradient before clipping, `[1]`.
    pub(crate) grad_norm: Tensor<1>,
    /// The most bytes that the device's allocator had reserved after a backward pass, if [`StepSettings::measures_memory`].
    pub(crate) device_memory: u64,
}

/// Settings of a step, beside the job and the optimizer.
pub(crate) struct StepSettings<'s> {
    /// Number of the step, from 1.
    pub(crate) step: u64,
    pub(crate) learning_rate: f64,
    /// The loss scale, in fp16.
    pub(crate) loss_scale: Option<&'s mut LossScale>,
    /// Whether the device's memory is measured.
    pub(crate) measures_memory: bool,
    /// Whether the step is to be given up, which is asked before each micro-batch.
    pub(crate) is_interrupted: &'s dyn Fn() -> bool,
}

/// Takes a step. Returns `None` if the step was given up, which leaves model and optimizer as they were.
///
/// The loss is summed over the supervised rows of all micro-batches and divided by their number, as Transformers does
/// (`num_items_in_batch`).
pub(crate) async fn optimizer_step(
    job: &mut Job,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    settings: StepSettings<'_>,
) -> Result<Option<StepOutcome>, TrainError> {
    let StepSettings { step, learning_rate, loss_scale, measures_memory, is_interrupted } = settings;
    let scale = loss_scale.as_ref().map_or(1.0, |scale| scale.scale);
    let supervisions: Vec<Supervision> =
        batches.iter().map(|batch| job.objective.supervision(&job.model, batch)).collect();
    let items: usize = supervisions.iter().map(Supervision::num_items).sum();
    let divisor = (items as f64 / scale) as f32;
    let (mut total, mut device_memory): (Option<Tensor<1>>, u64) = (None, 0);
    for (micro, (batch, supervision)) in batches.iter().zip(&supervisions).enumerate() {
        if is_interrupted() {
            optimizer.skip();
            return Ok(None);
        }
        if supervision.rows.is_empty() {
            continue;
        }
        let dropout_seed = job.arguments.seed ^ (step << 20) ^ micro as u64;
        let (loss, mut gradients) = backward(job, batch, supervision, dropout_seed, divisor)?;
        if measures_memory {
            // This comes before free pages are returned to the device.
            device_memory = device_memory.max(reserved_bytes(job.model.device()));
        }
        optimizer.accumulate(&mut job.model, &mut gradients);
        total = Some(match total {
            None => loss,
            Some(sum) => sum + loss,
        });
        job.model.untrack();
    }
    let device = job.model.device().clone();
    let loss = total.unwrap_or_else(|| Tensor::zeros([1], &device)) / scale;
    let norm = optimizer.gradient_norm(&device);
    match loss_scale {
        None => optimizer.step(&mut job.model, learning_rate, &norm, 1.0),
        Some(loss_scale) => scaled_update(job, optimizer, loss_scale, learning_rate, &norm, step).await?,
    }
    Ok(Some(StepOutcome { loss, grad_norm: norm / scale, device_memory }))
}

/// Returns the loss of a micro-batch divided by `divisor`, `[1]`, and the gradients.
fn backward(
    job: &mut Job,
    batch: &Batch,
    supervision: &Supervision,
    dropout_seed: u64,
    divisor: f32,
) -> Result<(Tensor<1>, BatchGradients), TrainError> {
    let mode = ForwardMode::Training { dropout_seed };
    let Job { model, objective, arguments, .. } = job;
    let loss = |model: &Model, hidden| Ok(objective.loss(model, hidden, supervision, mode)? / divisor);
    Ok(model.backward(&tokens(batch), mode, arguments.gradient_checkpointing, loss)?)
}

/// Takes the step in fp16 if the gradient is finite; else skips it and halves the scale.
///
/// Like torch's `GradScaler`, this waits for the device, because the gradient decides whether the step is taken.
async fn scaled_update(
    job: &mut Job,
    optimizer: &mut Optimizer,
    loss_scale: &mut LossScale,
    learning_rate: f64,
    norm: &Tensor<1>,
    step: u64,
) -> Result<(), TrainError> {
    let step = step as usize;
    let found = read_number(Some(norm.clone())).await;
    let is_finite = found.map_err(|reason| TrainError::Device { step, reason })?.is_finite();
    match is_finite {
        true => optimizer.step(&mut job.model, learning_rate, norm, loss_scale.scale),
        false => optimizer.skip(),
    }
    loss_scale.update(is_finite);
    match loss_scale.is_lost() {
        true => Err(diverged(optimizer, step, &[("the loss scale", loss_scale.scale)]).await),
        false => Ok(()),
    }
}

/// Returns the error of a step that diverged. It names the parameter whose gradient is not finite, if there is one, else the first of `numbers`
/// that is not finite, or the first number.
pub(crate) async fn diverged(optimizer: &Optimizer, step: usize, numbers: &[(&str, f64)]) -> TrainError {
    let (what, value) = match optimizer.broken_gradient().await {
        Err(reason) => return TrainError::Device { step, reason },
        Ok(Some((name, value))) => (format!("the gradient of {name}"), value),
        Ok(None) => {
            let broken = numbers.iter().find(|(_, value)| !value.is_finite()).or(numbers.first());
            broken.map_or((String::new(), f64::NAN), |(what, value)| ((*what).to_owned(), *value))
        }
    };
    TrainError::Diverged { what, value, step }
}
