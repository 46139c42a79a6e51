//! A run as a value, which is begun or resumed, stepped, evaluated, saved and finished.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use lorelei_data::{Batch, micro_batches, sampling_order};
use lorelei_kernels::gpu;
use lorelei_models::Regularization;
use lorelei_recipe::{StepPlan, message};

use crate::{
    Checkpoint, Event, Finished, Host, Job, LossScale, Metric, Notice, Optimizer, Sample, Sampled, Saved,
    Signal, Started, StepLog, TrainError, TrainerState,
    device::{read_finite, read_number, reserved_bytes},
    evaluate,
    evaluate::all_dropped,
    manifest::{MANIFEST_FILE, Manifest},
    model_input::collated,
    optimizer_step::{StepSettings, diverged, optimizer_step},
    save::{adapter_files, state_files},
    state::Sums,
    unlearnt::unlearnt,
};

/// A job that is being run.
pub struct Run<'r, H> {
    job: &'r mut Job,
    host: &'r mut H,
    plan: StepPlan,
    optimizer: Optimizer,
    /// The loss scale, in fp16.
    loss_scale: Option<LossScale>,
    state: TrainerState,
    /// The values of the best checkpoint, if `load_best_model_at_end` needs them.
    best: Vec<(String, Vec<f32>)>,
    /// The metric that determines the best checkpoint, and whether a greater value is better.
    best_metric: Metric,
    epoch: Option<Epoch>,
    interval: Interval,
    /// Numbers of the last step, for the log.
    last: Option<LastStep>,
    /// Number of optimizer steps that were taken before this run began.
    first: usize,
    /// Number of optimizer steps that have been taken, with those before this run.
    done: usize,
    began: f64,
    loss_total: f64,
    token_total: usize,
    /// Number of the last step after which a checkpoint was saved, by this run or the one before.
    saved: usize,
    /// Whether the host asked to stop.
    stopped: bool,
    /// Whether the host interrupted the run.
    interrupted: bool,
    /// Whether the run ends early because the metric no longer improves.
    is_enough: bool,
}

/// The micro-batches of an epoch, each as the indices of its rows.
struct Epoch {
    number: u64,
    micro_batches: Vec<Vec<usize>>,
}

/// Sums since the last log line.
struct Interval {
    loss: Option<Tensor<1>>,
    steps: usize,
    tokens: usize,
    began: f64,
}

/// The numbers of a step that are logged.
struct LastStep {
    learning_rate: f64,
    grad_norm: Tensor<1>,
    device_memory: u64,
    /// Floating-point operations and bytes of this project's kernels, if they ran.
    counters: Option<(u64, u64)>,
    was_skipped: bool,
}

impl Interval {
    fn new(began: f64) -> Self {
        Self { loss: None, steps: 0, tokens: 0, began }
    }

    /// Resumes the interval from the sums of a checkpoint.
    fn resumed(sums: &Sums, device: &Device, began: f64) -> Self {
        let loss = || Tensor::from_data(TensorData::new(vec![sums.interval_loss as f32], [1]), device);
        Self {
            loss: (sums.interval_steps > 0).then(loss),
            steps: sums.interval_steps,
            tokens: sums.interval_tokens,
            began,
        }
    }

    fn add(&mut self, loss: Tensor<1>, tokens: usize) {
        self.steps += 1;
        self.tokens += tokens;
        self.loss = Some(match self.loss.take() {
            None => loss,
            Some(sum) => sum + loss,
        });
    }
}

impl<'r, H: Host> Run<'r, H> {
    /// Begins a job, or resumes it from its checkpoint. With `eval_on_start`, evaluates before the first step.
    ///
    /// # Errors
    ///
    /// If there is nothing to train on, the checkpoint is another job's, or `metric_for_best_model` is not a metric of the objective.
    pub async fn begin(job: &'r mut Job, host: &'r mut H) -> Result<Self, TrainError> {
        let plan = StepPlan::new(job.train.len(), &job.arguments)?;
        check_data(job, &plan)?;
        let best_metric = best_metric(job)?;
        let mut optimizer = Optimizer::new(&mut job.model, &job.arguments);
        let checkpoint = job.checkpoint.take().unwrap_or_default();
        if checkpoint.step > 0 {
            check_step(&checkpoint, &plan)?;
            optimizer.restore(&checkpoint, job.model.device())?;
        }
        let Checkpoint { step: first, state, best, .. } = checkpoint;
        let scaled = job.model.dtype() == FloatDType::F16;
        let loss_scale = scaled.then(|| state.loss_scale.clone().unwrap_or_default());
        job.model.regularize(Regularization {
            label_smoothing: job.arguments.label_smoothing_factor as f32,
            neftune_noise_alpha: job.arguments.neftune_noise_alpha.unwrap_or(0.0) as f32,
        });
        host.event(&Event::Started(started(job, &plan, first)));
        if job.validation.is_empty() && (1..=plan.total_steps).any(|step| plan.is_eval_step(step)) {
            host.event(&Event::Warned(nothing_to_evaluate()));
        }
        let began = host.seconds();
        let mut run = Self {
            interval: Interval::resumed(&state.sums, job.model.device(), began),
            loss_total: state.sums.loss_total,
            job,
            host,
            plan,
            optimizer,
            loss_scale,
            state,
            best,
            best_metric,
            epoch: None,
            last: None,
            first,
            done: first,
            began,
            token_total: 0,
            saved: first,
            stopped: false,
            interrupted: false,
            is_enough: false,
        };
        if run.job.arguments.eval_on_start && first == 0 && !run.job.validation.is_empty() {
            run.evaluate().await?;
        }
        // The run before was interrupted in this evaluation.
        if first > 0 && run.is_eval_step() && !run.state.has_evaluation(first) {
            run.evaluate().await?;
            if run.is_save_step() {
                run.save().await?;
            }
        }
        Ok(run)
    }

    /// Whether another step follows. Asks the host, which may delay its answer.
    pub async fn goes_on(&mut self) -> bool {
        if self.interrupted || self.is_enough || self.done as u64 >= self.plan.total_steps {
            return false;
        }
        match self.host.next_step().await {
            Signal::Continue => {}
            Signal::Stop => self.stopped = true,
            Signal::Interrupt => self.interrupted = true,
        }
        !self.stopped && !self.interrupted
    }

    /// Whether the host interrupted the run: nothing follows but [`Self::interrupt`].
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Takes an optimizer step, or gives it up if the host interrupts the run.
    ///
    /// # Errors
    ///
    /// If rows cannot be read, the device fails, or in fp16 the gradients are not finite at any loss scale.
    pub async fn step(&mut self) -> Result<(), TrainError> {
        let step = self.done as u64 + 1;
        let batches = self.batches(step)?;
        // The schedule does not advance at skipped steps, as in accelerate.
        let skipped = self.skipped_steps();
        let learning_rate = self.plan.learning_rate(step - skipped.min(step - 1));
        let counted = gpu::counters();
        let host = &*self.host;
        let settings = StepSettings {
            step,
            learning_rate,
            loss_scale: self.loss_scale.as_mut(),
            measures_memory: self.plan.is_logging_step(step),
            is_interrupted: &|| host.is_interrupted(),
        };
        let outcome = optimizer_step(self.job, &mut self.optimizer, &batches, settings).await?;
        let Some(outcome) = outcome else {
            self.interrupted = true;
            return Ok(());
        };
        let now = gpu::counters();
        let counters =
            (now.launches > counted.launches).then(|| (now.flops - counted.flops, now.bytes - counted.bytes));
        self.last = Some(LastStep {
            learning_rate,
            grad_norm: outcome.grad_norm,
            device_memory: outcome.device_memory,
            counters,
            was_skipped: self.skipped_steps() > skipped,
        });
        let tokens: usize = batches.iter().map(Batch::num_tokens).sum();
        self.token_total += tokens;
        self.interval.add(outcome.loss, tokens);
        self.done = step as usize;
        if !self.plan.is_logging_step(step) {
            self.host.event(&Event::Progress { step: self.done });
        }
        Ok(())
    }

    /// Whether the last step is logged.
    pub fn is_logging_step(&self) -> bool {
        !self.interrupted && self.plan.is_logging_step(self.done as u64)
    }

    /// Whether an evaluation follows the last step.
    pub fn is_eval_step(&self) -> bool {
        !self.interrupted && self.plan.is_eval_step(self.done as u64) && !self.job.validation.is_empty()
    }

    /// Whether the sample prompt is answered after the last step.
    pub fn is_sample_step(&self) -> bool {
        let is_due = |sample: &Sample| self.done.is_multiple_of(sample.every.max(1));
        !self.interrupted && self.job.sample.as_ref().is_some_and(is_due)
    }

    /// Whether a checkpoint is saved after the last step.
    pub fn is_save_step(&self) -> bool {
        !self.interrupted && self.plan.is_save_step(self.done as u64)
    }

    /// Reports the steps since the last report.
    ///
    /// # Errors
    ///
    /// If the device fails, or the loss or the gradient is not finite.
    pub async fn log(&mut self) -> Result<(), TrainError> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let step = self.done;
        let failed = |reason| TrainError::Device { step, reason };
        let sum = read_number(self.interval.loss.take()).await.map_err(failed)?;
        let grad_norm = read_number(Some(last.grad_norm)).await.map_err(failed)?;
        if !sum.is_finite() || !(grad_norm.is_finite() || last.was_skipped) {
            let numbers = [("the loss", sum), ("the gradient norm", grad_norm)];
            return Err(diverged(&self.optimizer, step, &numbers).await);
        }
        self.loss_total += sum;
        let now = self.host.seconds();
        let elapsed = now - self.began;
        let to_come = self.plan.total_steps as f64 - step as f64;
        let log = StepLog {
            step,
            epoch: self.epoch(),
            loss: sum / self.interval.steps as f64,
            learning_rate: last.learning_rate,
            grad_norm,
            tokens_per_second: self.interval.tokens as f64 / (now - self.interval.began).max(1e-9),
            elapsed_seconds: elapsed,
            remaining_seconds: elapsed / (step - self.first) as f64 * to_come,
            memory_bytes: self.host.memory_bytes(),
            device_memory_bytes: last.device_memory.max(reserved_bytes(self.job.model.device())),
            kernel_flops: last.counters.map(|(flops, _)| flops),
            kernel_bytes: last.counters.map(|(_, bytes)| bytes),
            loss_scale: self.loss_scale.as_ref().map(|scale| scale.scale),
            skipped_steps: self.loss_scale.as_ref().map(|scale| scale.skipped_steps),
        };
        self.state.logged(&log);
        self.host.event(&Event::Step(log));
        self.interval = Interval::new(now);
        Ok(())
    }

    /// Evaluates, and ends the run if `early_stopping_patience` is exhausted.
    ///
    /// # Errors
    ///
    /// The errors of [`evaluate()`].
    pub async fn evaluate(&mut self) -> Result<(), TrainError> {
        let began = self.host.seconds();
        let evaluation = evaluate(self.job, self.host, self.done, self.epoch()).await?;
        let Some(evaluation) = evaluation else {
            self.interrupted = true;
            return Ok(());
        };
        let rows = self.job.validation.len();
        let is_enough = self.state.evaluated(&evaluation, &self.job.arguments, self.best_metric, rows);
        self.host.event(&Event::Evaluated(evaluation));
        self.pause(began);
        self.is_enough |= is_enough;
        Ok(())
    }

    /// Answers the sample prompt.
    ///
    /// # Errors
    ///
    /// If the prompt does not fit the model, or the device fails.
    pub async fn sample(&mut self) -> Result<(), TrainError> {
        let Some(sample) = &self.job.sample else { return Ok(()) };
        let began = self.host.seconds();
        let ids = self.job.model.generate(&sample.prompt, sample.max_new_tokens, &sample.stop).await?;
        self.host.event(&Event::Sampled(Sampled { step: self.done, ids, text: String::new() }));
        self.pause(began);
        Ok(())
    }

    /// Saves a checkpoint, and removes the checkpoints beyond `save_total_limit`.
    ///
    /// # Errors
    ///
    /// If the device cannot be read, a value is not finite, or the files cannot be written.
    pub async fn save(&mut self) -> Result<(), TrainError> {
        let began = self.host.seconds();
        let step = self.done;
        let directory = checkpoint_name(step);
        if self.job.arguments.load_best_model_at_end && self.state.best_global_step == Some(step) {
            let values = self.optimizer.values().await;
            self.best = values.map_err(|reason| TrainError::Device { step, reason })?;
            self.state.best_model_checkpoint = Some(format!("{}/{directory}", self.job.arguments.output_dir));
        }
        self.state.sums = Sums {
            loss_total: self.loss_total,
            counted_from: self.state.sums.counted_from,
            interval_loss: read_finite("the loss", self.interval.loss.clone(), step).await?,
            interval_steps: self.interval.steps,
            interval_tokens: self.interval.tokens,
        };
        self.state.loss_scale = self.loss_scale.clone();
        let trainer_state = self.state.to_json(&self.plan, &self.job.arguments, step, self.epoch());
        let mut files = adapter_files(self.job, &self.optimizer, step).await?;
        let model = &mut self.job.model;
        files.extend(state_files(model, &self.optimizer, &self.best, step, &trainer_state).await?);
        files.extend(self.job.companions.iter().cloned());
        let manifest = Manifest::new(&files, self.job.identity.clone());
        files.push((MANIFEST_FILE.to_owned(), manifest.to_json()));
        self.host.save(&directory, files).await?;
        self.host.event(&Event::Saved(Saved { step, directory: directory.clone() }));
        self.saved = step;
        self.rotate(&directory).await;
        self.pause(began);
        Ok(())
    }

    /// Ends an interrupted run with a checkpoint, from which it is resumed to the same numbers. Before the first step there is nothing to save.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::save`].
    pub async fn interrupt(mut self) -> Result<Finished, TrainError> {
        if self.done > self.saved {
            self.save().await?;
        }
        let interval_loss = read_finite("the loss", self.interval.loss.take(), self.done).await?;
        self.loss_total += interval_loss;
        Ok(self.finished())
    }

    /// Finishes the run: restores the best values, with `load_best_model_at_end`, and saves the result into `output_dir`.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::save`].
    pub async fn finish(mut self) -> Result<Finished, TrainError> {
        let steps = self.done;
        if self.is_enough {
            self.notice(stopped_early(steps, self.best_metric.name, self.state.patience_counter));
        }
        if let Some(notice) = unlearnt(&self.state, self.job.objective.uniform_loss(&self.job.model)) {
            self.notice(notice);
        }
        // The mean includes the steps after the last logged one. Transformers logs no line for them.
        self.loss_total += read_finite("the loss", self.interval.loss.take(), steps).await?;
        self.load_best();
        let mut files = adapter_files(self.job, &self.optimizer, steps).await?;
        files.extend(self.job.companions.iter().cloned());
        self.host.save("", files).await?;
        self.host.event(&Event::Saved(Saved { step: steps, directory: String::new() }));
        let finished = self.finished();
        self.host.event(&Event::Finished(finished));
        Ok(finished)
    }

    fn finished(&self) -> Finished {
        let train_runtime = self.host.seconds() - self.began;
        let counted = self.done.saturating_sub(self.state.sums.counted_from).max(1);
        Finished {
            steps: self.done,
            train_loss: self.loss_total / counted as f64,
            train_runtime,
            tokens_per_second: self.token_total as f64 / train_runtime.max(1e-9),
            memory_bytes: self.host.memory_bytes(),
            stopped: self.stopped,
            interrupted: self.interrupted,
        }
    }

    fn load_best(&mut self) {
        let (Some(step), Some(metric)) = (self.state.best_global_step, self.state.best_metric) else {
            return;
        };
        if self.best.is_empty() {
            return;
        }
        self.optimizer.set_values(&mut self.job.model, &self.best);
        let folder = self.state.best_model_checkpoint.clone().unwrap_or_default();
        let name = self.best_metric.name;
        let value = format!("{metric:.4}");
        let notice = match directory(&folder) == checkpoint_name(step) {
            true => Notice::new(
                "best_loaded",
                message!(
                    "the best was eval_{metric} {value} at step {step}: what was learnt is that of {folder}",
                    metric = name,
                    value,
                    step,
                    folder
                ),
            ),
            false => Notice::new(
                "best_was_not_saved",
                message!(
                    "the best was eval_{metric} {value} at step {step}, after which no checkpoint was saved; what was learnt is that of {folder}, the best that was saved",
                    metric = name,
                    value,
                    step,
                    folder
                ),
            ),
        };
        self.notice(notice);
    }

    /// Returns the micro-batches of a step.
    fn batches(&mut self, step: u64) -> Result<Vec<Batch>, TrainError> {
        let (number, range) = self.plan.micro_batches(step);
        let Job { train, arguments, shuffle, padding, .. } = &*self.job;
        let epoch = match self.epoch.take() {
            Some(epoch) if epoch.number == number => epoch,
            _ => {
                let order = sampling_order(train, arguments, number, *shuffle);
                let size = arguments.per_device_train_batch_size;
                let micro_batches = micro_batches(&order, size, arguments.dataloader_drop_last);
                Epoch { number, micro_batches }
            }
        };
        let rows = epoch.micro_batches[range].iter();
        let batches = rows.map(|rows| collated(train, rows, *padding)).collect();
        self.epoch = Some(epoch);
        batches
    }

    /// Removes all but `save_total_limit` checkpoints. Keeps the best one beside the newest.
    async fn rotate(&mut self, newest: &str) {
        let arguments = &self.job.arguments;
        let Some(limit) = arguments.save_total_limit.filter(|limit| *limit > 0) else { return };
        let best = self.state.best_model_checkpoint.as_deref().filter(|_| arguments.load_best_model_at_end);
        let best = best.map(directory);
        let keep = if limit == 1 && best.is_some_and(|best| best != newest) { 2 } else { limit };
        self.host.rotate(keep, best).await;
    }

    /// Excludes the time since `began` from the interval, so that tokens per second are those of the steps alone.
    fn pause(&mut self, began: f64) {
        self.interval.began += self.host.seconds() - began;
    }

    fn notice(&mut self, notice: Notice) {
        self.host.event(&Event::Warned(notice));
    }

    /// Returns the number of steps that were skipped in fp16.
    fn skipped_steps(&self) -> u64 {
        self.loss_scale.as_ref().map_or(0, |scale| scale.skipped_steps)
    }

    /// Returns the number of epochs done, with decimals.
    fn epoch(&self) -> f64 {
        match self.done {
            0 => 0.0,
            done => self.plan.epoch_at(done as u64),
        }
    }
}

/// Returns the name of the folder of a checkpoint.
fn checkpoint_name(step: usize) -> String {
    format!("checkpoint-{step}")
}

/// Returns the last part of a folder's path.
fn directory(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn stopped_early(step: usize, metric: &str, count: usize) -> Notice {
    let message = message!(
        "stopped at step {step}: eval_{metric} was no better for {count} evaluations",
        step,
        metric,
        count
    );
    Notice::new("stopped_early", message)
}

/// Warns of a run that is to evaluate and has no rows for it.
fn nothing_to_evaluate() -> Notice {
    let message = message!(
        "nothing is evaluated, though training.eval_strategy asks for it: there are no validation rows; name \
         data.validation_file or data.validation_split_percentage"
    );
    Notice::new("nothing_to_evaluate", message)
}

fn started(job: &mut Job, plan: &StepPlan, first_step: usize) -> Started {
    let (trainable_parameters, all_parameters) = job.model.parameter_counts();
    Started {
        first_step,
        num_examples: job.train.len(),
        total_steps: plan.total_steps as usize,
        warmup_steps: plan.warmup_steps as usize,
        num_epochs: plan.epoch_at(plan.total_steps),
        effective_batch_size: job.arguments.per_device_train_batch_size
            * job.arguments.gradient_accumulation_steps,
        trainable_parameters,
        all_parameters,
    }
}

/// Refuses data without a target, and validation rows of which no batch is left.
fn check_data(job: &Job, plan: &StepPlan) -> Result<(), TrainError> {
    let (rows, size) = (job.validation.len(), job.arguments.per_device_eval_batch_size);
    let evaluates =
        || job.arguments.eval_on_start || (1..=plan.total_steps).any(|step| plan.is_eval_step(step));
    if job.arguments.dataloader_drop_last && (1..size).contains(&rows) && evaluates() {
        return Err(all_dropped(rows, size));
    }
    match (0..job.train.len()).any(|row| job.train.num_targets(row) > 0) {
        true => Ok(()),
        false => Err(TrainError::Data(message!(
            "no token of the training data is learnt: every label is masked; is max_length too short for the prompts?"
        ))),
    }
}

/// Refuses a checkpoint from after the end of the run.
fn check_step(checkpoint: &Checkpoint, plan: &StepPlan) -> Result<(), TrainError> {
    match checkpoint.step as u64 > plan.total_steps {
        false => Ok(()),
        true => Err(TrainError::Checkpoint(message!(
            "it was taken at step {step}, and the run has {total} steps",
            step = checkpoint.step,
            total = plan.total_steps
        ))),
    }
}

/// Returns the metric that `metric_for_best_model` names, and whether a greater value is better.
fn best_metric(job: &Job) -> Result<Metric, TrainError> {
    let name = job.arguments.best_metric();
    let known = || [Metric::LOSS].into_iter().chain(job.objective.metrics().iter().copied());
    let Some(metric) = known().find(|metric| metric.name == name) else {
        let known: Vec<&str> = known().map(|metric| metric.name).collect();
        return Err(TrainError::Data(message!(
            "training.metric_for_best_model = {name} is not measured here; this run's evaluations give {known}",
            ?name,
            known = known.join(", ")
        )));
    };
    let greater_is_better = job.arguments.greater_is_better.unwrap_or(metric.greater_is_better);
    Ok(Metric { greater_is_better, ..metric })
}
