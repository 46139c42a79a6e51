//! A GGUF file with its own names and its own order of rows.

use std::collections::{BTreeMap, HashMap};

use super::dequantize::dequantize_into;
use super::header::read_header;
use super::{GgufTensor, GgufValue, dequantize};
use crate::pieces::{self, Extent, PIECE};
use crate::{FormatError, Place, ReadAt};

/// A GGUF file whose header has been read and checked.
#[derive(Debug)]
pub struct Gguf<R> {
    reader: R,
    file: String,
    version: u32,
    metadata: BTreeMap<String, GgufValue>,
    tensors: Vec<GgufTensor>,
    by_name: HashMap<String, usize>,
}

impl<R: ReadAt> Gguf<R> {
    /// Reads and checks the header; reads no tensor. Errors use `file_name` as the name of the file.
    ///
    /// # Errors
    /// When the file cannot be read, is not little-endian GGUF version 2 or 3, breaks the format's rules, or holds a
    /// tensor of a type that is not in [`GgmlType`](super::GgmlType).
    pub fn open(reader: R, file_name: impl Into<String>) -> Result<Self, FormatError> {
        let file = file_name.into();
        let header = read_header(&reader, &file)?;
        let by_name =
            header.tensors.iter().enumerate().map(|(index, tensor)| (tensor.name.clone(), index)).collect();
        Ok(Self {
            reader,
            file,
            version: header.version,
            metadata: header.metadata,
            tensors: header.tensors,
            by_name,
        })
    }

    /// Returns the name of the file in errors.
    pub fn file_name(&self) -> &str {
        &self.file
    }

    /// Returns the format's version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns every metadata entry.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// Returns every tensor, in the order of the file's table.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// Returns the tensor with this name in the file, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        Some(&self.tensors[*self.by_name.get(name)?])
    }

    /// Returns `general.architecture`, such as `"llama"`.
    ///
    /// # Errors
    /// When the file lacks it.
    pub fn architecture(&self) -> Result<&str, FormatError> {
        self.required("general.architecture", GgufValue::as_str, "text")
    }

    /// Reads the values of a floating-point or quantised tensor, with its rows in the file's order.
    ///
    /// # Errors
    /// When there is no such tensor, when it holds integers, or when the file cannot be read.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let tensor = self.tensor(name).ok_or_else(|| FormatError::no_such_tensor(&self.file, name))?;
        let kind = tensor.ggml_type;
        self.extent(tensor).read_f32(&self.reader, tensor.element_count(), kind.block(), |bytes, values| {
            dequantize_into(kind, bytes, values).ok_or_else(|| self.wrong_kind(tensor, "read it as integers"))
        })
    }

    /// Calls `each` with the index and values of every row of a tensor of two or more dimensions, in the file's order.
    pub(super) fn read_rows(
        &self,
        tensor: &GgufTensor,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), FormatError> {
        let row = tensor.shape.last().copied().unwrap_or(1);
        let (block_values, block_bytes) = tensor.ggml_type.block();
        let row_bytes = row / block_values * block_bytes;
        if row_bytes == 0 {
            return Ok(());
        }
        let extent = self.extent(tensor);
        let mut values = pieces::reserve(row * (PIECE / row_bytes).max(1), &extent)?;
        let mut next = 0;
        extent.read_pieces(&self.reader, row_bytes, |bytes| {
            values.clear();
            self.dequantize_piece(tensor, bytes, &mut values)?;
            for row in values.chunks_exact(row) {
                each(next, row);
                next += 1;
            }
            Ok(())
        })
    }

    /// Reads the values of an integer tensor.
    pub(super) fn read_i64(&self, tensor: &GgufTensor) -> Result<Vec<i64>, FormatError> {
        let extent = self.extent(tensor);
        let mut values = pieces::reserve(tensor.element_count(), &extent)?;
        extent.read_pieces(&self.reader, tensor.ggml_type.block().1, |bytes| {
            tensor
                .ggml_type
                .plain()
                .and_then(|dtype| pieces::extend_i64(dtype, bytes, &mut values))
                .ok_or_else(|| self.wrong_kind(tensor, "read it as floats"))
        })?;
        Ok(values)
    }

    /// Reads a tensor's bytes from `offset` on, as they are stored, for computing on the blocks themselves.
    ///
    /// # Errors
    /// When the bytes end past the tensor, or the file cannot be read.
    pub fn read_stored(&self, tensor: &GgufTensor, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        let place = || Place::Tensor(tensor.name.clone());
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > tensor.byte_len) {
            let problem = format!("bytes past its {} were asked for", tensor.byte_len);
            return Err(FormatError::misuse(&self.file, place(), problem, "ask for fewer"));
        }
        self.reader
            .read_exact_at(tensor.offset + offset, bytes)
            .map_err(|source| FormatError::io(&self.file, place(), source))
    }

    fn dequantize_piece(
        &self,
        tensor: &GgufTensor,
        bytes: &[u8],
        values: &mut Vec<f32>,
    ) -> Result<(), FormatError> {
        dequantize(tensor.ggml_type, bytes, values)
            .ok_or_else(|| self.wrong_kind(tensor, "read it as integers"))
    }

    fn wrong_kind(&self, tensor: &GgufTensor, help: &'static str) -> FormatError {
        let place = Place::Tensor(tensor.name.clone());
        let problem = format!("it holds {}", tensor.ggml_type);
        FormatError::misuse(&self.file, place, problem, help)
    }

    /// Reads a sample of a tensor's bytes, as [`crate::TensorSource::read_sample`] does.
    pub(super) fn read_sample(&self, tensor: &GgufTensor) -> Result<Vec<u8>, FormatError> {
        self.extent(tensor).read_sample(&self.reader)
    }

    pub(super) fn extent<'a>(&'a self, tensor: &'a GgufTensor) -> Extent<'a> {
        Extent { file: &self.file, tensor: &tensor.name, offset: tensor.offset, len: tensor.byte_len }
    }

    /// Returns the metadata value at `key`, converted by `get`, or an error if it is there and `get` refuses it.
    pub(super) fn optional<'a, T>(
        &'a self,
        key: &str,
        get: impl Fn(&'a GgufValue) -> Option<T>,
        what: &str,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        get(value).map(Some).ok_or_else(|| {
            let place = Place::Key(key.to_owned());
            FormatError::unsupported(
                &self.file,
                place,
                format!("its value is no {what}"),
                "use a file from a current llama.cpp converter",
            )
        })
    }

    /// Like [`optional`](Self::optional), but returns an error if there is no such key.
    pub(super) fn required<'a, T>(
        &'a self,
        key: &str,
        get: impl Fn(&'a GgufValue) -> Option<T>,
        what: &str,
    ) -> Result<T, FormatError> {
        self.optional(key, get, what)?.ok_or_else(|| {
            FormatError::missing(
                &self.file,
                Place::Key(key.to_owned()),
                format!("the metadata lacks it ({what})"),
                "use a file from a current llama.cpp converter",
            )
        })
    }
}
