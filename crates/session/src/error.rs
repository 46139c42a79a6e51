//! Errors of requests.

use lorelei_data::DataError;
use lorelei_formats::FormatError;
use lorelei_models::ModelError;
use lorelei_protocol::Failure;
use lorelei_recipe::RecipeError;
use lorelei_train::{Difference, TrainError};

/// Result of a request.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

/// Error of a request. [`Self::failure`] returns it in a form that a page can translate.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Error of rows, a tokenizer or a chat template.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Error of a file of the model or the adapter.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Error of the model, or of a request to it.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// Error of the recipe.
    #[error(transparent)]
    Recipe(Box<RecipeError>),
    /// Error of the run.
    #[error(transparent)]
    Train(Box<TrainError>),
    /// Any of these errors, with the file or folder that it concerns.
    #[error("{place}")]
    In {
        /// The file or folder.
        place: String,
        /// The error.
        source: Box<SessionError>,
    },
    /// A required file is missing.
    #[error("{place} has no {file}: {help}")]
    Missing {
        /// The folder, or other place, that should contain the file.
        place: String,
        /// Name of the file.
        file: String,
        /// Advice to the user on how to resolve the error.
        help: String,
    },
    /// Error of the host: it could not read a file, fetch a model or open a device.
    #[error("{0}")]
    Host(String),
    /// The recipe names no data.
    #[error(
        "the recipe names no data.train_file; name a JSONL, JSON, CSV, text, Parquet or Arrow file, a folder of them, or builtin:english to try it"
    )]
    NoTrainFile,
    /// No model has been loaded.
    #[error("load a model first")]
    NoModel,
    /// No data have been read, or the data that were read cannot be trained on.
    #[error("there is no data to train on: choose some, and put bad rows right")]
    NoData,
    /// No adapter has been trained.
    #[error("there is no adapter yet: train one first")]
    NoAdapter,
    /// No checkpoint to resume from.
    #[error("there is no run to go on with")]
    NoCheckpoint,
    /// The model is in use by a run.
    #[error("a run goes on: stop it first, or wait until it is done")]
    RunGoesOn,
    /// No run to pause or stop.
    #[error("no run goes on")]
    NoRun,
    /// Another page of this browser, or another program, is training.
    #[error("another tab of this page is training: stop it there, or wait until it is done")]
    TrainedElsewhere,
    /// The data were read for another task.
    #[error("the data were read for another lora.task_type: wait until they are read again")]
    OtherTask,
    /// A checkpoint's classes are not those of the data.
    #[error(
        "{checkpoint} was trained for the classes {before}, and the data have {now}: give it its own data, or begin anew"
    )]
    OtherLabels {
        /// The checkpoint.
        checkpoint: String,
        /// The checkpoint's classes.
        before: String,
        /// The classes of the data.
        now: String,
    },
    /// The adapter of a checkpoint is another than the recipe's.
    #[error(
        "{checkpoint} has an adapter with {setting} = {before}, and the recipe makes one with {now}: give it the recipe that it was made with, or begin anew"
    )]
    OtherAdapter {
        /// Name of the checkpoint.
        checkpoint: String,
        /// Path of the setting.
        setting: String,
        /// Its value in the checkpoint.
        before: String,
        /// Its value in the recipe.
        now: String,
    },
    /// A checkpoint belongs to a run with other settings or other rows.
    #[error("{checkpoint} belongs to another run: {}", listed(differences))]
    OtherRun {
        /// Name of the checkpoint.
        checkpoint: String,
        /// The differences; there is at least one.
        differences: Vec<Difference>,
    },
    /// An adapter was given to a run that trains the model itself.
    #[error(
        "model.adapter_name_or_path: {adapter} is an adapter, but training.finetuning_type = \"full\" trains the model itself; remove one of the two"
    )]
    AdapterOfFullFinetuning {
        /// The adapter.
        adapter: String,
    },
    /// A model that does not write text is asked for an answer.
    #[error("the model writes no text: train it to classify first")]
    WritesNoText,
    /// A parameter of a generation is out of range.
    #[error("{name} must be {expected}")]
    Sampling {
        /// Name of the parameter.
        name: String,
        /// Description of the valid values.
        expected: String,
    },
}

impl SessionError {
    /// Adds the file or folder that the error concerns.
    pub fn of(self, place: impl Into<String>) -> Self {
        Self::In { place: place.into(), source: Box::new(self) }
    }

    /// Returns the error's code for a program. A page looks up its message by the code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Format(_) => "format",
            Self::Model(error) => model_code(error),
            Self::Recipe(_) => "recipe",
            Self::Train(error) => train_code(error),
            Self::In { source, .. } => source.code(),
            Self::Missing { .. } => "missing_file",
            Self::Host(_) => "host",
            Self::NoTrainFile => "no_train_file",
            Self::NoModel => "no_model",
            Self::NoData => "no_data",
            Self::NoAdapter => "no_adapter",
            Self::NoCheckpoint => "no_checkpoint",
            Self::RunGoesOn => "run_goes_on",
            Self::NoRun => "no_run",
            Self::TrainedElsewhere => "trained_elsewhere",
            Self::OtherTask => "other_task",
            Self::OtherLabels { .. } => "other_labels",
            Self::OtherAdapter { .. } => "other_adapter",
            Self::OtherRun { .. } => "other_run",
            Self::AdapterOfFullFinetuning { .. } => "adapter_of_full_finetuning",
            Self::WritesNoText => "writes_no_text",
            Self::Sampling { .. } => "sampling",
        }
    }

    /// Returns the values that the message contains, by name.
    fn arguments(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::In { source, .. } => source.arguments(),
            Self::Missing { place, file, .. } => vec![("place", place.clone()), ("file", file.clone())],
            Self::OtherLabels { checkpoint, before, now } => {
                vec![("checkpoint", checkpoint.clone()), ("before", before.clone()), ("now", now.clone())]
            }
            Self::OtherAdapter { checkpoint, setting, before, now } => vec![
                ("checkpoint", checkpoint.clone()),
                ("setting", setting.clone()),
                ("before", before.clone()),
                ("now", now.clone()),
            ],
            Self::OtherRun { checkpoint, differences } => {
                vec![("checkpoint", checkpoint.clone()), ("differences", listed(differences))]
            }
            Self::AdapterOfFullFinetuning { adapter } => vec![("adapter", adapter.clone())],
            Self::Sampling { name, expected } => {
                vec![("name", name.clone()), ("expected", expected.clone())]
            }
            Self::Train(error) => train_arguments(error),
            Self::Model(error) => model_arguments(error),
            Self::Data(_)
            | Self::Format(_)
            | Self::Recipe(_)
            | Self::Host(_)
            | Self::NoTrainFile
            | Self::NoModel
            | Self::NoData
            | Self::NoAdapter
            | Self::NoCheckpoint
            | Self::RunGoesOn
            | Self::NoRun
            | Self::TrainedElsewhere
            | Self::OtherTask
            | Self::WritesNoText => Vec::new(),
        }
    }

    /// Returns the error as a protocol message: code, arguments, English text and causes.
    pub fn failure(&self) -> Failure {
        let this: &dyn std::error::Error = self;
        let mut words: Vec<String> =
            std::iter::successors(Some(this), |error| error.source()).map(ToString::to_string).collect();
        // Some errors contain their cause's words already.
        words.dedup_by(|cause, error| error.contains(&**cause));
        let mut words = words.into_iter();
        Failure {
            code: self.code().to_owned(),
            arguments: self.arguments().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            message: words.next().unwrap_or_default(),
            causes: words.collect(),
        }
    }
}

/// Formats differences on one line.
fn listed(differences: &[Difference]) -> String {
    let one = |Difference { what, before, now }: &Difference| format!("{what} was {before} and is {now}");
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl From<ModelError> for SessionError {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<RecipeError> for SessionError {
    fn from(error: RecipeError) -> Self {
        Self::Recipe(Box::new(error))
    }
}

impl From<TrainError> for SessionError {
    fn from(error: TrainError) -> Self {
        Self::Train(Box::new(error))
    }
}

fn model_code(error: &ModelError) -> &'static str {
    match error {
        ModelError::Device { .. } => "device_failed",
        ModelError::Recipe(_) => "recipe",
        ModelError::Format(_) => "format",
        ModelError::Missing { .. }
        | ModelError::Shape { .. }
        | ModelError::NotFinite { .. }
        | ModelError::NoTarget { .. }
        | ModelError::Unsupported(_)
        | ModelError::Adapter(_)
        | ModelError::Input(_) => "model",
    }
}

fn model_arguments(error: &ModelError) -> Vec<(&'static str, String)> {
    match error {
        ModelError::Device { reason, .. } => vec![("reason", reason.clone())],
        _ => Vec::new(),
    }
}

fn train_arguments(error: &TrainError) -> Vec<(&'static str, String)> {
    match error {
        TrainError::Diverged { what, value, step } => {
            vec![("what", what.clone()), ("value", value.to_string()), ("step", step.to_string())]
        }
        TrainError::Device { step, reason } => vec![("step", step.to_string()), ("reason", reason.clone())],
        TrainError::NoBfloat16 { device } => vec![("device", device.clone())],
        TrainError::Model(error) => model_arguments(error),
        TrainError::Recipe(_)
        | TrainError::Format(_)
        | TrainError::Save(_)
        | TrainError::Checkpoint(_)
        | TrainError::Data(_)
        | TrainError::Rows(_) => Vec::new(),
    }
}

fn train_code(error: &TrainError) -> &'static str {
    match error {
        TrainError::Model(error) => model_code(error),
        TrainError::Recipe(_) => "recipe",
        TrainError::Format(_) => "format",
        TrainError::Save(_) => "save",
        TrainError::Checkpoint(_) => "checkpoint",
        TrainError::Data(_) | TrainError::Rows(_) => "data",
        TrainError::Diverged { .. } => "diverged",
        TrainError::NoBfloat16 { .. } => "no_bfloat16",
        TrainError::Device { .. } => "device",
    }
}

/// Formats an error and its causes on one line.
impl From<&SessionError> for String {
    fn from(error: &SessionError) -> Self {
        let Failure { message, causes, .. } = error.failure();
        causes.into_iter().fold(message, |line, cause| format!("{line}: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_code_and_its_causes() {
        let inner = SessionError::OtherLabels {
            checkpoint: "checkpoint-2".into(),
            before: "a, b".into(),
            now: "a".into(),
        };
        let words = inner.to_string();
        let failure = inner.of("my-adapter").failure();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("other_labels", "my-adapter"));
        assert_eq!(failure.causes, [words]);
        assert_eq!(failure.arguments["now"], "a");
    }
}
