//! A GGUF file seen as the Hugging Face model that it was made from.

use std::collections::HashMap;

use super::hf_names::hf_name;
use super::{Gguf, GgufContents, GgufTensor, GgufValue};
use crate::pieces;
use crate::{FormatError, Place, ReadAt, StoredDtype, TensorInfo, TensorSource};

/// Divisors of Llama 3's rotary frequencies: `config.json` has their parameters, GGUF the numbers.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";

/// Divisors of Phi-3's rotary frequencies, for short and for long texts.
pub(super) const ROPE_FACTORS: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];

/// A GGUF file of a known architecture, under Hugging Face's names and in its layouts.
///
/// llama.cpp rotates neighbouring pairs of query and key values, Hugging Face pairs half a head apart, so that llama.cpp's converter interleaves the
/// rows of `q_proj` and `k_proj` (architecture `llama` only). Reading them here undoes that: a LoRA trained on the result fits the original model.
/// The converter also adds one to Gemma's norms, which is subtracted here.
#[derive(Debug)]
pub struct GgufModel<R> {
    pub(super) gguf: Gguf<R>,
    pub(super) architecture: Architecture,
    infos: Vec<TensorInfo>,
    /// Index of the tensor in the file for each of `infos`, and the number of heads whose rows are interleaved in it.
    origins: Vec<(usize, Option<usize>)>,
    by_name: HashMap<String, usize>,
}

/// Architectures whose names and layouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
    Bert,
}

impl Architecture {
    pub const ALL: [Self; 6] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3, Self::Phi3, Self::Bert];

    /// Returns GGUF's name, which is also the prefix of the architecture's metadata keys.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
            Architecture::Gemma3 => "gemma3",
            Architecture::Phi3 => "phi3",
            Architecture::Bert => "bert",
        }
    }

    /// Returns Hugging Face's name of the embedding.
    pub fn embedding(self) -> &'static str {
        match self {
            Architecture::Bert => "embeddings.word_embeddings.weight",
            _ => "model.embed_tokens.weight",
        }
    }
}

impl<R: ReadAt> GgufModel<R> {
    /// Opens a GGUF file as a model. Errors use `file_name` as the name of the file.
    ///
    /// # Errors
    /// The errors of [`Gguf::open`] and [`GgufModel::new`].
    pub fn open(reader: R, file_name: impl Into<String>) -> Result<Self, FormatError> {
        Self::new(Gguf::open(reader, file_name)?)
    }

    /// Maps the file's tensors to Hugging Face's.
    ///
    /// # Errors
    /// When the architecture is not known, or a tensor has no counterpart in it (for example in a mixture of experts).
    pub fn new(gguf: Gguf<R>) -> Result<Self, FormatError> {
        let name = gguf.architecture()?;
        let architecture = Architecture::ALL.into_iter().find(|known| known.name() == name);
        let Some(architecture) = architecture else {
            let known = Architecture::ALL.map(Architecture::name).join(", ");
            return Err(FormatError::unsupported(
                gguf.file_name(),
                Place::Key("general.architecture".to_owned()),
                format!("models of architecture {:?} cannot be read", crate::error::Shortened(name)),
                format!("use a model of a known architecture ({known}), or the original safetensors"),
            ));
        };
        let mut model =
            Self { gguf, architecture, infos: Vec::new(), origins: Vec::new(), by_name: HashMap::new() };
        let heads = model.number("attention.head_count")?;
        let kv_heads = model.optional_number("attention.head_count_kv")?.unwrap_or(heads);
        for index in 0..model.gguf.tensors().len() {
            model.add(index, heads, kv_heads)?;
        }
        Ok(model)
    }

    fn add(&mut self, index: usize, heads: usize, kv_heads: usize) -> Result<(), FormatError> {
        let tensor = &self.gguf.tensors()[index];
        if tensor.name == ROPE_FREQS || ROPE_FACTORS.contains(&tensor.name.as_str()) {
            return Ok(());
        }
        let name = hf_name(self.architecture, &tensor.name).ok_or_else(|| {
            FormatError::unsupported(
                self.gguf.file_name(),
                Place::Tensor(tensor.name.clone()),
                format!("a {} model has no such tensor", self.architecture.name()),
                "use a plain (dense) model, or the original safetensors",
            )
        })?;
        let interleaved = match self.architecture {
            Architecture::Llama if name.contains(".q_proj.") => Some(heads),
            Architecture::Llama if name.contains(".k_proj.") => Some(kv_heads),
            _ => None,
        };
        if let Some(heads) = interleaved {
            let rows = tensor.shape.first().copied().unwrap_or(0);
            if !matches!(tensor.shape.len(), 1 | 2)
                || heads == 0
                || rows % heads != 0
                || rows / heads % 2 != 0
            {
                return Err(FormatError::corrupt(
                    self.gguf.file_name(),
                    Place::Tensor(tensor.name.clone()),
                    format!("shape {:?} is not that of {heads} heads of an even size", tensor.shape),
                ));
            }
        }
        let info = TensorInfo {
            name: name.clone(),
            shape: tensor.shape.clone(),
            dtype: match tensor.ggml_type.plain() {
                Some(dtype) => StoredDtype::Plain(dtype),
                None => StoredDtype::Blocks(tensor.ggml_type),
            },
        };
        self.by_name.insert(name, self.infos.len());
        self.infos.push(info);
        self.origins.push((index, interleaved));
        Ok(())
    }

    /// Returns the underlying file.
    pub fn gguf(&self) -> &Gguf<R> {
        &self.gguf
    }

    /// Returns `tokenizer.json` and `tokenizer_config.json` of [`Gguf::hf_tokenizer`].
    ///
    /// # Errors
    /// The errors of [`Gguf::hf_tokenizer`].
    pub fn hf_tokenizer(&self) -> Result<(serde_json::Value, serde_json::Value), FormatError> {
        self.gguf.hf_tokenizer()
    }

    /// Returns `generation_config.json` of [`Gguf::hf_generation_config`].
    ///
    /// # Errors
    /// The errors of [`Gguf::hf_generation_config`].
    pub fn hf_generation_config(&self) -> Result<serde_json::Value, FormatError> {
        self.gguf.hf_generation_config()
    }

    /// Returns the metadata key of this architecture that ends in `name`.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.name())
    }

    pub(super) fn number(&self, name: &str) -> Result<usize, FormatError> {
        self.gguf.required(&self.key(name), as_usize, "whole number")
    }

    pub(super) fn optional_number(&self, name: &str) -> Result<Option<usize>, FormatError> {
        self.gguf.optional(&self.key(name), as_usize, "whole number")
    }

    fn origin(&self, name: &str) -> Result<(&GgufTensor, Option<usize>), FormatError> {
        let (index, interleaved) = self
            .by_name
            .get(name)
            .map(|&index| self.origins[index])
            .ok_or_else(|| FormatError::no_such_tensor(self.gguf.file_name(), name))?;
        Ok((&self.gguf.tensors()[index], interleaved))
    }
}

fn as_usize(value: &GgufValue) -> Option<usize> {
    value.as_u64()?.try_into().ok()
}

/// Returns the place of the file's row `row` in Hugging Face's order: rows `2j` and `2j + 1` of a head become rows `j` and `j + half`.
fn deinterleaved(row: usize, head_rows: usize) -> usize {
    let (head, within) = (row / head_rows, row % head_rows);
    head * head_rows + within % 2 * (head_rows / 2) + within / 2
}

impl<R: ReadAt> TensorSource for GgufModel<R> {
    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        Some(&self.infos[*self.by_name.get(name)?])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let (tensor, interleaved) = self.origin(name)?;
        let Some(heads) = interleaved else {
            let mut values = self.gguf.read_f32(&tensor.name)?;
            if self.architecture == Architecture::Gemma3 && name.ends_with("norm.weight") {
                values.iter_mut().for_each(|value| *value -= 1.0);
            }
            return Ok(values);
        };
        let head_rows = tensor.shape[0] / heads;
        if tensor.shape.len() == 1 {
            let stored = self.gguf.read_f32(&tensor.name)?;
            let mut values = vec![0.0; stored.len()];
            for (row, value) in stored.into_iter().enumerate() {
                values[deinterleaved(row, head_rows)] = value;
            }
            return Ok(values);
        }
        let extent = self.gguf.extent(tensor);
        let mut values = pieces::reserve(tensor.element_count(), &extent)?;
        values.resize(tensor.element_count(), 0.0);
        self.gguf.read_rows(tensor, |row, stored| {
            let start = deinterleaved(row, head_rows) * stored.len();
            values[start..start + stored.len()].copy_from_slice(stored);
        })?;
        Ok(values)
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Vec<u8>>, FormatError> {
        let (tensor, interleaved) = self.origin(name)?;
        if tensor.ggml_type.plain().is_some() || tensor.shape.len() != 2 {
            return Ok(None);
        }
        let extent = self.gguf.extent(tensor);
        let mut bytes = pieces::reserve(tensor.byte_len as usize, &extent)?;
        bytes.resize(tensor.byte_len as usize, 0);
        self.gguf.read_stored(tensor, 0, &mut bytes)?;
        let Some(heads) = interleaved else { return Ok(Some(bytes)) };
        // A row is a whole number of blocks, so that rows can be reordered without decoding them.
        let row_bytes = bytes.len() / tensor.shape[0];
        let mut ordered = pieces::reserve(bytes.len(), &extent)?;
        ordered.resize(bytes.len(), 0);
        for (row, stored) in bytes.chunks_exact(row_bytes).enumerate() {
            let start = deinterleaved(row, tensor.shape[0] / heads) * row_bytes;
            ordered[start..start + row_bytes].copy_from_slice(stored);
        }
        Ok(Some(ordered))
    }

    fn read_sample(&self, name: &str) -> Result<Vec<u8>, FormatError> {
        self.gguf.read_sample(self.origin(name)?.0)
    }

    fn gguf_contents(&self) -> Option<&dyn GgufContents> {
        Some(self)
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        let (tensor, _) = self.origin(name)?;
        self.gguf.read_i64(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::deinterleaved;

    #[test]
    fn rows_go_back_to_rotate_half() {
        // Two heads of six rows, as the converter leaves them: the rows of a head's halves alternate.
        let stored = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11];
        for (row, original) in stored.into_iter().enumerate() {
            assert_eq!(deinterleaved(row, 6), original);
        }
    }
}
