//! The trainer: loop, accumulation, optimizer, schedule, evaluation and checkpoints. It reports [`Event`]s and depends neither on a
//! terminal nor on a file system: a [`Host`] provides a clock and a place for files.

mod checkpoint;
mod device;
mod error;
mod evaluate;
mod host;
mod job;
mod manifest;
mod model_input;
mod objectives;
mod optimizer;
mod optimizer_step;
mod optimizers;
mod precision;
mod run;
mod save;
mod state;
mod trainer;
mod unlearnt;

pub use checkpoint::Checkpoint;
pub use error::{SaveError, TrainError};
pub use evaluate::evaluate;
pub use host::{Host, Signal};
pub use job::{Job, Sample};
pub use lorelei_protocol::{
    Evaluation, Event, Finished, LogLine, Metrics, Notice, Sampled, Saved, Started, StepLog,
};
pub use manifest::{Difference, MANIFEST_FILE, Manifest, RunIdentity};
pub use model_input::tokens;
pub use objectives::{
    CausalLm, Measure, Metric, MultiLabel, Objective, Regression, SingleLabel, SupervisedTargets,
    Supervision, TokenClassification, objective,
};
pub use optimizer::{Optimizer, OptimizerState};
pub use precision::{LossScale, base_dtype};
pub use run::Run;
pub use save::adapter_files;
pub use state::TrainerState;
pub use trainer::train;
