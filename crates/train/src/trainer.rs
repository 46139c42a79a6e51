//! The job of a run, and the training loop.

use lorelei_data::{Batch, Padding, RowSet, collate};
use lorelei_models::{Model, Tokens};
use lorelei_recipe::{LoraConfig, TrainingArguments};

use crate::{Checkpoint, Finished, Host, Objective, Run, TrainError};

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

/// Trains to the end, or until the host asks to stop, and saves the result into `output_dir`.
///
/// # Errors
///
/// If the data have no targets, a number is not finite, the device fails or a save fails. Files that were saved before are unchanged.
pub async fn train(job: &mut Job, host: &mut impl Host) -> Result<Finished, TrainError> {
    let mut run = Run::begin(job, host).await?;
    while run.goes_on().await {
        run.step().await?;
        if run.is_logging_step() {
            run.log().await?;
        }
        if run.is_eval_step() {
            run.evaluate().await?;
        }
        if run.is_sample_step() {
            run.sample().await?;
        }
        if run.is_save_step() {
            run.save().await?;
        }
    }
    run.finish().await
}

/// Converts a batch on the host to the model's input.
pub fn tokens(batch: &Batch) -> Tokens {
    Tokens {
        batch: batch.batch_size,
        seq: batch.seq_len,
        input_ids: batch.input_ids.clone(),
        position_ids: batch.position_ids.clone(),
        segment_ids: batch.segment_ids.clone(),
        token_type_ids: batch.token_type_ids.clone(),
    }
}

/// Collates the chosen rows into a batch.
pub(crate) fn collated(rows: &RowSet, chosen: &[usize], padding: Padding) -> Result<Batch, TrainError> {
    let rows = chosen.iter().map(|row| rows.row(*row)).collect::<Result<Vec<_>, _>>()?;
    Ok(collate(&rows.iter().collect::<Vec<_>>(), padding))
}
