//! The four sections of a run.

use serde::{Deserialize, Serialize};

use crate::{DataSection, LoraConfig, ModelSection, TrainingArguments};

/// A run, completely described. [`Recipe::from_toml`] and [`Recipe::from_json`] read one with errors that say where;
/// the serde form (the same names, nothing checked) is for messages between parts of the program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// `[model]`: what is trained.
    pub model: ModelSection,
    /// `[data]`: what it is trained on.
    pub data: DataSection,
    /// `[lora]`: PEFT's `LoraConfig`.
    pub lora: LoraConfig,
    /// `[training]`: Transformers' `TrainingArguments`.
    pub training: TrainingArguments,
}
