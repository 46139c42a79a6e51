//! The number of steps of a run, and the steps at which it logs, evaluates and saves: the arithmetic of Transformers' `Trainer`.
//!
//! A step is an optimizer step, counted from 1. The last group of micro-batches of an epoch makes a step even if it is
//! smaller than `gradient_accumulation_steps`. No group crosses the end of an epoch.

use std::ops::Range;

use crate::kind::MAX_INTEGER;
use crate::{
    IntervalStrategy, LrSchedulerKwargs, LrSchedulerType, RecipeError, Schedule, TrainingArguments, message,
};

/// The plan of a run's steps.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPlan {
    /// Number of micro-batches in an epoch.
    pub micro_batches_per_epoch: usize,
    /// Number of optimizer steps in a whole epoch.
    pub steps_per_epoch: u64,
    /// Total number of optimizer steps.
    pub total_steps: u64,
    /// Number of epochs that are begun, a whole number. The last one may end early.
    pub num_train_epochs: f64,
    /// Number of optimizer steps of warm-up.
    pub warmup_steps: u64,
    /// Number of micro-batches in a full group.
    accumulation: usize,
    logging: Interval,
    logging_first_step: bool,
    eval: Interval,
    eval_delay: f64,
    save: Interval,
    schedule: (LrSchedulerType, LrSchedulerKwargs, f64),
}

/// Interval at which something is done, with shares converted to steps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Interval {
    Never,
    Steps(u64),
    Epoch,
}

impl StepPlan {
    /// Creates the plan for `n_examples` sequences.
    ///
    /// # Errors
    /// If an epoch has no micro-batch, a batch size or the accumulation is 0, or the number of steps is not finite or too
    /// large.
    pub fn new(n_examples: usize, args: &TrainingArguments) -> Result<StepPlan, RecipeError> {
        let (batch, accumulation) = (args.per_device_train_batch_size, args.gradient_accumulation_steps);
        if batch == 0 || accumulation == 0 {
            let key = if batch == 0 { "per_device_train_batch_size" } else { "gradient_accumulation_steps" };
            return Err(RecipeError::new(
                format!("training.{key}"),
                message!(
                    "{name} = {value} is out of range: {range}",
                    name = key,
                    value = 0,
                    range = format!("{key} >= 1")
                ),
            ));
        }
        let micro_batches =
            if args.dataloader_drop_last { n_examples / batch } else { n_examples.div_ceil(batch) };
        if micro_batches == 0 {
            return Err(match n_examples {
                0 => RecipeError::new("data.train_file", message!("there is no example to train on")),
                _ => RecipeError::new(
                    "training.dataloader_drop_last",
                    message!(
                        "{count} examples do not fill one batch of {batch}, and dataloader_drop_last leaves out what does not",
                        count = n_examples,
                        batch
                    ),
                )
                .with_help(message!("lower per_device_train_batch_size, or set dataloader_drop_last = false")),
            });
        }
        let steps_per_epoch = micro_batches.div_ceil(accumulation) as u64;
        let (total_steps, num_train_epochs) = match u64::try_from(args.max_steps) {
            Ok(steps) if steps > MAX_INTEGER as u64 => {
                return Err(RecipeError::new(
                    "training.max_steps",
                    message!(
                        "{name} = {value} is out of range: {range}",
                        name = "max_steps",
                        value = steps,
                        range = format!("max_steps <= {MAX_INTEGER}")
                    ),
                ));
            }
            Ok(steps) if steps > 0 => (steps, steps.div_ceil(steps_per_epoch) as f64),
            _ => {
                let steps = (args.num_train_epochs * steps_per_epoch as f64).ceil();
                if !(steps >= 1.0 && steps <= MAX_INTEGER as f64) {
                    return Err(RecipeError::new(
                        "training.num_train_epochs",
                        message!("num_train_epochs = {epochs} makes {steps} steps", epochs = ?args.num_train_epochs, ?steps),
                    ));
                }
                (steps as u64, args.num_train_epochs.ceil())
            }
        };
        let eval_steps = args.eval_steps.filter(|steps| *steps != 0.0).unwrap_or(args.logging_steps);
        Ok(StepPlan {
            micro_batches_per_epoch: micro_batches,
            steps_per_epoch,
            total_steps,
            num_train_epochs,
            warmup_steps: warmup_steps(args, total_steps),
            accumulation,
            logging: Interval::new(args.logging_strategy, args.logging_steps, total_steps),
            logging_first_step: args.logging_first_step,
            eval: Interval::new(args.eval_strategy, eval_steps, total_steps),
            eval_delay: args.eval_delay,
            save: Interval::new(args.save_strategy, args.save_steps, total_steps),
            schedule: (args.lr_scheduler_type, args.lr_scheduler_kwargs, args.learning_rate),
        })
    }

    /// Returns the learning rate of `step` (from 1).
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.schedule().learning_rate(step.saturating_sub(1))
    }

    /// Returns the schedule of the run.
    pub fn schedule(&self) -> Schedule {
        let (kind, kwargs, base_lr) = self.schedule;
        Schedule { kind, kwargs, base_lr, warmup_steps: self.warmup_steps, total_steps: self.total_steps }
    }

    /// Returns the epoch of `step` (from 1), counted from 0, and the micro-batches of the step in that epoch, counted from 0.
    pub fn micro_batches(&self, step: u64) -> (u64, Range<usize>) {
        let before = step.saturating_sub(1);
        let group = (before % self.steps_per_epoch) as usize;
        let start = group * self.accumulation;
        (
            before / self.steps_per_epoch,
            start..(start.saturating_add(self.accumulation)).min(self.micro_batches_per_epoch),
        )
    }

    /// Returns the number of epochs done after `step` (from 1; 0 before the first), as the `Trainer` reports it: `1.64`.
    pub fn epoch_at(&self, step: u64) -> f64 {
        if step == 0 {
            return 0.0;
        }
        let (epoch, micro_batches) = self.micro_batches(step);
        epoch as f64 + micro_batches.end as f64 / self.micro_batches_per_epoch as f64
    }

    /// Whether an epoch or the run ends with `step`.
    pub fn is_epoch_end(&self, step: u64) -> bool {
        step > 0 && (step.is_multiple_of(self.steps_per_epoch) || step == self.total_steps)
    }

    /// Whether the loss is reported after `step`. Being the last step is not a reason to report.
    pub fn is_logging_step(&self, step: u64) -> bool {
        step == 1 && self.logging_first_step || self.logging.includes(self, step)
    }

    /// Whether there is an evaluation after `step`, once `eval_delay` is over. If there are any, there is also one after the last step.
    pub fn is_eval_step(&self, step: u64) -> bool {
        let gone = if self.eval == Interval::Epoch { self.epoch_at(step) } else { step as f64 };
        let is_due =
            self.eval.includes(self, step) || self.eval != Interval::Never && step == self.total_steps;
        is_due && self.eval_delay <= gone
    }

    /// Whether a checkpoint is saved after `step`. If there are any, one is always saved after the last step.
    pub fn is_save_step(&self, step: u64) -> bool {
        self.save.includes(self, step) || self.save != Interval::Never && step == self.total_steps
    }
}

impl Interval {
    fn new(strategy: IntervalStrategy, steps: f64, total: u64) -> Self {
        match strategy {
            IntervalStrategy::No => Self::Never,
            IntervalStrategy::Epoch => Self::Epoch,
            IntervalStrategy::Steps if steps < 1.0 => Self::Steps((total as f64 * steps).ceil() as u64),
            IntervalStrategy::Steps => Self::Steps(steps as u64),
        }
    }

    fn includes(self, plan: &StepPlan, step: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Epoch => plan.is_epoch_end(step),
            Self::Steps(every) => step > 0 && every > 0 && step.is_multiple_of(every),
        }
    }
}

/// Returns the number of warm-up steps: `warmup_steps` as a count or a share, else `warmup_ratio`. A share is
/// `ceil(total * share)` in double precision: 100 steps and 0.07 make 8.
fn warmup_steps(args: &TrainingArguments, total: u64) -> u64 {
    match args.warmup_steps {
        steps if steps >= 1.0 => steps as u64,
        share if share > 0.0 => (total as f64 * share).ceil() as u64,
        _ => (total as f64 * args.warmup_ratio).ceil() as u64,
    }
}
