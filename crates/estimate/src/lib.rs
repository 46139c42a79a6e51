//! What a run will be before it begins: which parameters train, memory, steps. `lorelei fit`, `lorelei params` and the page read it, and
//! `lorelei-models` puts adapters where it says. No burn, no files.
//!
//! - [`ModelShape`]: a model as plain data, from its configuration and the names in its checkpoint.
//! - [`Trainable`]: which of its modules a recipe trains, by PEFT's rules, and [`Trainable::parameters`]: under which names and shapes.
//! - [`memory()`], [`savings()`]: bytes on the device, and settings that need fewer.

mod memory;
mod model_shape;
mod optimizer_state;
mod savings;
mod steps;
mod trainable;

pub use memory::{Memory, RowShape, memory};
pub use model_shape::{ModelShape, task_of, task_type_of};
pub use optimizer_state::optimizer_state;
pub use savings::{Saving, savings};
pub use steps::{effective_batch, steps};
pub use trainable::{
    ModuleTraining, ParameterCounts, ParameterShape, Trainable, parameters, trains_with_head,
};
