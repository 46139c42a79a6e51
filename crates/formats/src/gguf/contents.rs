//! A GGUF file behind a model: what a copy of the file needs beyond Hugging Face's view of it.

use std::collections::BTreeMap;

use super::{GgufModel, GgufTensor, GgufValue};
use crate::{FormatError, ReadAt};

/// Metadata and tensors of a model's GGUF file, under the file's own names and in its own layouts.
pub trait GgufContents {
    /// Returns the file's name in errors.
    fn file_name(&self) -> &str;

    /// Returns every metadata entry.
    fn metadata(&self) -> &BTreeMap<String, GgufValue>;

    /// Returns every tensor, in the order of the file's table.
    fn tensors(&self) -> &[GgufTensor];

    /// Returns Hugging Face's name of the tensor `name` of the file; a table of rotary divisors has none.
    fn hf_name(&self, name: &str) -> Option<String>;

    /// Reads a tensor's values, with its rows in the file's order.
    ///
    /// # Errors
    /// When there is no such tensor, when it holds integers, or when the file cannot be read.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError>;

    /// Reads a tensor's bytes from `offset` on, as they are stored.
    ///
    /// # Errors
    /// When the bytes end past the tensor, or the file cannot be read.
    fn read_stored(&self, tensor: &GgufTensor, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError>;
}

impl<R: ReadAt> GgufContents for GgufModel<R> {
    fn file_name(&self) -> &str {
        self.gguf.file_name()
    }

    fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        self.gguf.metadata()
    }

    fn tensors(&self) -> &[GgufTensor] {
        self.gguf.tensors()
    }

    fn hf_name(&self, name: &str) -> Option<String> {
        super::hf_names::hf_name(self.architecture, name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.gguf.read_f32(name)
    }

    fn read_stored(&self, tensor: &GgufTensor, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.gguf.read_stored(tensor, offset, bytes)
    }
}
