//! Errors of the trainer.

use lorelei_data::DataError;
use lorelei_formats::FormatError;
use lorelei_models::ModelError;
use lorelei_recipe::RecipeError;

/// Error of files that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot save {path}: {reason}; {help}")]
pub struct SaveError {
    /// Path of the file or folder.
    pub path: String,
    /// The system's message.
    pub reason: String,
    /// Advice to the user on how to resolve the error.
    pub help: String,
}

/// Error of a run that cannot begin or continue.
#[derive(Debug, thiserror::Error)]
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
    #[error(
        "cannot go on from the checkpoint: {0}; give the recipe, data and model that it was made with, or begin anew"
    )]
    Checkpoint(String),
    /// There is nothing to train on.
    #[error("{0}")]
    Data(String),
    /// A row could not be read back.
    #[error(transparent)]
    Rows(#[from] DataError),
    /// A number is not finite.
    #[error(
        "{what} is {value} at step {step}: the run has diverged; nothing was saved since the last checkpoint. \
         Lower learning_rate (LoRA likes 1e-4 to 5e-4), lengthen the warm-up or keep max_grad_norm at 1.0"
    )]
    Diverged {
        /// Name of the number.
        what: String,
        /// NaN or an infinity.
        value: f64,
        /// The optimizer step at which it was found.
        step: usize,
    },
    /// `bf16` on a device that does not have it.
    #[error(
        "bf16 = true: {device} does not compute in bfloat16; say fp16 = true instead, or leave both out for float32"
    )]
    NoBfloat16 {
        /// Name of the device.
        device: String,
    },
    /// The device failed.
    #[error("the device failed at step {step}: {reason}")]
    Device {
        /// The optimizer step at which it failed.
        step: usize,
        /// The backend's message.
        reason: String,
    },
}
