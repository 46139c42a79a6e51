//! `[data]`: the examples, and how they become sequences.

use serde::{Deserialize, Serialize};

/// The examples to train on. File names are Transformers' example scripts' (`train_file`, `validation_file`), lengths
/// and packing are TRL's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// JSONL, JSON (one array), CSV or TSV (the first line names the columns), or text (a line is a row).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_file: Option<String>,
    /// Examples for evaluation, in any of the same formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_file: Option<String>,
    /// Percentage of the training examples set aside for evaluation, when there is no `validation_file`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::number::whole_option")]
    pub validation_split_percentage: Option<f64>,
    /// Longest sequence, in tokens; what is beyond is cut off.
    pub max_length: usize,
    /// Whether each epoch takes the examples in a new order.
    pub shuffle: bool,
    /// Whether several short examples share a sequence.
    pub packing: bool,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train_file: None,
            validation_file: None,
            validation_split_percentage: None,
            max_length: 1024,
            shuffle: true,
            packing: false,
        }
    }
}
