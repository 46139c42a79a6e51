//! One safetensors file as a [`TensorSource`].

use std::collections::{BTreeMap, HashMap};

use crate::pieces::{self, Extent};
use crate::safetensors_header::read_header;
use crate::{Dtype, FormatError, ReadAt, StoredDtype, TensorInfo, TensorSource};

/// A safetensors file whose header has been read and checked.
#[derive(Debug)]
pub struct SafetensorsFile<R> {
    reader: R,
    file: String,
    metadata: BTreeMap<String, String>,
    infos: Vec<TensorInfo>,
    offsets: Vec<u64>,
    by_name: HashMap<String, usize>,
}

impl<R: ReadAt> SafetensorsFile<R> {
    /// Reads the header and checks every value in it against the others and the file's length; reads no tensor.
    ///
    /// Errors use `file_name` as the name of the file.
    ///
    /// # Errors
    /// When the file cannot be read, is not a valid safetensors file (tensors must fill it without overlap or gap, as the safetensors crate demands),
    /// or holds a dtype that is not in [`Dtype`].
    pub fn open(reader: R, file_name: impl Into<String>) -> Result<Self, FormatError> {
        let file = file_name.into();
        let header = read_header(&reader, &file)?;
        let by_name =
            header.infos.iter().enumerate().map(|(index, info)| (info.name.clone(), index)).collect();
        Ok(Self {
            reader,
            file,
            metadata: header.metadata,
            infos: header.infos,
            offsets: header.offsets,
            by_name,
        })
    }

    /// Returns the header's `__metadata__`, such as `{"format": "pt"}`; empty when there is none.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Returns the name of the file in errors.
    pub fn file_name(&self) -> &str {
        &self.file
    }

    /// Returns the location of a tensor, the number of its values and their type. The type must be one that `is_asked` accepts.
    fn find<'a>(
        &'a self,
        name: &'a str,
        is_asked: impl Fn(Dtype) -> bool,
        otherwise: &'static str,
    ) -> Result<(Extent<'a>, usize, Dtype), FormatError> {
        let &index = self.by_name.get(name).ok_or_else(|| FormatError::no_such_tensor(&self.file, name))?;
        let info = &self.infos[index];
        let StoredDtype::Plain(dtype) = info.dtype else {
            unreachable!("safetensors have no blocks");
        };
        let count = info.element_count();
        let extent = Extent {
            file: &self.file,
            tensor: name,
            offset: self.offsets[index],
            len: count as u64 * dtype.size() as u64,
        };
        if !is_asked(dtype) {
            let problem = format!("it holds {dtype}");
            return Err(FormatError::misuse(&self.file, extent.place(), problem, otherwise));
        }
        Ok((extent, count, dtype))
    }
}

impl<R: ReadAt> TensorSource for SafetensorsFile<R> {
    fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        Some(&self.infos[*self.by_name.get(name)?])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let help = "read it as integers, or use a copy of the model in F32, F16 or BF16";
        let (extent, count, dtype) = self.find(name, Dtype::is_float, help)?;
        extent.read_f32(&self.reader, count, (1, dtype.size()), |bytes, values| {
            // The type is a float.
            let _ = pieces::fill_f32(dtype, bytes, values);
            Ok(())
        })
    }

    fn read_i64(&self, name: &str) -> Result<Vec<i64>, FormatError> {
        let help = "read it as floats";
        let (extent, count, dtype) = self.find(name, |dtype| !dtype.is_float(), help)?;
        let mut values = pieces::reserve(count, &extent)?;
        extent.read_pieces(&self.reader, dtype.size(), |bytes| {
            pieces::extend_i64(dtype, bytes, &mut values).ok_or_else(|| {
                let (problem, help) = ("a value is above 2^63 - 1", "store it as I64");
                FormatError::unsupported(&self.file, extent.place(), problem, help)
            })
        })?;
        Ok(values)
    }

    fn read_sample(&self, name: &str) -> Result<Vec<u8>, FormatError> {
        let (extent, ..) = self.find(name, |_| true, "")?;
        extent.read_sample(&self.reader)
    }
}
