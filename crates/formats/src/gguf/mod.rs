//! GGUF, the file format of llama.cpp: metadata, tensors in quantised blocks, and a tokenizer, all in one file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. [`Gguf`] is the file itself; [`GgufModel`] is the same file seen as the
//! Hugging Face model that it was made from.

mod contents;
mod cursor;
mod dequantize;
mod file;
mod ggml_type;
mod header;
mod hf_config;
mod hf_config_bert;
mod hf_names;
mod hf_tokenizer;
mod k_quants;
mod model;
mod pre_tokenizer;
mod quantize;
mod role_names;
mod spm_merges;
mod tokenizer_keys;
mod value;
mod write;

pub use contents::GgufContents;
pub use dequantize::{dequantize, dequantize_into};
pub use file::Gguf;
pub use ggml_type::GgmlType;
pub use header::GgufTensor;
pub use model::GgufModel;
pub use quantize::quantize;
pub use role_names::gguf_name;
pub use value::{GgufArray, GgufValue};
pub use write::{GgufTensorSpec, GgufWriter};
