//! The loop.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use lorelei_data::{Batch, Padding, RowSet, collate, micro_batches, sampling_order};
use lorelei_kernels::gpu;
use lorelei_models::{ForwardMode, Model, Regularization, Tokens};
use lorelei_recipe::{LoraConfig, StepPlan, TrainingArguments};

use crate::{
    Checkpoint, Evaluation, Event, Finished, Host, LossScale, Optimizer, Sampled, Saved, Signal, Started,
    StepLog, TrainError, TrainerState, Warned,
    classification::{Score, learnt},
    save::{adapter_files, state_files},
    state::Sums,
};

/// A model, what it shall learn, and how.
pub struct Job {
    /// With its adapters in place, or learning whole.
    pub model: Model,
    /// The adapter's configuration; none for full fine-tuning.
    pub lora: Option<LoraConfig>,
    /// The module names that the adapter sits on, for `adapter_config.json`.
    pub target_modules: Vec<String>,
    /// What `adapter_config.json` names as the base.
    pub base_model: String,
    /// Transformers' arguments.
    pub arguments: TrainingArguments,
    /// Rows to learn from.
    pub train: RowSet,
    /// Rows to evaluate on; may be empty.
    pub validation: RowSet,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Fills short rows up.
    pub padding: Padding,
    /// Where an earlier run of the same job was; its adapter must be in the model. None begins at the first step.
    pub checkpoint: Option<Checkpoint>,
    /// A prompt to answer now and then.
    pub sample: Option<Sample>,
}

/// A prompt that the model answers while it learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Optimizer steps between two answers.
    pub every: usize,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
}

/// The host side of a batch as the model takes it.
pub fn tokens(batch: &Batch) -> Tokens {
    Tokens {
        batch: batch.batch_size,
        seq: batch.seq_len,
        input_ids: batch.input_ids.clone(),
        position_ids: batch.position_ids.clone(),
        segment_ids: batch.segment_ids.clone(),
        token_type_ids: batch.token_type_ids.clone(),
    }
}

/// Sums since the last log line.
#[derive(Default)]
struct Interval {
    loss: Option<Tensor<1>>,
    steps: usize,
    tokens: usize,
    began: f64,
}

impl Interval {
    /// Goes on with what a checkpoint has of it.
    fn resumed(sums: &Sums, device: &Device, began: f64) -> Self {
        let loss = || Tensor::from_data(TensorData::new(vec![sums.interval_loss as f32], [1]), device);
        Self {
            loss: (sums.interval_steps > 0).then(loss),
            steps: sums.interval_steps,
            tokens: sums.interval_tokens,
            began,
        }
    }
}

/// Whether a classifier learns numbers, or several classes a text.
fn has_values(rows: &RowSet) -> Result<bool, TrainError> {
    // All are alike.
    let first = if rows.is_empty() { None } else { Some(rows.row(0)?) };
    Ok(first.is_some_and(|row| row.documents.iter().any(|document| !document.values.is_empty())))
}

/// Some rows as a batch.
fn batch(rows: &RowSet, chosen: &[usize], padding: Padding) -> Result<Batch, TrainError> {
    let rows = chosen.iter().map(|row| rows.row(*row)).collect::<Result<Vec<_>, _>>()?;
    Ok(collate(&rows.iter().collect::<Vec<_>>(), padding))
}

/// Whether evaluation can tell accuracy and F1.
fn classifies(model: &Model) -> bool {
    model.config().task.classifies()
}

/// Leaves `save_total_limit` checkpoints; the best one is kept beside the newest.
async fn rotate(job: &Job, host: &mut impl Host, state: &TrainerState, newest: &str) {
    let Some(limit) = job.arguments.save_total_limit.filter(|limit| *limit > 0) else { return };
    let best = state.best_model_checkpoint.as_deref().filter(|_| job.arguments.load_best_model_at_end);
    let best = best.and_then(|path| path.rsplit(['/', '\\']).next());
    let keep = if limit == 1 && best.is_some_and(|best| best != newest) { 2 } else { limit };
    host.rotate(keep, best).await;
}

/// Trains to the end, or until the host asks to stop, and saves what was learnt into `output_dir`.
///
/// # Errors
///
/// If the data has nothing to learn from, the numbers diverge, the device fails or a save does; what was saved before stands.
pub async fn train(job: &mut Job, host: &mut impl Host) -> Result<Finished, TrainError> {
    let plan = StepPlan::new(job.train.len(), &job.arguments)?;
    if (0..job.train.len()).all(|row| job.train.num_targets(row) == 0) {
        return Err(TrainError::Data(
            "no token of the training data is learnt: every label is masked; is max_length too short for the prompts?".into(),
        ));
    }
    let says_numbers = job.model.config().num_labels == 1 && has_values(&job.train)?;
    if (!classifies(&job.model) || says_numbers) && job.arguments.best_metric() != "loss" {
        let metric = job.arguments.best_metric();
        return Err(TrainError::Data(format!(
            "training.metric_for_best_model = {metric:?} is a classifier's, and this model has no classes; leave it at \"loss\""
        )));
    }
    let mut optimizer = Optimizer::new(&mut job.model, &job.arguments);
    let (mut state, mut best) = (TrainerState::default(), Vec::new());
    let mut loss_scale = (job.model.dtype() == FloatDType::F16).then(LossScale::default);
    let first = match job.checkpoint.take() {
        None => 0,
        Some(checkpoint) if checkpoint.step as u64 > plan.total_steps => {
            return Err(TrainError::Checkpoint(format!(
                "it was taken at step {}, and the run has {} steps",
                checkpoint.step, plan.total_steps
            )));
        }
        Some(checkpoint) => {
            optimizer.restore(&checkpoint, job.model.device())?;
            if let (Some(scale), Some(restored)) = (&mut loss_scale, checkpoint.state.loss_scale.clone()) {
                *scale = restored;
            }
            (state, best) = (checkpoint.state, checkpoint.best);
            checkpoint.step
        }
    };
    job.model.regularize(Regularization {
        label_smoothing: job.arguments.label_smoothing_factor as f32,
        neftune_noise_alpha: job.arguments.neftune_noise_alpha.unwrap_or(0.0) as f32,
    });
    let (trainable_parameters, all_parameters) = job.model.parameter_counts();
    let total = plan.total_steps as usize;
    host.event(&Event::Started(Started {
        first_step: first,
        num_examples: job.train.len(),
        total_steps: total,
        warmup_steps: plan.warmup_steps as usize,
        num_epochs: plan.epoch_at(plan.total_steps),
        effective_batch_size: job.arguments.per_device_train_batch_size
            * job.arguments.gradient_accumulation_steps,
        trainable_parameters,
        all_parameters,
    }));
    let began = host.seconds();
    let mut interval = Interval::resumed(&state.sums, job.model.device(), began);
    let (mut loss_total, mut token_total, mut done) = (state.sums.loss_total, 0usize, first);
    if job.arguments.eval_on_start && first == 0 && !job.validation.is_empty() {
        let evaluation = evaluate(job, host, 0, 0.0).await?;
        state.evaluated(&evaluation, &job.arguments, job.validation.len());
        host.event(&Event::Evaluated(evaluation));
        interval.began = host.seconds();
    }
    let mut micro_batches_of: Option<(u64, Vec<Vec<usize>>)> = None;
    let mut stopped = false;
    for step in first as u64 + 1..=plan.total_steps {
        if host.next_step().await == Signal::Stop {
            stopped = true;
            break;
        }
        let (epoch, range) = plan.micro_batches(step);
        if micro_batches_of.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let order = sampling_order(&job.train, &job.arguments, epoch, job.shuffle);
            let size = job.arguments.per_device_train_batch_size;
            let of_epoch = micro_batches(&order, size, job.arguments.dataloader_drop_last);
            micro_batches_of = Some((epoch, of_epoch));
        }
        let of_epoch = micro_batches_of.as_ref().map(|(_, all)| all.as_slice()).unwrap_or_default();
        let batches = of_epoch[range].iter().map(|rows| batch(&job.train, rows, job.padding));
        let batches: Vec<Batch> = batches.collect::<Result<_, _>>()?;
        // The schedule waits while steps are skipped, as with accelerate.
        let skipped = loss_scale.as_ref().map_or(0, |scale| scale.skipped_steps);
        let learning_rate = plan.learning_rate(step - skipped.min(step - 1));
        let scale = loss_scale.as_mut();
        let counted = gpu::counters();
        let measures = plan.is_logging_step(step);
        let taken =
            optimizer_step(job, &mut optimizer, &batches, learning_rate, step, scale, measures).await?;
        let Taken { loss, norm, .. } = taken;
        let now = gpu::counters();
        let counters =
            (now.launches > counted.launches).then(|| (now.flops - counted.flops, now.bytes - counted.bytes));
        let counted: usize = batches.iter().map(Batch::num_tokens).sum();
        token_total += counted;
        interval.tokens += counted;
        interval.steps += 1;
        interval.loss = Some(match interval.loss.take() {
            None => loss,
            Some(sum) => sum + loss,
        });
        done = step as usize;
        if plan.is_logging_step(step) {
            let sum = read(interval.loss.take()).await;
            let sum = sum.map_err(|reason| TrainError::Device { step: done, reason })?;
            let was_skipped = loss_scale.as_ref().is_some_and(|scale| scale.skipped_steps > skipped);
            let grad_norm =
                read(Some(norm)).await.map_err(|reason| TrainError::Device { step: done, reason })?;
            if !sum.is_finite() || !(grad_norm.is_finite() || was_skipped) {
                return Err(
                    diverged(&optimizer, done, ("the loss", sum), ("the gradient norm", grad_norm)).await
                );
            }
            loss_total += sum;
            let now = host.seconds();
            let elapsed = now - began;
            let log = StepLog {
                step: done,
                epoch: plan.epoch_at(step),
                loss: sum / interval.steps as f64,
                learning_rate,
                grad_norm,
                tokens_per_second: interval.tokens as f64 / (now - interval.began).max(1e-9),
                elapsed_seconds: elapsed,
                remaining_seconds: elapsed / (done - first) as f64 * (total - done) as f64,
                memory_bytes: host.memory_bytes(),
                device_memory_bytes: taken.device_memory.max(device_memory(job.model.device())),
                kernel_flops: counters.map(|(flops, _)| flops),
                kernel_bytes: counters.map(|(_, bytes)| bytes),
                loss_scale: loss_scale.as_ref().map(|scale| scale.scale),
                skipped_steps: loss_scale.as_ref().map(|scale| scale.skipped_steps),
            };
            state.logged(&log);
            host.event(&Event::Step(log));
            interval = Interval { began: now, ..Interval::default() };
        } else {
            host.event(&Event::Progress { step: done });
        }
        let epoch = plan.epoch_at(step);
        let stepped = host.seconds();
        let mut is_enough = false;
        if plan.is_eval_step(step) && !job.validation.is_empty() {
            let evaluation = evaluate(job, host, done, epoch).await?;
            is_enough = state.evaluated(&evaluation, &job.arguments, job.validation.len());
            host.event(&Event::Evaluated(evaluation));
        }
        if let Some(sample) = &job.sample
            && done.is_multiple_of(sample.every.max(1))
        {
            let ids = job.model.generate(&sample.prompt, sample.max_new_tokens, &sample.stop).await?;
            host.event(&Event::Sampled(Sampled { step: done, ids, text: String::new() }));
        }
        if plan.is_save_step(step) {
            let directory = format!("checkpoint-{done}");
            if job.arguments.load_best_model_at_end && state.best_global_step == Some(done) {
                best =
                    optimizer.values().await.map_err(|reason| TrainError::Device { step: done, reason })?;
                state.best_model_checkpoint = Some(format!("{}/{directory}", job.arguments.output_dir));
            }
            state.sums = Sums {
                loss_total,
                counted_from: state.sums.counted_from,
                interval_loss: finite("the loss", interval.loss.clone(), done).await?,
                interval_steps: interval.steps,
                interval_tokens: interval.tokens,
            };
            state.loss_scale = loss_scale.clone();
            let trainer_state = state.to_json(&plan, &job.arguments, done, epoch);
            let mut files = adapter_files(job, &optimizer, done).await?;
            files.extend(state_files(&mut job.model, &optimizer, &best, done, &trainer_state).await?);
            host.save(&directory, files).await?;
            host.event(&Event::Saved(Saved { step: done, directory: directory.clone() }));
            rotate(job, host, &state, &directory).await;
        }
        // Tokens a second are those of the steps alone.
        interval.began += host.seconds() - stepped;
        if is_enough {
            let message = format!(
                "stopped at step {done}: eval_{} was no better for {} evaluations",
                job.arguments.best_metric(),
                state.patience_counter
            );
            host.event(&Event::Warned(Warned { message }));
            break;
        }
    }
    // Steps after the last logged one count in the mean; Transformers writes no line for them.
    loss_total += finite("the loss", interval.loss.take(), done).await?;
    if let (true, Some(step), Some(metric)) = (!best.is_empty(), state.best_global_step, state.best_metric) {
        optimizer.set_values(&mut job.model, &best);
        let folder = state.best_model_checkpoint.unwrap_or_default();
        let message = format!(
            "the best was eval_{} {metric:.4} at step {step}: what was learnt is that of {folder}",
            job.arguments.best_metric()
        );
        host.event(&Event::Warned(Warned { message }));
    }
    let files = adapter_files(job, &optimizer, done).await?;
    host.save("", files).await?;
    host.event(&Event::Saved(Saved { step: done, directory: String::new() }));
    let runtime = host.seconds() - began;
    let finished = Finished {
        steps: done,
        train_loss: loss_total / done.saturating_sub(state.sums.counted_from).max(1) as f64,
        train_runtime: runtime,
        tokens_per_second: token_total as f64 / runtime.max(1e-9),
        memory_bytes: host.memory_bytes(),
        stopped,
    };
    host.event(&Event::Finished(finished));
    Ok(finished)
}

/// What a step gave, on the device.
struct Taken {
    loss: Tensor<1>,
    norm: Tensor<1>,
    /// The most that the device's allocator held behind a backward pass, where that was asked for.
    device_memory: u64,
}

/// What a device's allocator holds.
fn device_memory(device: &Device) -> u64 {
    device.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved)
}

/// Forward and backward of every micro-batch, then the update.
///
/// The loss is summed over the labelled tokens of all micro-batches and divided by their number, as Transformers does
/// (`num_items_in_batch`).
async fn optimizer_step(
    job: &mut Job,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    learning_rate: f64,
    step: u64,
    loss_scale: Option<&mut LossScale>,
    measures: bool,
) -> Result<Taken, TrainError> {
    let learnt: Vec<_> = batches.iter().map(|batch| learnt(&job.model, batch)).collect();
    let items: usize = learnt.iter().map(|learnt| learnt.rows.len()).sum();
    let mut total: Option<Tensor<1>> = None;
    let mut most = 0;
    let scale = loss_scale.as_ref().map_or(1.0, |scale| scale.scale);
    for (micro, (batch, learnt)) in batches.iter().zip(&learnt).enumerate() {
        if learnt.rows.is_empty() {
            continue;
        }
        let dropout_seed = job.arguments.seed ^ (step << 20) ^ micro as u64;
        let (loss, mut gradients) = job.model.loss_and_gradients(
            &tokens(batch),
            ForwardMode::Training { dropout_seed },
            &learnt.rows,
            learnt.targets(),
            (items as f64 / scale) as f32,
            job.arguments.gradient_checkpointing,
        )?;
        if measures {
            // Before pages that are free again are given back.
            most = most.max(device_memory(job.model.device()));
        }
        total = Some(match total {
            None => loss,
            Some(sum) => sum + loss,
        });
        optimizer.accumulate(&mut job.model, &mut gradients);
        job.model.untrack();
    }
    let device = job.model.device().clone();
    let loss = total.unwrap_or_else(|| Tensor::zeros([1], &device)) / scale;
    let norm = optimizer.gradient_norm(&device);
    let Some(loss_scale) = loss_scale else {
        optimizer.step(&mut job.model, learning_rate, &norm, 1.0);
        return Ok(Taken { loss, norm, device_memory: most });
    };
    let step = step as usize;
    // As torch's GradScaler, this waits for the device: whether the step is taken depends on it.
    let is_finite = match read(Some(norm.clone())).await {
        Ok(norm) => norm.is_finite(),
        Err(reason) => return Err(TrainError::Device { step, reason }),
    };
    match is_finite {
        true => optimizer.step(&mut job.model, learning_rate, &norm, scale),
        false => optimizer.skip(),
    }
    loss_scale.update(is_finite);
    if loss_scale.is_lost() {
        return Err(diverged(optimizer, step, ("the loss scale", loss_scale.scale), ("", 0.0)).await);
    }
    Ok(Taken { loss, norm: norm / scale, device_memory: most })
}

/// What is wrong with a step: the parameter whose gradient it is, where there is one, else the first of these numbers that is not finite.
async fn diverged(optimizer: &Optimizer, step: usize, first: (&str, f64), second: (&str, f64)) -> TrainError {
    let (what, value) = match optimizer.broken_gradient().await {
        Err(reason) => return TrainError::Device { step, reason },
        Ok(Some((name, value))) => (format!("the gradient of {name}"), value),
        Ok(None) if first.1.is_finite() && second.1.is_finite() => (first.0.to_owned(), first.1),
        Ok(None) => {
            let (what, value) = if first.1.is_finite() { second } else { first };
            (what.to_owned(), value)
        }
    };
    TrainError::Diverged { what, value, step }
}

/// The loss on the validation rows, as Transformers' `Trainer.evaluate` computes it.
///
/// # Errors
///
/// If there is nothing to evaluate, or the device fails.
pub async fn evaluate(
    job: &Job,
    host: &impl Host,
    step: usize,
    epoch: f64,
) -> Result<Evaluation, TrainError> {
    let began = host.seconds();
    let (mut sum, mut counted) = (0f64, 0usize);
    let has_values = has_values(&job.validation)?;
    let all: Vec<usize> = (0..job.validation.len()).collect();
    let mut score = classifies(&job.model).then(|| Score::new(&job.model, has_values));
    for rows in all.chunks(job.arguments.per_device_eval_batch_size) {
        let batch = batch(&job.validation, rows, job.padding)?;
        let learnt = learnt(&job.model, &batch);
        if learnt.rows.is_empty() {
            continue;
        }
        let hidden = job.model.hidden_states(&tokens(&batch), ForwardMode::Evaluation)?;
        if let Some(score) = &mut score {
            score.add(&job.model, hidden.clone(), &learnt).await?;
        }
        let loss = job.model.loss(hidden, &learnt.rows, learnt.targets())?;
        let loss = read(Some(loss)).await.map_err(|reason| TrainError::Device { step, reason })?;
        sum += loss / learnt.rows.len() as f64 * rows.len() as f64;
        counted += rows.len();
    }
    if counted == 0 {
        return Err(TrainError::Data("the validation set has no token that is learnt".into()));
    }
    let eval_runtime = host.seconds() - began;
    Ok(Evaluation {
        step,
        epoch,
        eval_loss: sum / counted as f64,
        eval_runtime,
        eval_samples_per_second: counted as f64 / eval_runtime.max(1e-9),
        eval_accuracy: score.as_ref().and_then(Score::accuracy),
        eval_f1: score.as_ref().and_then(Score::f1),
    })
}

/// A number from the device that a run can go on with; 0 where there is none.
async fn finite(what: &str, tensor: Option<Tensor<1>>, step: usize) -> Result<f64, TrainError> {
    let value = read(tensor).await.map_err(|reason| TrainError::Device { step, reason })?;
    if !value.is_finite() {
        return Err(TrainError::Diverged { what: what.into(), value, step });
    }
    Ok(value)
}

async fn read(tensor: Option<Tensor<1>>) -> Result<f64, String> {
    match tensor {
        None => Ok(0.0),
        Some(tensor) => match tensor.into_scalar_async::<f32>().await {
            Ok(value) => Ok(value as f64),
            Err(error) => Err(format!("{error:?}")),
        },
    }
}
