//! What is trained, and the loop.

use lorelei_data::{Batch, Padding, RowSet, collate};
use lorelei_models::{Model, Tokens};
use lorelei_recipe::{LoraConfig, TrainingArguments};

use crate::{Checkpoint, Finished, Host, Objective, Run, TrainError};

/// A model, what it shall learn, and how.
pub struct Job {
    /// With its adapters in place, or fine-tuned whole.
    pub model: Model,
    /// The adapter's configuration; none for full fine-tuning.
    pub lora: Option<LoraConfig>,
    /// The module names that the adapter sits on, for `adapter_config.json`.
    pub target_modules: Vec<String>,
    /// What `adapter_config.json` names as the base.
    pub base_model: String,
    /// Transformers' arguments.
    pub arguments: TrainingArguments,
    /// What is learnt of the rows.
    pub objective: Box<dyn Objective>,
    /// Rows to learn from.
    pub train: RowSet,
    /// Rows to evaluate on; may be empty.
    pub validation: RowSet,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Fills short rows up.
    pub padding: Padding,
    /// Where an earlier run of the same job was; its adapter must be in the model. None begins at the first step.
    pub checkpoint: Option<Checkpoint>,
    /// A prompt to answer now and then.
    pub sample: Option<Sample>,
}

/// A prompt that the model answers while it learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Optimizer steps between two answers.
    pub every: usize,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
}

/// Trains to the end, or until the host asks to stop, and saves what was learnt into `output_dir`.
///
/// # Errors
///
/// If the data has nothing to learn from, the numbers diverge, the device fails or a save does; what was saved before stands.
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

/// The host side of a batch as the model takes it.
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

/// Some rows as a batch.
pub(crate) fn collated(rows: &RowSet, chosen: &[usize], padding: Padding) -> Result<Batch, TrainError> {
    let rows = chosen.iter().map(|row| rows.row(*row)).collect::<Result<Vec<_>, _>>()?;
    Ok(collate(&rows.iter().collect::<Vec<_>>(), padding))
}
