//! Common interface of all model files: named tensors that can be read one at a time.

use std::fmt;

use crate::gguf::{GgmlType, GgufContents};
use crate::{Dtype, FormatError};

/// Storage format of a tensor's values in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredDtype {
    /// One number after the other.
    Plain(Dtype),
    /// GGUF's quantised blocks.
    Blocks(GgmlType),
}

impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredDtype::Plain(dtype) => dtype.fmt(f),
            StoredDtype::Blocks(ggml) => ggml.fmt(f),
        }
    }
}

/// Name, shape and storage format of a tensor, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Hugging Face's name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major shape: `[out, in]` for a weight, empty for a scalar.
    pub shape: Vec<usize>,
    /// Storage format of the values.
    pub dtype: StoredDtype,
}

impl TensorInfo {
    /// Returns the number of values.
    pub fn element_count(&self) -> usize {
        // Readers create only infos whose product they have checked.
        self.shape.iter().product()
    }
}

/// A model file, or several that make one model: tensors by name, read one at a time.
///
/// Reading a tensor keeps its values in f32 (or i64) and a piece of a few MiB of the file in memory, never all bytes of the tensor.
pub trait TensorSource: Send + Sync {
    /// Returns every tensor, in the order of the file.
    fn infos(&self) -> &[TensorInfo];

    /// Returns the tensor with this name, if there is one.
    fn info(&self, name: &str) -> Option<&TensorInfo>;

    /// Reads the values of a floating-point or quantised tensor, row-major.
    ///
    /// # Errors
    /// When there is no such tensor, when it holds integers, when the file ends too early or cannot be read.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError>;

    /// Reads the bytes of a tensor that is stored in GGUF's blocks, with rows in their order. Returns `None` for other tensors.
    ///
    /// # Errors
    /// When there is no such tensor, when the file ends too early or cannot be read.
    fn read_blocks(&self, _name: &str) -> Result<Option<Vec<u8>>, FormatError> {
        Ok(None)
    }

    /// Reads the first, the middle and the last KiB of a tensor's bytes as they are stored, or all of a tensor of at most 3 KiB: enough to tell a tensor
    /// from one that was trained further. A source that computes its tensors has no bytes.
    ///
    /// # Errors
    /// When there is no such tensor, when the file ends too early or cannot be read.
    fn read_sample(&self, _name: &str) -> Result<Vec<u8>, FormatError> {
        Ok(Vec::new())
    }

    /// Returns the GGUF file that the tensors are in, if they are in one.
    fn gguf_contents(&self) -> Option<&dyn GgufContents> {
        None
    }

    /// Reads the values of an integer or boolean tensor, row-major.
    ///
    /// # Errors
    /// The errors of [`read_f32`](Self::read_f32), one when the tensor holds floats, and one for a `U64` value above `i64::MAX`.
    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: TensorSource + ?Sized> TensorSource for $pointer {
            fn infos(&self) -> &[TensorInfo] {
                (**self).infos()
            }

            fn info(&self, name: &str) -> Option<&TensorInfo> {
                (**self).info(name)
            }

            fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
                (**self).read_f32(name)
            }

            fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
                (**self).read_i64(name)
            }

            fn read_blocks(&self, name: &str) -> Result<Option<Vec<u8>>, FormatError> {
                (**self).read_blocks(name)
            }

            fn read_sample(&self, name: &str) -> Result<Vec<u8>, FormatError> {
                (**self).read_sample(name)
            }

            fn gguf_contents(&self) -> Option<&dyn GgufContents> {
                (**self).gguf_contents()
            }
        }
    )*};
}

forward!(&T, Box<T>, std::sync::Arc<T>);
