//! Events of a training run. Progress bars, logs and pages are listeners; the trainer knows none of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Notice;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    Started(Started),
    /// An optimizer step was taken, but its numbers were not read back from the device.
    Progress {
        /// The step, from 1.
        step: usize,
    },
    /// A logged step.
    Step(StepLog),
    /// The validation set was evaluated.
    Evaluated(Evaluation),
    /// The model answered the run's sample prompt.
    Sampled(Sampled),
    /// Files were written.
    Saved(Saved),
    /// Something differs from what the user may expect.
    Warned(Notice),
    /// The run is over.
    Finished(Finished),
}

/// A line of `trainer_log.jsonl`: like Transformers' `log_history`, steps and evaluations in the order they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LogLine {
    /// A logged step.
    Step(StepLog),
    /// An evaluation.
    Evaluated(Evaluation),
}

impl LogLine {
    /// Returns the line that an event leaves in the log, if it leaves one.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Step(step) => Some(Self::Step(step.clone())),
            Event::Evaluated(evaluation) => Some(Self::Evaluated(evaluation.clone())),
            _ => None,
        }
    }
}

impl From<LogLine> for Event {
    fn from(line: LogLine) -> Self {
        match line {
            LogLine::Step(step) => Self::Step(step),
            LogLine::Evaluated(evaluation) => Self::Evaluated(evaluation),
        }
    }
}

/// An answer to the run's sample prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// Step after which the prompt was answered.
    pub step: usize,
    /// The answer's tokens.
    pub ids: Vec<u32>,
    /// The answer; empty until the host has decoded it.
    pub text: String,
}

/// Files that were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Step after which the files were written.
    pub step: usize,
    /// The directory inside `output_dir`; empty for `output_dir` itself.
    pub directory: String,
}

/// The size of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Number of steps that were taken before: 0, or those of the checkpoint from which the run is resumed.
    pub first_step: usize,
    /// Rows (examples, or packed rows) in an epoch.
    pub num_examples: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Steps in which the learning rate rises.
    pub warmup_steps: usize,
    /// Number of epochs, the last one perhaps in part.
    pub num_epochs: f64,
    /// Number of rows in an optimizer step.
    pub effective_batch_size: usize,
    /// Number of parameters that train.
    pub trainable_parameters: usize,
    /// Number of all parameters.
    pub all_parameters: usize,
}

/// A logged step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    /// Number of optimizer steps taken.
    pub step: usize,
    /// Epochs done, as a fraction.
    pub epoch: f64,
    /// Mean of the step losses since the last line.
    pub loss: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of this step's gradient before clipping.
    pub grad_norm: f64,
    /// Tokens (padding not counted) a second since the last line.
    pub tokens_per_second: f64,
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// Estimated seconds until the run ends, at the pace so far.
    pub remaining_seconds: f64,
    /// Peak memory of the process so far in bytes, as the host measures it; 0 where it cannot.
    pub memory_bytes: u64,
    /// Peak GPU memory in bytes that the runtime held in this step, measured after backward passes, including the part held for reuse; 0 on the CPU.
    #[serde(default)]
    pub device_memory_bytes: u64,
    /// Floating-point operations of this step's products and attention, if this project's GPU kernels computed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_flops: Option<u64>,
    /// Bytes that these kernels requested from the device's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// Factor by which the loss is multiplied in fp16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Number of steps that were skipped so far in fp16, because their gradient was not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
}

/// Results of an evaluation, by their names in logs: `eval_loss`, and the other metrics of the objective (`eval_accuracy`, ...).
pub type Metrics = BTreeMap<String, f64>;

/// An evaluation on the validation set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Step after which the evaluation was run.
    pub step: usize,
    /// Epochs done, as a fraction.
    pub epoch: f64,
    /// Duration of the evaluation in seconds.
    pub eval_runtime: f64,
    /// Rows evaluated per second.
    pub eval_samples_per_second: f64,
    /// Metrics that were measured.
    #[serde(flatten)]
    pub metrics: Metrics,
}

impl Evaluation {
    /// Returns the metric of that name without `eval_` (`loss`, `accuracy`), if it was measured.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(&format!("eval_{name}")).copied()
    }

    /// Returns the loss, or NaN in a log line that lacks it.
    pub fn loss(&self) -> f64 {
        self.metric("loss").unwrap_or(f64::NAN)
    }

    /// Returns the metrics other than the loss, by their names without `eval_`.
    pub fn other_metrics(&self) -> impl Iterator<Item = (&str, f64)> {
        let named =
            self.metrics.iter().map(|(name, value)| (name.strip_prefix("eval_").unwrap_or(name), *value));
        named.filter(|(name, _)| *name != "loss")
    }
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Number of optimizer steps taken.
    pub steps: usize,
    /// Mean loss of all steps.
    pub train_loss: f64,
    /// Duration of the run in seconds.
    pub train_runtime: f64,
    /// Tokens (padding not counted) a second over the whole run.
    pub tokens_per_second: f64,
    /// Peak memory of the process in bytes, as the host measures it; 0 where it cannot.
    pub memory_bytes: u64,
    /// Whether the host asked to stop before the last step.
    pub stopped: bool,
    /// Whether the host interrupted the run: it has a checkpoint and no result.
    #[serde(default)]
    pub interrupted: bool,
}
