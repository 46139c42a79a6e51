//! Messages from the worker to the page.

use lorelei_estimate::ModelShape;
use lorelei_recipe::{Message, Recipe, TaskType};
use serde::{Deserialize, Serialize};

use crate::{DownloadOffer, Event, Failure, Verdict};

/// A message of the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
// A message exists only until it becomes JSON: boxing would only make it harder to write.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// The worker's module runs. Sent once, without a request.
    Ready,
    /// Answer to [`crate::Request::Probe`].
    Capabilities(Capabilities),
    /// A model is being loaded.
    Progress {
        /// The current item, such as `model.layers.3.mlp.up_proj.weight`.
        what: String,
        /// Bytes or tensors so far.
        done: u64,
        /// Total of these bytes or tensors; 0 where it is not known.
        total: u64,
    },
    /// Answer to [`crate::Request::Load`].
    Loaded(ModelInfo),
    /// Answer to [`crate::Request::Import`].
    Imported {
        /// The recipe.
        recipe: Recipe,
        /// Whether the text was another trainer's, rather than a recipe.
        is_foreign: bool,
        /// What was left out and what to know about the rest, each with its line.
        notes: Vec<Message>,
    },
    /// Answer to [`crate::Request::Preview`].
    Previewed(DataInfo),
    /// An event of the run.
    Event {
        /// The event.
        event: Event,
    },
    /// The run is paused, or continues.
    Paused {
        /// Whether the run is paused now.
        paused: bool,
    },
    /// Answer to [`crate::Request::Generate`] by a model that writes text. Sent again and again while the text grows.
    Generated {
        /// The user's prompt.
        prompt: String,
        /// The text of the base model.
        without_adapter: String,
        /// The text of the model with its adapter; `None` if it has no adapter.
        with_adapter: Option<String>,
        /// Whether this is the last of these replies.
        finished: bool,
    },
    /// Answer to [`crate::Request::Generate`] by a trained classifier.
    Classified {
        /// The text that was classified.
        prompt: String,
        /// The classifier's result.
        verdict: Verdict,
    },
    /// The forms in which the adapter of the last run can be downloaded. Sent when the run has ended.
    Offered {
        /// All forms, with the reason for those that cannot be.
        offers: Vec<DownloadOffer>,
    },
    /// Answer to [`crate::Request::Export`]. The file is in the message's `bytes`, or is its `file`, where it may be too large for memory.
    Exported {
        /// The name to save it under.
        file_name: String,
        /// What the form loses or changes, and what to do with it.
        notices: Vec<Message>,
    },
    /// The loaded model was removed to make room for one that is being loaded.
    Unloaded,
    /// The worker panicked and can do no more. This is the last message before it stops.
    Broken {
        /// The panic's message, with its place in the source.
        message: String,
    },
    /// A request failed. The worker is still running, and its state is the same as before.
    Failed {
        /// The `request` tag of the failed request, such as `load`.
        request: String,
        /// The problem, and the way out.
        failure: Failure,
    },
}

/// Capabilities of a browser, and the contents of its storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The GPU; none where WebGPU is missing or cannot be used.
    pub webgpu: Option<AdapterInfo>,
    /// Reason why there is no GPU, and a way out.
    pub webgpu_problem: Option<Message>,
    /// Models in the browser's storage.
    pub cached: Vec<CachedModel>,
    /// A run that was interrupted.
    pub interrupted: Option<InterruptedRun>,
    /// Bytes that the browser lets this page store; 0 where it does not report them.
    pub storage_quota: u64,
    /// Bytes of the storage that are in use; 0 where the browser does not report them.
    pub storage_used: u64,
}

/// A WebGPU adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterInfo {
    /// Name that the browser gives the adapter.
    pub name: String,
    /// Whether the adapter has `shader-f16`.
    pub shader_f16: bool,
    /// Whether the adapter is a software implementation.
    pub is_fallback: bool,
    /// Largest buffer, in bytes.
    pub max_buffer_size: u64,
    /// Largest storage binding, in bytes.
    pub max_storage_buffer_binding_size: u64,
}

/// A model in the browser's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedModel {
    /// Hub id and revision.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// A run whose last checkpoint is in the browser's storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterruptedRun {
    /// Recipe of the run.
    pub recipe: Recipe,
    /// Step of the checkpoint.
    pub step: usize,
    /// Number of steps of the whole run.
    pub total_steps: usize,
}

/// A loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name of the model in the recipe.
    pub name: String,
    /// Whether the architecture has a language model's head; an encoder has none.
    pub has_lm_head: bool,
    /// Task in the model's own configuration.
    pub task_type: TaskType,
    /// Device of the model: `WebGPU` with the adapter's name, or `CPU`.
    pub device: String,
    /// Whether conversations are rendered by the model's own template.
    pub has_chat_template: bool,
    /// The model's modules and sizes, for estimates.
    pub shape: ModelShape,
}

/// Data that was read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataInfo {
    /// Number of sequences to train on in an epoch: rows, or packed rows.
    pub train_rows: usize,
    /// Number of sequences held out.
    pub validation_rows: usize,
    /// Number of tokens of an epoch.
    pub tokens: usize,
    /// Number of these tokens that are learnt.
    pub learnt_tokens: usize,
    /// Number of rows that were cut at `max_length`.
    pub truncated: usize,
    /// Lines of the rows that were left out because they have nothing to learn.
    pub skipped: Vec<usize>,
    /// Lines that are wrong. They must be corrected before training.
    pub bad_rows: Vec<BadRow>,
    /// The first rows, as the model sees them.
    pub preview: Vec<PreviewRow>,
    /// Whether labels are learnt instead of tokens.
    pub classifies: bool,
    /// Names of a classifier's classes; empty where the labels are numbers.
    pub labels: Vec<String>,
    /// These names as a list for people; `None` where they are too many to read.
    pub listed_labels: Option<String>,
    /// Histogram of the examples' lengths in tokens: bars of equal width, the shortest first.
    pub lengths: Vec<LengthBar>,
    /// Tokens of the example in the middle.
    pub median_length: usize,
    /// Length in tokens that at least 95 % of the examples do not exceed.
    pub percentile_95: usize,
    /// Tokens of the longest example.
    pub longest: usize,
}

/// Examples of about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthBar {
    /// The fewest tokens of these examples.
    pub from: usize,
    /// The most tokens of these examples.
    pub to: usize,
    /// Number of examples.
    pub count: usize,
}

/// A line that cannot be read as a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// Number of the line, from 1.
    pub line: usize,
    /// The problem, and the way out.
    pub message: Message,
}

/// A row as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    /// Tokens of the row.
    pub tokens: Vec<PreviewToken>,
    /// Label of the row, if texts are classified.
    pub label: Option<String>,
}

/// A token of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewToken {
    /// Text of the token; a token that is a part of a character has a replacement character.
    pub text: String,
    /// Id of the token.
    pub id: u32,
    /// Whether the model learns to predict the token, or its label.
    pub learnt: bool,
    /// Label of the token, if words are classified.
    pub label: Option<String>,
}
