//! Adapters in the forms of other programs, each read and written one tensor at a time.
//!
//! - [`write_gguf_lora`], [`read_gguf_lora`]: a GGUF adapter, for llama.cpp, Ollama and LM Studio, and the way back.
//! - [`write_weighted`]: several adapters in one.
//! - [`write_folded`]: a PEFT adapter of one rank and one scale.
//! - [`write_merged`]: the adapter merged into its base, as a Hugging Face folder.
//! - [`write_merged_gguf`]: the same as a GGUF model.
//! - [`write_mlx`], [`read_mlx`]: mlx-lm's adapters, and the way back.
//! - [`modelfile`]: Ollama's Modelfile, with the chat template in Go's language.
//! - [`check()`]: what a program will refuse of an adapter, or silently leave out.
//! - [`Export`] writes each of them into files that a host creates, and [`check_export`] says beforehand what it would refuse.
//! - `export_to_path` does so on a file system: the output appears whole, or not at all.
//!
//! Nothing else here opens a file: what is read is a [`TensorSource`](lorelei_formats::TensorSource), what is written is a [`Write`](std::io::Write), so
//! that the program and a page export with the same code. A form that cannot hold an adapter refuses it, with another way to the same end; what a
//! form has no key for is folded into the matrices.

mod adapter;
mod check;
mod companion_files;
mod error;
mod export;
mod folded;
mod gguf_keys;
mod gguf_lora;
mod gguf_lora_in;
mod kind;
mod llama_cpp;
mod merge_plan;
mod merged;
mod merged_gguf;
mod mlx;
mod ollama;
mod product;
#[cfg(not(target_arch = "wasm32"))]
mod to_path;
mod uniform;
mod weighted;
mod weighted_options;
mod weighted_values;

pub use adapter::{AdaptedModule, PeftAdapter};
pub use check::{Finding, Reader, Verdict, check};
pub use error::ExportError;
pub use export::{Export, check_export};
pub use folded::write_folded;
pub use gguf_lora::{GgufLoraOptions, write_gguf_lora};
pub use gguf_lora_in::read_gguf_lora;
pub use kind::{ExportDtype, ExportKind, PEFT_COMPANIONS};
pub use merged::{CreateFile, MergeOptions, write_merged};
pub use merged_gguf::{MergedGgufOptions, write_merged_gguf};
pub use mlx::{ImportedAdapter, MLX_TENSORS, read_mlx, write_mlx};
pub use ollama::{OllamaTemplate, Turn, modelfile, recognise_template};
#[cfg(not(target_arch = "wasm32"))]
pub use to_path::{
    ExportRequest, export_to_path, is_gguf_adapter, is_mlx_adapter, is_whole_model, mlx_base, open_adapter,
    peft_files_of_gguf, peft_files_of_mlx,
};
pub use weighted::write_weighted;
pub use weighted_options::{Combination, MajoritySign, WeightedOptions};
