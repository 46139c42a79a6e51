//! What a program, a page's worker and a server ask of the trainer, each once: open a model, read rows, prepare a run, go on from a checkpoint,
//! answer, classify, and gather the files of an adapter.
//!
//! A [`Host`] says where things come from: a file system, a browser's storage and the files that its user chose. Nothing here knows which.
//!
//! ```text
//! Host::open_model ─► LoadedModel::load ─┐
//! Host::rows ─► Dataset::read ─► RunData ┼─► prepare ─► Job ─► lorelei_train::train ─► finished_files
//! Host::adapter, a checkpoint's Folder ──┘
//! ```

mod adapter;
mod answer;
mod card;
mod classify;
mod dataset;
mod error;
mod finished;
mod host;
mod model;
mod prepare;

pub use adapter::{adapter_config, adapter_purpose, load_adapter};
pub use answer::Answer;
pub use card::model_card;
pub use classify::classify;
pub use dataset::{BadRows, Dataset, DatasetRequest, RunData, first_examples, padding};
pub use error::{Result, SessionError};
pub use finished::{FinishedRun, LOG_FILE};
pub use host::{ExampleSink, Folder, Host, OpenedModel, RowFile};
pub use model::{LoadedModel, keeps_packed, load_model, tokenizer};
pub use prepare::{RunRequest, adapt, prepare, storage};
