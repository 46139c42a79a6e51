//! Evaluation.

use burn::tensor::Tensor;
use lorelei_data::micro_batches;
use lorelei_models::{ForwardMode, Model};
use lorelei_recipe::{TrainingArguments, message};

use crate::{
    Evaluation, Host, Job, Metric, TrainError,
    device::read_number,
    model_input::{collated, tokens},
    objectives::Measure,
};

/// Computes the loss on the validation rows and the objective's metrics. Returns `None` if the host interrupts it.
///
/// The loss is that of Transformers' `Trainer.evaluate`: the mean over rows of the mean loss of the row's batch. `dataloader_drop_last` leaves out a last
/// batch that is not full, as there.
///
/// # Errors
///
/// If there is nothing to evaluate, or the device fails.
pub async fn evaluate(
    job: &Job,
    host: &impl Host,
    step: usize,
    epoch: f64,
) -> Result<Option<Evaluation>, TrainError> {
    let began = host.seconds();
    let (mut sum, mut counted) = (0f64, 0usize);
    let all: Vec<usize> = (0..job.validation.len()).collect();
    let mut measure = job.objective.measure(job.model.config().num_labels);
    let TrainingArguments { per_device_eval_batch_size: size, dataloader_drop_last, .. } = job.arguments;
    let batches = micro_batches(&all, size, dataloader_drop_last);
    if batches.is_empty() && !all.is_empty() {
        return Err(all_dropped(all.len(), size));
    }
    for rows in &batches {
        if host.is_interrupted() {
            return Ok(None);
        }
        if let Some(loss) = batch_loss(job, rows, &mut *measure, step).await? {
            sum += loss * rows.len() as f64;
            counted += rows.len();
        }
    }
    if counted == 0 {
        return Err(TrainError::Data(message!("the validation set has no token that is learnt")));
    }
    let eval_loss = sum / counted as f64;
    let eval_runtime = host.seconds() - began;
    let metrics = [(Metric::LOSS, eval_loss)].into_iter().chain(measure.values(eval_loss));
    Ok(Some(Evaluation {
        step,
        epoch,
        eval_runtime,
        eval_samples_per_second: counted as f64 / eval_runtime.max(1e-9),
        metrics: metrics.map(|(metric, value)| (format!("eval_{}", metric.name), value)).collect(),
    }))
}

/// Creates the error for validation rows that do not fill one batch.
pub(crate) fn all_dropped(rows: usize, size: usize) -> TrainError {
    TrainError::Data(message!(
        "nothing can be evaluated: the {rows} validation rows do not fill one batch of {size}, and \
         training.dataloader_drop_last leaves out what does not; lower training.per_device_eval_batch_size, or set \
         training.dataloader_drop_last = false",
        rows,
        size
    ))
}

/// Returns the mean loss of a batch, and adds the batch to `measure`. Returns `None` if the batch has no supervised rows.
async fn batch_loss(
    job: &Job,
    rows: &[usize],
    measure: &mut dyn Measure,
    step: usize,
) -> Result<Option<f64>, TrainError> {
    let batch = collated(&job.validation, rows, job.padding)?;
    let supervision = job.objective.supervision(&job.model, &batch);
    if supervision.rows.is_empty() {
        return Ok(None);
    }
    let hidden = job.model.hidden_states(&tokens(&batch), ForwardMode::Evaluation)?;
    if measure.reads_logits() {
        measure.add(&logits(&job.model, &hidden, &supervision.rows).await?, &supervision);
    }
    let loss = job.objective.loss(&job.model, hidden, &supervision, ForwardMode::Evaluation)?;
    let loss = read_number(Some(loss)).await.map_err(|reason| TrainError::Device { step, reason })?;
    Ok(Some(loss / supervision.num_items() as f64))
}

/// Computes the logits `[rows, labels]` of some rows of the residual stream, on the host.
async fn logits(model: &Model, hidden: &Tensor<2>, rows: &[i32]) -> Result<Vec<f32>, TrainError> {
    Ok(model.logits_of(hidden.clone(), rows).await?)
}
