//! Errors of requests.

use lorelei_data::DataError;
use lorelei_formats::FormatError;
use lorelei_models::ModelError;
use lorelei_protocol::Failure;
use lorelei_recipe::{Message, RecipeError, message};
use lorelei_train::{Difference, TrainError};

/// Result of a request.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

/// Error of a request. [`Self::failure`] returns it in a form that a page can translate.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_message())]
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
    In {
        /// The file or folder.
        place: String,
        /// The error.
        source: Box<SessionError>,
    },
    /// A required file is missing.
    Missing {
        /// The folder, or other place, that should contain the file.
        place: Message,
        /// Name of the file.
        file: String,
        /// Advice to the user on how to resolve the error.
        help: Message,
    },
    /// Error of the host: it could not read a file, fetch a model or open a device.
    Host(Message),
    /// The recipe names no data.
    NoTrainFile,
    /// No model has been loaded.
    NoModel,
    /// No data have been read, or the data that were read cannot be trained on.
    NoData,
    /// No adapter has been trained.
    NoAdapter,
    /// No checkpoint to resume from.
    NoCheckpoint,
    /// The model is in use by a run.
    RunGoesOn,
    /// No run to pause or stop.
    NoRun,
    /// Another page of this browser, or another program, is training.
    TrainedElsewhere,
    /// The data were read for another task.
    OtherTask,
    /// A checkpoint's classes are not those of the data.
    OtherLabels {
        /// The checkpoint.
        checkpoint: String,
        /// The checkpoint's classes.
        before: Message,
        /// The classes of the data.
        now: Message,
    },
    /// The adapter of a checkpoint is another than the recipe's.
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
    /// A checkpoint holds an adapter and the recipe trains the whole model, or the other way round.
    OtherKind {
        /// Name of the checkpoint.
        checkpoint: String,
        /// Whether it holds an adapter.
        has_adapter: bool,
    },
    /// A checkpoint belongs to a run with other settings or other rows.
    OtherRun {
        /// Name of the checkpoint.
        checkpoint: String,
        /// The differences; there is at least one.
        differences: Vec<Difference>,
    },
    /// An adapter was given to a run that trains the model itself.
    AdapterOfFullFinetuning {
        /// The adapter.
        adapter: String,
    },
    /// A model that does not write text is asked for an answer.
    WritesNoText,
    /// A parameter of a generation is out of range.
    Sampling {
        /// Name of the parameter.
        name: String,
        /// Description of the valid values.
        expected: Message,
    },
}

impl SessionError {
    /// Adds the file or folder that the error concerns.
    pub fn of(self, place: impl Into<String>) -> Self {
        Self::In { place: place.into(), source: Box::new(self) }
    }

    /// Returns the error's code for a program.
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
            Self::OtherKind { .. } => "other_kind",
            Self::OtherRun { .. } => "other_run",
            Self::AdapterOfFullFinetuning { .. } => "adapter_of_full_finetuning",
            Self::WritesNoText => "writes_no_text",
            Self::Sampling { .. } => "sampling",
        }
    }

    /// Returns the message of the error, without its causes.
    fn to_message(&self) -> Message {
        match self {
            Self::Data(error) => error.to_message(),
            Self::Format(error) => error.to_string().into(),
            Self::Model(error) => error.to_message(),
            Self::Recipe(error) => error.to_message(),
            Self::Train(error) => error.to_message(),
            Self::In { place, .. } => place.into(),
            Self::Missing { place, file, help } => {
                message!("{place} has no {file}: {help}", place, file, help)
            }
            Self::Host(message) => message.clone(),
            Self::NoTrainFile => message!(
                "the recipe names no data.train_file; name a JSONL, JSON, CSV, text, Parquet or Arrow file, a folder of them, or builtin:english to try it"
            ),
            Self::NoModel => message!("load a model first"),
            Self::NoData => message!("there is no data to train on: choose some, and put bad rows right"),
            Self::NoAdapter => message!("there is no adapter yet: train one first"),
            Self::NoCheckpoint => message!("there is no run to go on with"),
            Self::RunGoesOn => message!("a run goes on: stop it first, or wait until it is done"),
            Self::NoRun => message!("no run goes on"),
            Self::TrainedElsewhere => {
                message!("another tab of this page is training: stop it there, or wait until it is done")
            }
            Self::OtherTask => {
                message!("the data were read for another lora.task_type: wait until they are read again")
            }
            Self::OtherLabels { checkpoint, before, now } => message!(
                "{checkpoint} was trained for the classes {before}, and the data have {now}: give it its own data, or begin anew",
                checkpoint,
                before,
                now
            ),
            Self::OtherAdapter { checkpoint, setting, before, now } => message!(
                "{checkpoint} has an adapter with {setting} = {before}, and the recipe makes one with {now}: give it the recipe that it was made with, or begin anew",
                checkpoint,
                setting,
                before,
                now
            ),
            Self::OtherKind { checkpoint, has_adapter: true } => message!(
                "{checkpoint} holds an adapter, and training.finetuning_type = \"full\" trains the whole model: resume with \"lora\", or begin anew",
                checkpoint
            ),
            Self::OtherKind { checkpoint, has_adapter: false } => message!(
                "{checkpoint} holds a whole model, and training.finetuning_type = \"lora\" trains an adapter: resume with \"full\", or begin anew",
                checkpoint
            ),
            Self::OtherRun { checkpoint, differences } => message!(
                "{checkpoint} belongs to another run: {differences}",
                checkpoint,
                differences = listed(differences)
            ),
            Self::AdapterOfFullFinetuning { adapter } => message!(
                "model.adapter_name_or_path: {adapter} is an adapter, but training.finetuning_type = \"full\" trains the model itself; remove one of the two",
                adapter
            ),
            Self::WritesNoText => message!("the model writes no text: train it to classify first"),
            Self::Sampling { name, expected } => message!("{name} must be {expected}", name, expected),
        }
    }

    /// Returns the error as a protocol message: code, text and causes.
    pub fn failure(&self) -> Failure {
        let mut words = vec![self.to_message()];
        let mut last = self;
        while let Self::In { source, .. } = last {
            last = source;
            words.push(last.to_message());
        }
        let source = std::error::Error::source(last);
        let deeper = std::iter::successors(source, |error| error.source());
        words.extend(deeper.map(|error| Message::from(error.to_string())));
        // Some errors contain their cause's words already.
        words.dedup_by(|cause, error| error.contains(&**cause));
        let mut words = words.into_iter();
        Failure {
            code: self.code().to_owned(),
            message: words.next().unwrap_or_default(),
            causes: words.collect(),
        }
    }
}

/// Formats differences on one line.
fn listed(differences: &[Difference]) -> Message {
    let mut each = differences.iter().map(Difference::to_message);
    let first = each.next().unwrap_or_default();
    each.fold(first, |others, one| message!("{others}; {one}", others, one))
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

fn train_code(error: &TrainError) -> &'static str {
    match error {
        TrainError::Model(error) => model_code(error),
        TrainError::Recipe(_) => "recipe",
        TrainError::Format(_) => "format",
        TrainError::Save(_) => "save",
        TrainError::Checkpoint(_) | TrainError::Altered(_) => "checkpoint",
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
        causes.into_iter().fold(message.into(), |line, cause| format!("{line}: {cause}"))
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
        assert_eq!(failure.causes, [words.as_str()]);
        assert_eq!(failure.causes[0].argument("now").map(Message::as_str), Some("a"));
    }
}
