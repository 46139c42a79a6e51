//! Page to worker.

use lorelei_recipe::{DataSection, Recipe, TaskType};
use serde::{Deserialize, Serialize};

/// What a page asks of the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
// A message lives from here to its JSON: boxing would only make it harder to write.
#[allow(clippy::large_enum_variant)]
pub enum Request {
    /// What this browser can do, which models are in its storage and which run was interrupted. Answered by
    /// [`crate::Reply::Capabilities`].
    Probe,
    /// Put a model on a device. Answered by [`crate::Reply::Progress`] and [`crate::Reply::Loaded`].
    Load {
        /// Which.
        model: ModelChoice,
        /// Where.
        device: DeviceChoice,
    },
    /// Read the data with the loaded model's tokenizer. Answered by [`crate::Reply::Previewed`].
    Preview {
        /// What to learn from.
        train: DataChoice,
        /// What to evaluate on, where it is a file of its own.
        validation: Option<DataChoice>,
        /// How rows become sequences.
        section: DataSection,
        /// What the model is to learn: of a classifier, the rows' labels.
        task_type: Option<TaskType>,
        /// Splits off the validation rows.
        seed: u64,
        /// Rows to show as tokens.
        rows: usize,
    },
    /// Train the loaded model on the data last read. Answered by [`crate::Reply::Event`]s.
    Start {
        /// The run.
        recipe: Recipe,
        /// Go on from the interrupted run's checkpoint, which [`crate::Reply::Capabilities`] told of.
        resume: bool,
        /// Answer a prompt now and then.
        sample: Option<SamplePrompt>,
    },
    /// Hold the run before its next step. Answered by [`crate::Reply::Paused`].
    Pause,
    /// Let it go on.
    Resume,
    /// End it before its next step, and keep what was learnt.
    Stop,
    /// Continue a conversation, without and with the adapter, or say what a classifier says of the prompt. Answered by
    /// [`crate::Reply::Generated`] or [`crate::Reply::Classified`].
    Generate {
        /// What the user says.
        prompt: String,
        /// How it is answered.
        generation: GenerationConfig,
    },
    /// The adapter with its configuration, recipe and model card as a zip. Answered by [`crate::Reply::Exported`].
    Export,
    /// Delete a model from the browser's storage. Answered by [`crate::Reply::Capabilities`].
    DeleteModel {
        /// As [`crate::CachedModel::name`].
        name: String,
    },
    /// Forget the interrupted run and its checkpoint.
    Discard,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ModelChoice {
    /// One that the worker carries, such as `builtin:tiny`.
    Builtin {
        /// Its name.
        name: String,
    },
    /// The message's files: a `.gguf`, or `config.json`, `tokenizer.json`, `*.safetensors` and what goes with them.
    Files,
    /// From a hub into the browser's storage, where it stays; what is there already is not fetched again.
    Hub {
        /// `owner/name`.
        id: String,
        /// A branch, tag or commit.
        revision: String,
        /// `https://huggingface.co`, or a mirror of it.
        endpoint: String,
    },
}

/// Where to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The GPU where there is one that can be used, else the CPU.
    #[default]
    Auto,
    /// WebGPU.
    WebGpu,
    /// burn-flex, in this worker's one thread.
    Cpu,
}

/// Rows of data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum DataChoice {
    /// One that the worker carries, such as `builtin:english`.
    Builtin {
        /// Its name.
        name: String,
    },
    /// A file of the message.
    File {
        /// Its place in the message's `files`.
        index: usize,
        /// Its name.
        name: String,
    },
}

/// How an answer is made. Names and meanings are those of Transformers' `GenerationConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationConfig {
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens whose probabilities add up to this are drawn from; 1 for all.
    pub top_p: f64,
    /// Above 1, what was said already is less likely.
    pub repetition_penalty: f64,
    /// Draws the tokens.
    pub seed: u64,
    /// Texts that end an answer, and are no part of it.
    pub stop: Vec<String>,
}

/// A prompt that is answered every so many steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplePrompt {
    /// What the user says.
    pub prompt: String,
    /// Optimizer steps between two answers.
    pub every: usize,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
}
