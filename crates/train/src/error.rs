//! Why a run ended before its time.

use lorelei_data::DataError;
use lorelei_formats::FormatError;
use lorelei_models::ModelError;
use lorelei_recipe::RecipeError;

/// Files that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot save {path}: {reason}; {help}")]
pub struct SaveError {
    /// Where.
    pub path: String,
    /// What the system said.
    pub reason: String,
    /// The way out.
    pub help: String,
}

/// A run that cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model or the adapter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// An adapter could not be put into a file's form.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A save failed. What was saved before stands.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The run cannot go on from a checkpoint.
    #[error(
        "cannot go on from the checkpoint: {0}; give the recipe, data and model that it was made with, or begin anew"
    )]
    Checkpoint(String),
    /// There is nothing to learn from.
    #[error("{0}")]
    Data(String),
    /// A row could not be read back.
    #[error(transparent)]
    Rows(#[from] DataError),
    /// The numbers left the range of floats.
    #[error(
        "{what} is {value} at step {step}: the run has diverged; nothing was saved since the last checkpoint. \
         Lower learning_rate (LoRA likes 1e-4 to 5e-4), lengthen the warm-up or keep max_grad_norm at 1.0"
    )]
    Diverged {
        /// Which number.
        what: String,
        /// NaN or an infinity.
        value: f64,
        /// At which optimizer step it was seen.
        step: usize,
    },
    /// `bf16` on a device that does not have it.
    #[error(
        "bf16 = true: {device} does not compute in bfloat16; say fp16 = true instead, or leave both out for float32"
    )]
    NoBfloat16 {
        /// Which one.
        device: String,
    },
    /// The device failed.
    #[error("the device failed at step {step}: {reason}")]
    Device {
        /// At which optimizer step.
        step: usize,
        /// What the backend said.
        reason: String,
    },
}
