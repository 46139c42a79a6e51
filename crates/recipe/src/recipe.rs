//! The four sections of a run.

use serde::{Deserialize, Serialize};

use crate::{DataSection, LoraConfig, ModelSection, TrainingArguments};

/// A complete description of a run. [`Recipe::from_toml`] and [`Recipe::from_json`] read one, and their errors have a
/// place. The serde form (the same names, nothing checked) is for messages between parts of the program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// `[model]`: the model to train.
    pub model: ModelSection,
    /// `[data]`: the data to train on.
    pub data: DataSection,
    /// `[lora]`: PEFT's `LoraConfig`.
    pub lora: LoraConfig,
    /// `[training]`: Transformers' `TrainingArguments`.
    pub training: TrainingArguments,
}
