//! Language models on burn, under the names and layouts of their Hugging Face checkpoints, with room for adapters.

mod adapter_file;
mod backward;
mod error;
mod generate;
mod init;
mod linear;
mod llama;
mod load;
mod lora;
mod modules;
mod parameter;
mod weight;

pub use adapter_file::read_adapter;
pub use backward::BatchGradients;
pub use error::ModelError;
pub use linear::{Linear, LoraAdapter};
pub use llama::{ForwardMode, Llama, Tokens};
pub use lora::AdapterValues;
pub use parameter::Parameter;
pub use weight::Weight;
