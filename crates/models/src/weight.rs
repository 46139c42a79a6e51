//! Frozen weight of a linear layer, as numbers or as the blocks of its file.

use burn::tensor::{Device, Int, Tensor, TensorData};
use lorelei_formats::{StoredDtype, TensorSource, gguf::GgmlType};
use lorelei_kernels::{self as kernels, Dropout, PackedForm, PackedKind, packed::BLOCK};

use crate::{
    LoraAdapter, ModelError,
    finite::check_finite,
    precision::{cast, dtype},
};

/// A weight matrix `[out, in]`.
#[derive(Debug, Clone)]
pub enum Weight {
    /// Weight as numbers.
    Dense(Tensor<2>),
    /// Weight as blocks, which are unpacked a tile at a time where they are used. It cannot train.
    Packed {
        /// Bytes of the blocks, four in a word.
        words: Tensor<1, Int>,
        /// Kind and shape of the blocks.
        form: PackedForm,
    },
}

impl Weight {
    /// Returns `(in, out)`.
    pub fn sizes(&self) -> (usize, usize) {
        match self {
            Weight::Dense(weight) => {
                let [size_out, size_in] = weight.dims();
                (size_in, size_out)
            }
            Weight::Packed { form, .. } => (form.size_in, form.size_out),
        }
    }

    /// Computes `x·Wᵀ`.
    pub(crate) fn applied(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Weight::Dense(weight) => like(x, weight, |x| kernels::linear(x, weight.clone())),
            Weight::Packed { words, form } => kernels::packed_linear(x, words.clone(), *form),
        }
    }

    /// Computes `x·Wᵀ + scale·drop(x)·Aᵀ·Bᵀ`.
    pub(crate) fn adapted(&self, x: Tensor<2>, lora: &LoraAdapter, dropout: Dropout) -> Tensor<2> {
        let (a, b, scale) = (lora.a.clone(), lora.b.clone(), lora.scale);
        match self {
            Weight::Dense(weight) => {
                like(x, weight, |x| kernels::lora_linear(x, weight.clone(), a, b, scale, dropout))
            }
            Weight::Packed { words, form } => {
                kernels::packed_lora_linear(x, words.clone(), *form, a, b, scale, dropout)
            }
        }
    }

    /// Returns the weight as numbers, which are a copy for a packed weight.
    pub fn dense(&self) -> Tensor<2> {
        match self {
            Weight::Dense(weight) => weight.clone(),
            Weight::Packed { words, form } => {
                let one = Tensor::eye(form.size_in, &words.device());
                kernels::packed_linear(one, words.clone(), *form).transpose()
            }
        }
    }

    /// Returns the packed form of a tensor of shape `[size_out, size_in]`, if its source has it in blocks that the kernels support.
    pub fn packed_form(
        source: &dyn TensorSource,
        name: &str,
        [size_out, size_in]: [usize; 2],
    ) -> Option<PackedForm> {
        let kind = match source.info(name)?.dtype {
            StoredDtype::Blocks(GgmlType::Q8_0) => PackedKind::Q8_0,
            StoredDtype::Blocks(GgmlType::Q4_0) => PackedKind::Q4_0,
            StoredDtype::Blocks(GgmlType::Q4_1) => PackedKind::Q4_1,
            _ => return None,
        };
        PackedForm::new(kind, size_out, size_in)
    }

    /// Returns the blocks of a tensor of shape `[size_out, size_in]`, if its source has them and the kernels support them.
    pub(crate) fn packed(
        source: &dyn TensorSource,
        name: &str,
        [size_out, size_in]: [usize; 2],
        device: &Device,
    ) -> Result<Option<Self>, ModelError> {
        let Some(form) = Self::packed_form(source, name, [size_out, size_in]) else { return Ok(None) };
        let Some(bytes) = source.read_blocks(name)? else { return Ok(None) };
        let Some(words) = form.words(&bytes) else { return Ok(None) };
        check_blocks(name, form.kind, &bytes)?;
        let count = words.len();
        let words = Tensor::from_data(TensorData::new(words, [count]), device);
        Ok(Some(Weight::Packed { words, form }))
    }
}

/// Refuses blocks with values that are not finite.
fn check_blocks(name: &str, kind: PackedKind, bytes: &[u8]) -> Result<(), ModelError> {
    const AT_A_TIME: usize = 128;
    let mut values = vec![0.0; AT_A_TIME * BLOCK];
    for (at, blocks) in bytes.chunks(AT_A_TIME * kind.block_bytes()).enumerate() {
        let values = &mut values[..blocks.len() / kind.block_bytes() * BLOCK];
        kind.unpack(blocks, values);
        check_finite(name, at * AT_A_TIME * BLOCK, values)?;
    }
    Ok(())
}

/// Computes `product` of `x` in numbers of the weight's type, and converts the result to the type of `x`: in a model of half floats, a trainable
/// weight is in single floats.
fn like(x: Tensor<2>, weight: &Tensor<2>, product: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let dtype = dtype(&x);
    cast(product(cast(x, crate::precision::dtype(weight))), dtype)
}
