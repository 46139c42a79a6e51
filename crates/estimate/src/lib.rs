//! Estimates of a run before it begins: the parameters that train, memory, and steps. `lorelei fit`, `lorelei params` and the page show them, and
//! `lorelei-models` places adapters by them. The crate depends on neither burn nor files.
//!
//! - [`ModelShape`]: a model as plain data, from its configuration and the names in its checkpoint.
//! - [`Trainable`]: the modules that a recipe trains, by PEFT's rules; [`Trainable::parameters`]: the names and shapes of their parameters.
//! - [`memory()`], [`savings()`]: bytes on the device, and settings that need fewer.

mod memory;
mod model_shape;
mod optimizer_state;
mod savings;
mod steps;
mod trainable;

pub use memory::{Memory, RowShape, memory};
pub use model_shape::{ModelShape, task_of, task_type_of};
pub use optimizer_state::{optimizer_of, optimizer_state};
pub use savings::{Saving, savings};
pub use steps::{effective_batch, steps};
pub use trainable::{
    ModuleTraining, ParameterCounts, ParameterShape, Trainable, parameters, trains_with_head,
};
