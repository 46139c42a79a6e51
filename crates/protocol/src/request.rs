//! Messages from the page to the worker.

use lorelei_recipe::{DataSection, Recipe, TaskType};
use serde::{Deserialize, Serialize};

use crate::DownloadKind;

/// A request of the page to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
// A message exists only until it becomes JSON: boxing would only make it harder to write.
#[allow(clippy::large_enum_variant)]
pub enum Request {
    /// Reports the capabilities of this browser, the models in its storage and the interrupted run. Answered by [`crate::Reply::Capabilities`].
    Probe,
    /// Loads a model on a device. Answered by [`crate::Reply::Progress`] and [`crate::Reply::Loaded`].
    Load {
        /// The model.
        model: ModelChoice,
        /// The device.
        device: DeviceChoice,
    },
    /// Makes a recipe of a text: a recipe, or another trainer's configuration. Answered by [`crate::Reply::Imported`].
    Import {
        /// The text.
        text: String,
        /// Name of its file, or `paste`.
        file_name: String,
    },
    /// Reads the data with the loaded model's tokenizer. Answered by [`crate::Reply::Previewed`].
    Preview {
        /// The data to train on.
        train: DataChoice,
        /// The data to evaluate on, if it is a separate file.
        validation: Option<DataChoice>,
        /// The settings that turn rows into sequences.
        section: DataSection,
        /// The task to train; a classifier learns the rows' labels.
        task_type: Option<TaskType>,
        /// Seed of the split into training and validation rows.
        seed: u64,
        /// Number of rows to show as tokens.
        rows: usize,
    },
    /// Trains the loaded model on the data last read. Answered by [`crate::Reply::Event`]s.
    Start {
        /// Recipe of the run.
        recipe: Recipe,
        /// Whether to resume from the interrupted run's checkpoint, which [`crate::Reply::Capabilities`] reported.
        resume: bool,
        /// A prompt to answer now and then.
        sample: Option<SamplePrompt>,
    },
    /// Pauses the run before its next step. Answered by [`crate::Reply::Paused`].
    Pause,
    /// Continues the paused run.
    Resume,
    /// Ends the run before its next step, and keeps what was learnt.
    Stop,
    /// Continues a conversation, without and with the adapter, or classifies the prompt. Answered by [`crate::Reply::Generated`] or
    /// [`crate::Reply::Classified`].
    Generate {
        /// The user's message.
        prompt: String,
        /// The settings of the generation.
        generation: GenerationConfig,
    },
    /// Exports the adapter of the last run. Answered by [`crate::Reply::Exported`].
    Export {
        /// The form.
        kind: DownloadKind,
        /// Name of the storage format, of [`crate::DownloadOffer::dtypes`]; none for the usual one.
        dtype: Option<String>,
    },
    /// Deletes a model from the browser's storage. Answered by [`crate::Reply::Capabilities`].
    DeleteModel {
        /// Name of the model, in the form of [`crate::CachedModel::name`].
        name: String,
    },
    /// Deletes the interrupted run and its checkpoint.
    Discard,
}

/// The source of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ModelChoice {
    /// A model that the worker contains, such as `builtin:tiny`.
    Builtin {
        /// Name of the model.
        name: String,
    },
    /// The message's files: a `.gguf`, or `config.json`, `tokenizer.json`, `*.safetensors` and the files that belong to them.
    Files {
        /// Path of each file in the model's folder, such as `additional_chat_templates/tool_use.jinja`. A file without one has its name.
        #[serde(default)]
        paths: Vec<String>,
    },
    /// A model from a hub. It is downloaded into the browser's storage, where it stays; files that are there already are not downloaded again.
    Hub {
        /// `owner/name`.
        id: String,
        /// A branch, tag or commit.
        revision: String,
        /// `https://huggingface.co`, or a mirror of it.
        endpoint: String,
    },
}

/// The device to train on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The GPU if there is a usable one, else the CPU.
    #[default]
    Auto,
    /// WebGPU.
    WebGpu,
    /// The CPU, with burn-flex in this worker's one thread.
    Cpu,
}

/// The source of data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum DataChoice {
    /// Data that the worker contains, such as `builtin:english`.
    Builtin {
        /// Name of the data.
        name: String,
    },
    /// A file in the message.
    File {
        /// Index of the file in the message's `files`.
        index: usize,
        /// Name of the file.
        name: String,
    },
}

/// Settings of the generation of an answer. Names and meanings are those of Transformers' `GenerationConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationConfig {
    /// Maximum length of an answer, in tokens.
    pub max_new_tokens: usize,
    /// Divisor of the logits; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Number of likeliest tokens from which the next one is drawn; 0 for all.
    pub top_k: usize,
    /// Sum of the probabilities of the likeliest tokens from which the next one is drawn; 1 for all tokens.
    pub top_p: f64,
    /// Penalty for tokens that are in the text already: above 1, they become less likely.
    pub repetition_penalty: f64,
    /// Seed for drawing the tokens.
    pub seed: u64,
    /// Texts that end an answer and are not part of it.
    pub stop: Vec<String>,
}

/// A prompt that is answered at regular intervals of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplePrompt {
    /// The user's message.
    pub prompt: String,
    /// Number of optimizer steps between two answers.
    pub every: usize,
    /// Maximum length of an answer, in tokens.
    pub max_new_tokens: usize,
}
