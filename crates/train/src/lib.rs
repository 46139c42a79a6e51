//! The trainer: loop, accumulation, optimizer, schedule, evaluation and checkpoints. It speaks in [`Event`]s and knows neither a
//! terminal nor a file system: a [`Host`] gives it a clock and a place for files.

mod answer;
mod card;
mod checkpoint;
mod classification;
mod classify;
mod error;
mod host;
mod optimizer;
mod optimizers;
mod precision;
mod save;
mod state;
mod trainer;

pub use answer::Answer;
pub use card::model_card;
pub use checkpoint::Checkpoint;
pub use classify::classify;
pub use error::{SaveError, TrainError};
pub use host::{Host, Signal};
pub use lorelei_protocol::{Evaluation, Event, Finished, LogLine, Sampled, Saved, Started, StepLog, Warned};
pub use optimizer::{Moments, Optimizer};
pub use precision::{LossScale, base_dtype};
pub use save::adapter_files;
pub use state::TrainerState;
pub use trainer::{Job, Sample, evaluate, tokens, train};
