//! Operations that the program, a page's worker and a server share: open a model, read rows, prepare a run, resume from a checkpoint, answer,
//! classify, and gather the files of an adapter.
//!
//! A [`Host`] provides the files: from a file system, or from a browser's storage and its user's choice of files. The rest of the crate does
//! not depend on which.
//!
//! ```text
//! Host::open_model ─► LoadedModel::load ─┐
//! Host::rows ─► Dataset::read ─► RunData ┼─► prepare ─► Job ─► lorelei_train::train ─► FinishedRun::files
//! Host::adapter, a checkpoint's Folder ──┘
//! ```
//!
//! A host's [`Folder`] is anything that has files by name:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use lorelei_session::{Folder, Result, adapter_config};
//!
//! struct InMemory(BTreeMap<&'static str, &'static str>);
//!
//! impl Folder for InMemory {
//!     fn name(&self) -> String {
//!         "adapter".into()
//!     }
//!
//!     async fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
//!         Ok(self.0.get(file).map(|text| text.as_bytes().to_vec()))
//!     }
//! }
//!
//! let json = r#"{"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}"#;
//! let folder = InMemory(BTreeMap::from([("adapter_config.json", json)]));
//! assert_eq!(pollster::block_on(adapter_config(&folder))?.lora.r, 4);
//!
//! let error = pollster::block_on(adapter_config(&InMemory(BTreeMap::new()))).unwrap_err();
//! assert_eq!(error.to_string(), "adapter has no adapter_config.json: is it a PEFT adapter's folder?");
//! # Ok::<(), lorelei_session::SessionError>(())
//! ```

mod adapter;
mod answer;
mod card;
mod card_results;
mod card_uses;
mod chat_text;
mod classify;
mod dataset;
mod error;
mod finished;
mod host;
mod license;
mod model;
mod prepare;

pub use adapter::{adapter_config, adapter_purpose, load_adapter};
pub use answer::{Answer, end_ids};
pub use card::model_card;
pub use chat_text::chat_text;
pub use classify::classify;
pub use dataset::{BadRows, Dataset, DatasetRequest, Digests, RunData, first_examples, padding};
pub use error::{Result, SessionError};
pub use finished::{CARD_FILE, FinishedRun, LOG_FILE, ResultKind};
pub use host::{ExampleSink, Folder, Host, OpenedModel, RowFile};
pub use license::{license_id, license_in, license_of};
pub use model::{LoadedModel, keeps_packed, load_model, storage_on, tokenizer};
pub use prepare::{Resumed, RunRequest, adapt, prepare, storage};
