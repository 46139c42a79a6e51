//! Reading and writing of model files, tensor by tensor.
//!
//! This crate depends on no device, file system or browser. Every reader uses [`ReadAt`], so that a file on disk, a `Blob` in a page and a byte
//! vector in a test are read by the same code, and a model is never in memory whole. The results have Hugging Face's names and layouts (row-major
//! `[out, in]`), whatever the names in the file: GGUF's reversed shapes and permuted query/key rows are converted here and nowhere else.
//!
//! - [`SafetensorsFile`], [`ShardedSafetensors`]: reading safetensors; [`SafetensorsWriter`]: writing them.
//! - [`gguf`]: GGUF files, their quantised blocks, and the `config.json` and `tokenizer.json` they imply; writing them.
//! - [`config`]: a model's `config.json`, and the modules that follow from it.
//! - [`adapter`]: PEFT's `adapter_model.safetensors`; [`peft`]: the names in it.
//!
//! Files are hostile until proven otherwise. Every length is checked against the size of the file before memory is allocated for it, and no sequence
//! of bytes makes a reader panic. Problems are returned as a [`FormatError`] that names the file, the place and a way to solve the problem.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use lorelei_formats::{Dtype, SafetensorsFile, TensorData, TensorSource, TensorSpec, to_bytes};
//!
//! let spec = TensorSpec::new("norm.weight", Dtype::F32, [2].as_slice());
//! let bytes = to_bytes(&[(spec, TensorData::F32(&[1.0, 0.5]))], &BTreeMap::new())?;
//! let file = SafetensorsFile::open(bytes.clone(), "model.safetensors")?;
//! assert_eq!(file.read_f32("norm.weight")?, [1.0, 0.5]);
//!
//! // A file that was cut off is refused when it is opened.
//! let error = SafetensorsFile::open(bytes[..bytes.len() - 1].to_vec(), "model.safetensors").unwrap_err();
//! assert!(error.to_string().contains("model.safetensors"));
//! # Ok::<(), lorelei_formats::FormatError>(())
//! ```

pub mod adapter;
pub mod config;
mod dtype;
mod error;
pub mod gguf;
mod model_source;
pub mod peft;
mod pieces;
mod read_at;
mod safetensors;
mod safetensors_header;
mod safetensors_sharded;
mod safetensors_write;
mod tensor_source;

pub use adapter::{Adapter, AdapterTensor, read_adapter_bytes, write_adapter};
pub use config::ModelConfig;
pub use dtype::Dtype;
pub use error::{ErrorKind, FormatError, Place};
pub use gguf::GgufModel;
pub use model_source::ModelSource;
pub use peft::{AdapterPart, parameter_key, parameter_name, parse_adapter_key};
pub use read_at::ReadAt;
pub use safetensors::SafetensorsFile;
pub use safetensors_sharded::ShardedSafetensors;
pub use safetensors_write::{SafetensorsWriter, TensorData, TensorSpec, to_bytes};
pub use tensor_source::{StoredDtype, TensorInfo, TensorSource};
