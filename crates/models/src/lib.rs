//! Language models on burn, under the names and layouts of their Hugging Face checkpoints, with room for adapters.

mod adapter_file;
mod attend;
mod backward;
mod cache;
mod classifier;
mod dora;
mod error;
mod generate;
mod init;
mod layer;
mod linear;
mod load;
mod lora;
mod model;
mod modules;
mod norm;
mod parameter;
mod precision;
mod regularization;
mod rotation;
mod sampler;
mod weight;

pub use adapter_file::read_adapter;
pub use backward::BatchGradients;
pub use dora::Dora;
pub use error::ModelError;
pub use generate::Generation;
pub use linear::{Linear, LoraAdapter};
pub use load::Storage;
pub use lora::AdapterValues;
pub use model::{ForwardMode, Model, Tokens};
pub use parameter::Parameter;
pub use regularization::Regularization;
pub use sampler::Sampling;
pub use weight::Weight;
