//! The job of a run.

use lorelei_data::{Padding, RowSet};
use lorelei_models::Model;
use lorelei_recipe::{LoraConfig, TrainingArguments};

use crate::{Checkpoint, Objective, RunIdentity};

/// A job: a model, the data to train it on, and the settings.
pub struct Job {
    /// The model, with its adapters injected, or to be fine-tuned whole.
    pub model: Model,
    /// The adapter's configuration; `None` for full fine-tuning.
    pub lora: Option<LoraConfig>,
    /// The names of the adapter's target modules, for `adapter_config.json`.
    pub target_modules: Vec<String>,
    /// Name of the base model in `adapter_config.json`.
    pub base_model: String,
    /// Transformers' arguments.
    pub arguments: TrainingArguments,
    /// The objective of the training.
    pub objective: Box<dyn Objective>,
    /// Rows to train on.
    pub train: RowSet,
    /// Rows to evaluate on; may be empty.
    pub validation: RowSet,
    /// Whether each epoch takes the rows in a new order.
    pub shuffle: bool,
    /// Padding of short rows.
    pub padding: Padding,
    /// Checkpoint of an earlier run of the same job, whose adapter must be in the model. With `None` the run begins at the first step.
    pub checkpoint: Option<Checkpoint>,
    /// A prompt that the model answers at intervals.
    pub sample: Option<Sample>,
    /// Files that are saved beside every checkpoint and the result: a classifier's labels, or what makes a whole model's folder loadable.
    pub companions: Vec<(String, Vec<u8>)>,
    /// What determines the run's numbers, for the manifests of its checkpoints.
    pub identity: RunIdentity,
}

/// A prompt that the model answers during training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Number of optimizer steps between two answers.
    pub every: usize,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Maximum length of an answer, in tokens.
    pub max_new_tokens: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
}
