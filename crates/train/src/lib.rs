//! The trainer: loop, accumulation, optimizer, schedule, evaluation and checkpoints. It speaks in [`Event`]s and knows neither a
//! terminal nor a file system: a [`Host`] gives it a clock and a place for files.

mod error;
mod event;
mod host;
mod optimizer;
mod save;
mod trainer;

pub use error::{SaveError, TrainError};
pub use event::{Evaluation, Event, Finished, Started, StepLog};
pub use host::Host;
pub use optimizer::{Moments, Optimizer};
pub use save::adapter_files;
pub use trainer::{Job, evaluate, tokens, train};
