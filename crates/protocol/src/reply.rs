//! Worker to page.

use lorelei_estimate::ModelShape;
use lorelei_recipe::{Recipe, TaskType};
use serde::{Deserialize, Serialize};

use crate::{Event, Failure, Verdict};

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
// A message lives from here to its JSON: boxing would only make it harder to write.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// The worker's module runs; sent once, unasked.
    Ready,
    /// See [`crate::Request::Probe`].
    Capabilities(Capabilities),
    /// A model is on its way.
    Progress {
        /// What is being done, such as `model.layers.3.mlp.up_proj.weight`.
        what: String,
        /// Bytes or tensors so far.
        done: u64,
        /// Of so many; 0 where it is not known.
        total: u64,
    },
    /// See [`crate::Request::Load`].
    Loaded(ModelInfo),
    /// See [`crate::Request::Preview`].
    Previewed(DataInfo),
    /// The run goes on.
    Event {
        /// What happened.
        event: Event,
    },
    /// The run is held, or goes on again.
    Paused {
        /// Whether it is held now.
        paused: bool,
    },
    /// See [`crate::Request::Generate`]. Sent again and again while the answers grow.
    Generated {
        /// What was asked.
        prompt: String,
        /// What the base model says.
        without_adapter: String,
        /// What the model says with its adapter; none where it has none.
        with_adapter: Option<String>,
        /// Nothing more comes.
        finished: bool,
    },
    /// What the trained classifier says. See [`crate::Request::Generate`].
    Classified {
        /// Of which text.
        prompt: String,
        /// What.
        verdict: Verdict,
    },
    /// See [`crate::Request::Export`]; the zip is in the message's `bytes`.
    Exported {
        /// The name to save it under.
        file_name: String,
    },
    /// The model that was loaded has given way to one that is on its way.
    Unloaded,
    /// The worker broke down and can do no more; a last word before it stops.
    Broken {
        /// What happened, and where in its source.
        message: String,
    },
    /// A request could not be done. The worker is alive and what was there before stands.
    Failed {
        /// Which: the `request` tag, such as `load`.
        request: String,
        /// What is wrong, and the way out.
        failure: Failure,
    },
}

/// What a browser can do and has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The GPU; none where WebGPU is missing or cannot be used.
    pub webgpu: Option<AdapterInfo>,
    /// Why there is none, and what to do about it.
    pub webgpu_problem: Option<String>,
    /// Models in the browser's storage.
    pub cached: Vec<CachedModel>,
    /// A run that was cut off.
    pub interrupted: Option<InterruptedRun>,
    /// Bytes that the browser lets this page store, and those in use; 0 where it does not say.
    pub storage_quota: u64,
    /// See `storage_quota`.
    pub storage_used: u64,
}

/// A WebGPU adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterInfo {
    /// As the browser calls it.
    pub name: String,
    /// Whether the adapter has `shader-f16`.
    pub shader_f16: bool,
    /// Whether it is software.
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
    /// Bytes.
    pub size: u64,
}

/// A run whose last checkpoint is in the browser's storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterruptedRun {
    /// Its recipe.
    pub recipe: Recipe,
    /// The checkpoint's step.
    pub step: usize,
    /// Steps in all.
    pub total_steps: usize,
}

/// A loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name in the recipe.
    pub name: String,
    /// Whether it writes text: an encoder does not.
    pub writes_text: bool,
    /// What its own configuration says that it is for.
    pub task_type: TaskType,
    /// Where it is: `WebGPU` with the adapter's name, or `CPU`.
    pub device: String,
    /// Whether conversations are rendered by the model's own template.
    pub has_chat_template: bool,
    /// Its modules and sizes, for estimates.
    pub shape: ModelShape,
}

/// Data that was read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataInfo {
    /// Sequences to train on in an epoch: rows, or what packing made of them.
    pub train_rows: usize,
    /// Sequences held out.
    pub validation_rows: usize,
    /// Tokens of an epoch.
    pub tokens: usize,
    /// Those of them that are learnt.
    pub learnt_tokens: usize,
    /// Rows that were cut at `max_length`.
    pub truncated: usize,
    /// Lines of rows without anything to learn, left out.
    pub skipped: Vec<usize>,
    /// Lines that are wrong: training needs them put right.
    pub bad_rows: Vec<BadRow>,
    /// The first rows.
    pub preview: Vec<PreviewRow>,
    /// Whether labels are learnt, and not tokens.
    pub classifies: bool,
    /// What a classifier's classes are called; none where the labels are numbers.
    pub labels: Vec<String>,
    /// How many examples have how many tokens: bars of equal width, the shortest first.
    pub lengths: Vec<LengthBar>,
    /// Tokens of the example in the middle.
    pub median_length: usize,
    /// At least 95 % of the examples have at most so many tokens.
    pub percentile_95: usize,
    /// Tokens of the longest example.
    pub longest: usize,
}

/// Examples of about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthBar {
    /// The fewest tokens.
    pub from: usize,
    /// The most.
    pub to: usize,
    /// How many examples.
    pub count: usize,
}

/// A line that is no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// From 1.
    pub line: usize,
    /// What is wrong, and the way out.
    pub message: String,
}

/// A row as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    /// Its tokens.
    pub tokens: Vec<PreviewToken>,
    /// Where a text is classified, its label.
    pub label: Option<String>,
}

/// A token of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewToken {
    /// Its text; of a part of a character, a stand-in.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Whether the model learns to say it, or its label.
    pub learnt: bool,
    /// Where words are classified, the label that this token bears.
    pub label: Option<String>,
}
