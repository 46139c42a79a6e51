//! What every model file looks like from above: named tensors that can be read one at a time.

use std::fmt;

use crate::gguf::GgmlType;
use crate::{Dtype, FormatError};

/// How a tensor's values are stored in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredDtype {
    /// One number after the other.
    Plain(Dtype),
    /// In GGUF's quantised blocks.
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

/// A tensor's name, shape and storage, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Hugging Face's name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major; a weight's is `[out, in]`. A scalar's is empty.
    pub shape: Vec<usize>,
    /// How the values are stored.
    pub dtype: StoredDtype,
}

impl TensorInfo {
    /// The number of values.
    pub fn element_count(&self) -> usize {
        // Readers only make infos whose product they have checked.
        self.shape.iter().product()
    }
}

/// A model file, or several that make one model: tensors by name, read one at a time.
///
/// Reading a tensor holds its values in f32 (or i64) and a piece of a few MiB of the file, never the tensor's bytes whole.
pub trait TensorSource: Send + Sync {
    /// Every tensor, in the order of the file.
    fn infos(&self) -> &[TensorInfo];

    /// The tensor of this name, if there is one.
    fn info(&self, name: &str) -> Option<&TensorInfo>;

    /// The values of a floating point or quantised tensor, row-major.
    ///
    /// # Errors
    /// When there is no such tensor, when it holds integers, when the file ends too early or cannot be read.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError>;

    /// The bytes of a tensor that lies in GGUF's blocks, rows in their order; none where it does not.
    ///
    /// # Errors
    /// When there is no such tensor, when the file ends too early or cannot be read.
    fn read_blocks(&self, _name: &str) -> Result<Option<Vec<u8>>, FormatError> {
        Ok(None)
    }

    /// The values of an integer or boolean tensor, row-major.
    ///
    /// # Errors
    /// As [`read_f32`](Self::read_f32), when it holds floats, and for a `U64` value above `i64::MAX`.
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
        }
    )*};
}

forward!(&T, Box<T>, std::sync::Arc<T>);
