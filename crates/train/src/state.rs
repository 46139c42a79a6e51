//! `trainer_state.json` in the form of Transformers' `TrainerState`: the log history, the best evaluation, and the number of evaluations without
//! an improvement.

use lorelei_recipe::{StepPlan, TrainingArguments};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json, json};

use crate::{Evaluation, LossScale, Metric, Metrics, StepLog, TrainError};

/// State of a run, beside the optimizer's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainerState {
    /// The log history: a line for each logged step and for each evaluation, as Transformers logs them.
    pub log_history: Vec<HistoryLine>,
    /// The best value of `metric_for_best_model` so far.
    pub best_metric: Option<f64>,
    /// The step at which the best value was reached.
    pub best_global_step: Option<usize>,
    /// The checkpoint of that step, or the best checkpoint that was saved.
    pub best_model_checkpoint: Option<String>,
    /// Number of consecutive evaluations without an improvement.
    pub patience_counter: usize,
    /// Sums over the steps so far, which the next log line and the end of the run need.
    pub sums: Sums,
    /// The loss scale, in fp16.
    pub loss_scale: Option<LossScale>,
}

/// A line of `log_history`. A run may have many thousands of lines, and as maps they would take kilobytes each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryLine {
    /// A logged step.
    Step(StepLine),
    /// An evaluation.
    Evaluation(EvaluationLine),
    /// A line that another trainer has logged.
    Other(Map<String, Json>),
}

/// A logged step, in the order of Transformers' keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct StepLine {
    pub epoch: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub loss: f64,
    pub step: usize,
}

/// An evaluation, in the order of Transformers' keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EvaluationLine {
    pub epoch: f64,
    pub eval_runtime: f64,
    pub eval_samples_per_second: f64,
    pub eval_steps_per_second: f64,
    pub step: usize,
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Sums over the steps of a run: the losses that were logged, and the numbers that are not logged yet.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Sum of the losses of all steps that were logged.
    pub loss_total: f64,
    /// Number of steps before the first that [`Self::loss_total`] includes.
    pub counted_from: usize,
    /// Sum of the losses since the last log line. It is a float32, so that a resumed run computes the same bits.
    pub interval_loss: f64,
    /// Number of steps since the last log line.
    pub interval_steps: usize,
    /// Number of tokens since the last log line.
    pub interval_tokens: usize,
}

impl TrainerState {
    /// Appends a logged step to the history.
    pub(crate) fn logged(&mut self, log: &StepLog) {
        self.log_history.push(HistoryLine::Step(StepLine {
            epoch: log.epoch,
            grad_norm: log.grad_norm,
            learning_rate: log.learning_rate,
            loss: log.loss,
            step: log.step,
        }));
    }

    /// Returns the logged steps of the history.
    pub(crate) fn logged_steps(&self) -> impl Iterator<Item = &StepLine> {
        self.log_history.iter().filter_map(|line| match line {
            HistoryLine::Step(line) => Some(line),
            HistoryLine::Evaluation(_) | HistoryLine::Other(_) => None,
        })
    }

    /// Whether an evaluation after `step` is in the history.
    pub(crate) fn has_evaluation(&self, step: usize) -> bool {
        let of_step = |line: &HistoryLine| matches!(line, HistoryLine::Evaluation(line) if line.step == step);
        self.log_history.iter().rev().any(of_step)
    }

    /// Appends an evaluation to the history, and compares it with the best by `metric`. Returns whether the run ends early.
    pub(crate) fn evaluated(
        &mut self,
        evaluation: &Evaluation,
        arguments: &TrainingArguments,
        metric: Metric,
        rows: usize,
    ) -> bool {
        let batches = rows.div_ceil(arguments.per_device_eval_batch_size.max(1));
        self.log_history.push(HistoryLine::Evaluation(EvaluationLine {
            epoch: evaluation.epoch,
            eval_runtime: evaluation.eval_runtime,
            eval_samples_per_second: evaluation.eval_samples_per_second,
            eval_steps_per_second: batches as f64 / evaluation.eval_runtime.max(1e-9),
            step: evaluation.step,
            metrics: evaluation.metrics.clone(),
        }));
        // The evaluation before the first step is only logged.
        if evaluation.step == 0 {
            return false;
        }
        let Some(value) = evaluation.metric(metric.name) else { return false };
        let is_better = |best: f64, least: f64| {
            let better = if metric.greater_is_better { value > best } else { value < best };
            better && (value - best).abs() > least
        };
        // EarlyStoppingCallback compares before the best value is updated.
        let improved =
            self.best_metric.is_none_or(|best| is_better(best, arguments.early_stopping_threshold));
        self.patience_counter = if improved { 0 } else { self.patience_counter + 1 };
        // Transformers compares without a threshold.
        if self.best_metric.is_none_or(|best| is_better(best, 0.0)) {
            (self.best_metric, self.best_global_step) = (Some(value), Some(evaluation.step));
        }
        arguments.early_stopping_patience.is_some_and(|patience| self.patience_counter >= patience)
    }

    /// Returns the content of the file after `step`.
    pub(crate) fn to_json(
        &self,
        plan: &StepPlan,
        arguments: &TrainingArguments,
        step: usize,
        epoch: f64,
    ) -> Json {
        let mut callbacks = json!({});
        if let Some(patience) = arguments.early_stopping_patience {
            callbacks["EarlyStoppingCallback"] = json!({
                "args": {
                    "early_stopping_patience": patience,
                    "early_stopping_threshold": arguments.early_stopping_threshold,
                },
                "attributes": { "early_stopping_patience_counter": self.patience_counter },
            });
        }
        let mut file = json!({
            "best_global_step": self.best_global_step,
            "best_metric": self.best_metric,
            "best_model_checkpoint": self.best_model_checkpoint,
            "epoch": epoch,
            "eval_steps": arguments.eval_steps.unwrap_or(arguments.logging_steps),
            "global_step": step,
            "is_hyper_param_search": false,
            "is_local_process_zero": true,
            "is_world_process_zero": true,
            "log_history": self.log_history,
            "logging_steps": arguments.logging_steps,
            "max_steps": plan.total_steps,
            "num_input_tokens_seen": 0,
            "num_train_epochs": plan.num_train_epochs,
            "save_steps": arguments.save_steps,
            "stateful_callbacks": callbacks,
            "total_flos": 0.0,
            "train_batch_size": arguments.per_device_train_batch_size,
            "trial_name": null,
            "trial_params": null,
            "lorelei": self.sums,
        });
        if let Some(scale) = &self.loss_scale {
            file["loss_scale"] = json!(scale);
        }
        file
    }

    /// Reads the file. Returns the step and the state. A field that is absent or null, as in a file that another trainer wrote, has its default.
    ///
    /// # Errors
    ///
    /// If it is not JSON, has no step, or has a field with an invalid value.
    pub(crate) fn read(text: &str) -> Result<(usize, Self), TrainError> {
        let state: Json =
            serde_json::from_str(text).map_err(|error| broken(format!("is not JSON: {error}")))?;
        let step = field(&state, "/global_step")?;
        let step = step.ok_or_else(|| broken("has no global_step".into()))?;
        let read = Self {
            log_history: field(&state, "/log_history")?.unwrap_or_default(),
            best_metric: field(&state, "/best_metric")?,
            best_global_step: field(&state, "/best_global_step")?,
            best_model_checkpoint: field(&state, "/best_model_checkpoint")?,
            patience_counter: field(&state, PATIENCE_COUNTER)?.unwrap_or_default(),
            // Without the sums, the losses of earlier steps are not known.
            sums: field(&state, "/lorelei")?.unwrap_or(Sums { counted_from: step, ..Sums::default() }),
            loss_scale: field(&state, "/loss_scale")?,
        };
        Ok((step, read))
    }
}

/// JSON pointer to [`TrainerState::patience_counter`] in the file.
const PATIENCE_COUNTER: &str =
    "/stateful_callbacks/EarlyStoppingCallback/attributes/early_stopping_patience_counter";

/// Reads the value at a JSON pointer. Returns `None` if it is absent or null.
fn field<T: DeserializeOwned>(state: &Json, pointer: &str) -> Result<Option<T>, TrainError> {
    let value = state.pointer(pointer).filter(|value| !value.is_null());
    let read = value.map(T::deserialize).transpose();
    read.map_err(|error| {
        let name = pointer[1..].replace('/', ".");
        broken(format!("has a broken {name}: {error} (an older checkpoint may be whole)"))
    })
}

fn broken(reason: String) -> TrainError {
    TrainError::Checkpoint(format!("trainer_state.json {reason}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_history_is_written_as_it_was_read() {
        let history = json!([
            { "epoch": 0.5, "grad_norm": 1.5, "learning_rate": 1e-4, "loss": 2.25, "step": 1 },
            { "epoch": 0.5, "grad_norm": null, "learning_rate": 1e-4, "loss": 2.25, "step": 2 },
            { "epoch": 1.0, "eval_loss": 2.0, "eval_runtime": 1.0, "eval_samples_per_second": 3.0, "eval_steps_per_second": 4.0, "step": 2, "eval_f1": 0.5 },
            { "epoch": 1.0, "num_tokens": 7, "loss": 1.0 },
        ]);
        let (step, state) =
            TrainerState::read(&json!({ "global_step": 2, "log_history": history }).to_string()).unwrap();
        assert_eq!(step, 2);
        let kinds = state.log_history.iter().map(|line| match line {
            HistoryLine::Step(_) => 's',
            HistoryLine::Evaluation(_) => 'e',
            HistoryLine::Other(_) => 'o',
        });
        assert_eq!(kinds.collect::<String>(), "soeo");
        assert_eq!(serde_json::to_value(&state.log_history).unwrap(), history);
    }

    #[test]
    fn a_broken_field_is_an_error_that_names_it() {
        let whole = json!({
            "global_step": 2, "log_history": [], "best_metric": 1.5, "best_global_step": 1,
            "best_model_checkpoint": "checkpoint-1", "lorelei": {
                "loss_total": 3.0, "counted_from": 0, "interval_loss": 0.0, "interval_steps": 0, "interval_tokens": 0,
            },
            "loss_scale": { "scale": 1024.0, "growth_tracker": 3, "skipped_steps": 1 },
            "stateful_callbacks": {
                "EarlyStoppingCallback": { "attributes": { "early_stopping_patience_counter": 1 } },
            },
        });
        let (_, state) = TrainerState::read(&whole.to_string()).unwrap();
        assert_eq!((state.loss_scale.unwrap().scale, state.patience_counter), (1024.0, 1));
        for (pointer, value) in [
            ("/global_step", json!(-1)),
            ("/log_history", json!({ "0": {} })),
            ("/log_history", json!([7])),
            ("/best_metric", json!("1.5")),
            ("/best_global_step", json!(0.5)),
            ("/best_model_checkpoint", json!(1)),
            ("/lorelei", json!({})),
            ("/lorelei/loss_total", json!("3")),
            ("/loss_scale", json!(1024.0)),
            ("/loss_scale/scale", json!(null)),
            (PATIENCE_COUNTER, json!("one")),
        ] {
            let mut broken = whole.clone();
            *broken.pointer_mut(pointer).unwrap() = value;
            let error = TrainerState::read(&broken.to_string()).unwrap_err().to_string();
            let name = pointer.rsplit('/').find(|part| !["scale", "loss_total"].contains(part)).unwrap();
            assert!(error.contains("trainer_state.json has a broken ") && error.contains(name), "{error}");
        }
        // A field that another trainer has not written has its initial value.
        let (step, state) = TrainerState::read(r#"{ "global_step": 4, "best_metric": null }"#).unwrap();
        let sums = Sums { counted_from: 4, ..Sums::default() };
        assert_eq!((step, state), (4, TrainerState { sums, ..TrainerState::default() }));
        assert!(TrainerState::read("{}").unwrap_err().to_string().contains("has no global_step"));
    }
}
