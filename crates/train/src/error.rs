//! Errors of the trainer.

use lorelei_data::DataError;
use lorelei_formats::FormatError;
use lorelei_models::ModelError;
use lorelei_recipe::{Message, RecipeError, message};

/// Error of files that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_message())]
pub struct SaveError {
    /// Path of the file or folder.
    pub path: String,
    /// The system's message.
    pub reason: String,
    /// Advice to the user on how to resolve the error.
    pub help: String,
}

impl SaveError {
    /// Returns the message of the error.
    pub fn to_message(&self) -> Message {
        let Self { path, reason, help } = self;
        message!("cannot save {path}: {reason}; {help}", path, reason, help)
    }
}

/// Error of a run that cannot begin or continue.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_message())]
pub enum TrainError {
    /// Error of the model or the adapter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Error of the recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// An adapter could not be converted to a file format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A save failed. Files that were saved before are unchanged.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The run cannot be resumed from a checkpoint.
    Checkpoint(Message),
    /// A file of a checkpoint is not as it was saved.
    Altered(Message),
    /// There is nothing to train on.
    Data(Message),
    /// A row could not be read back.
    #[error(transparent)]
    Rows(#[from] DataError),
    /// A number is not finite.
    Diverged {
        /// Name of the number.
        what: String,
        /// NaN or an infinity.
        value: f64,
        /// The optimizer step at which it was found.
        step: usize,
    },
    /// `bf16` on a device that does not have it.
    NoBfloat16 {
        /// Name of the device.
        device: Message,
    },
    /// The device failed.
    Device {
        /// The optimizer step at which it failed.
        step: usize,
        /// The backend's message.
        reason: String,
    },
}

impl TrainError {
    /// Returns the message of the error.
    pub fn to_message(&self) -> Message {
        match self {
            Self::Model(error) => error.to_message(),
            Self::Recipe(error) => error.to_message(),
            Self::Format(error) => error.to_string().into(),
            Self::Save(error) => error.to_message(),
            Self::Rows(error) => error.to_message(),
            Self::Checkpoint(problem) => message!(
                "cannot go on from the checkpoint: {problem}; give the recipe, data and model that it was made with, or begin anew",
                problem
            ),
            Self::Altered(problem) | Self::Data(problem) => problem.clone(),
            Self::Diverged { what, value, step } => message!(
                "{what} is {value} at step {step}: the run has diverged; nothing was saved since the last checkpoint. \
                 Lower learning_rate (LoRA likes 1e-4 to 5e-4), lengthen the warm-up or keep max_grad_norm at 1.0",
                what,
                value,
                step
            ),
            Self::NoBfloat16 { device } => message!(
                "bf16 = true: {device} does not compute in bfloat16; say fp16 = true instead, or leave both out for float32",
                device
            ),
            Self::Device { step, reason } => {
                message!("the device failed at step {step}: {reason}", step, reason)
            }
        }
    }
}
