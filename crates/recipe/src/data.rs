//! `[data]`: the examples, and how they become sequences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The examples to train on. File names are Transformers' example scripts' (`train_file`, `validation_file`), lengths
/// and packing are TRL's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// JSONL, JSON (one array), CSV or TSV (the first line names the columns), text, Parquet or Arrow, gzip or zstd around it or not;
    /// natively a folder or a glob of them too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_file: Option<String>,
    /// Examples for evaluation, in any of the same formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_file: Option<String>,
    /// Percentage of the training examples set aside for evaluation, when there is no `validation_file`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::number::whole_option")]
    pub validation_split_percentage: Option<f64>,
    /// Which column of the file each field of a row is: `prompt = "question"`. Empty finds them by their usual names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// What a row that cannot be used does to the run.
    pub on_bad_row: OnBadRow,
    /// What a row of a text file is.
    pub sample_by: SampleBy,
    /// Whether only the assistant's turns of a conversation are learnt.
    pub assistant_only_loss: bool,
    /// Whether of a prompt and its completion only the second is learnt.
    pub completion_only_loss: bool,
    /// Whether of rows with the same tokens only the first is kept.
    pub deduplicate: bool,
    /// Longest sequence, in tokens; what is beyond is cut off.
    pub max_length: usize,
    /// The side on which it is cut off.
    pub truncation_side: TruncationSide,
    /// Batches are padded to a multiple of so many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_to_multiple_of: Option<usize>,
    /// Whether each epoch takes the examples in a new order.
    pub shuffle: bool,
    /// Whether several short examples share a sequence.
    pub packing: bool,
}

/// What a row that cannot be used does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRow {
    /// It stops the run before it begins.
    #[default]
    Error,
    /// It is left out and counted.
    Skip,
}

/// What a row of a text file is, as in `datasets`' text loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleBy {
    /// A line.
    #[default]
    Line,
    /// What stands between blank lines.
    Paragraph,
    /// The whole file: one stream of tokens, cut into sequences of `max_length`.
    Document,
}

/// A side of a row of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TruncationSide {
    /// The first tokens go.
    Left,
    /// The last tokens go.
    #[default]
    Right,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train_file: None,
            validation_file: None,
            validation_split_percentage: None,
            columns: BTreeMap::new(),
            on_bad_row: OnBadRow::Error,
            sample_by: SampleBy::Line,
            assistant_only_loss: true,
            completion_only_loss: true,
            deduplicate: false,
            max_length: 1024,
            truncation_side: TruncationSide::Right,
            pad_to_multiple_of: None,
            shuffle: true,
            packing: false,
        }
    }
}
