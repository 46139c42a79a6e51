//! The JSON at the start of a safetensors file, which is not trusted.
//!
//! Format: <https://github.com/huggingface/safetensors>. Eight bytes of little-endian header length, that much JSON
//! (padded with spaces), then the tensors' bytes without a gap.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};

use crate::error::Shortened;
use crate::{Dtype, FormatError, Place, ReadAt, StoredDtype, TensorInfo};

/// Number of bytes before the header, which hold its length.
pub(crate) const LENGTH_BYTES: u64 = 8;
/// Largest number of dimensions: no tensor of PyTorch has more than 64.
const MOST_DIMENSIONS: usize = 64;
/// Longest header: the safetensors crate's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// A header whose values are all checked: the tensors tile the rest of the file, in this order.
pub(crate) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub infos: Vec<TensorInfo>,
    /// Offset of each tensor's first byte, from the start of the file.
    pub offsets: Vec<u64>,
}

/// Reads and checks the header of `reader`. Errors use `file` as the name of the file.
pub(crate) fn read_header(reader: &(impl ReadAt + ?Sized), file: &str) -> Result<Header, FormatError> {
    let file_len = reader.len().map_err(|source| FormatError::io(file, Place::File, source))?;
    if file_len < LENGTH_BYTES {
        let problem = format!("{file_len} bytes are too few for a safetensors file");
        return Err(FormatError::corrupt(file, Place::File, problem));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    reader.read_exact_at(0, &mut length).map_err(|source| FormatError::io(file, Place::Byte(0), source))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > file_len - LENGTH_BYTES {
        let problem = format!(
            "a header of {length} bytes is announced, in a file of {file_len} (and none may pass {LONGEST_HEADER})"
        );
        return Err(FormatError::corrupt(file, Place::Byte(0), problem));
    }

    let mut json = vec![0; length as usize];
    reader
        .read_exact_at(LENGTH_BYTES, &mut json)
        .map_err(|source| FormatError::io(file, Place::Byte(LENGTH_BYTES), source))?;
    let json = std::str::from_utf8(&json).map_err(|error| {
        let place = Place::Byte(LENGTH_BYTES + error.valid_up_to() as u64);
        FormatError::corrupt(file, place, "the header is not UTF-8")
    })?;
    if !json.starts_with('{') {
        let problem = "the header does not start with `{`: this is no safetensors file";
        return Err(FormatError::corrupt(file, Place::Byte(LENGTH_BYTES), problem));
    }
    let raw: RawHeader<'_> = serde_json::from_str(json).map_err(|error| {
        // Every known writer writes the header in one line, so that the column is the offset.
        let place = match error.line() {
            1 => Place::Byte(LENGTH_BYTES + (error.column() as u64).saturating_sub(1)),
            _ => Place::Byte(LENGTH_BYTES),
        };
        FormatError::corrupt(file, place, format!("the header is not valid: {error}"))
    })?;
    check(raw, file, LENGTH_BYTES + length, file_len)
}

/// Puts the tensors in the order of their bytes and checks that these fill the file from `data_start` to `file_len`.
fn check(mut raw: RawHeader<'_>, file: &str, data_start: u64, file_len: u64) -> Result<Header, FormatError> {
    raw.tensors.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut infos = Vec::with_capacity(raw.tensors.len());
    let mut offsets = Vec::with_capacity(raw.tensors.len());
    let mut end_of_last = 0;
    for (name, entry) in raw.tensors {
        let corrupt = |problem: String| FormatError::corrupt(file, Place::Tensor(name.clone()), problem);
        let dtype = Dtype::from_safetensors_name(&entry.dtype).ok_or_else(|| {
            FormatError::unsupported(
                file,
                Place::Tensor(name.clone()),
                format!("its dtype {:?} cannot be read", Shortened(&entry.dtype)),
                "use a copy of the model in F32, F16 or BF16",
            )
        })?;
        if entry.shape.len() > MOST_DIMENSIONS {
            return Err(corrupt(format!("it has {} dimensions", entry.shape.len())));
        }
        let (shape, len) = checked_shape(&entry.shape, dtype)
            .ok_or_else(|| corrupt(format!("its shape {:?} is too large", entry.shape)))?;
        let (start, end) = entry.data_offsets;
        if start != end_of_last {
            let what =
                if start < end_of_last { "overlap the tensor before" } else { "leave a hole before them" };
            return Err(corrupt(format!("its bytes {start}..{end} {what} (which ends at {end_of_last})")));
        }
        if end.checked_sub(start) != Some(len) {
            return Err(corrupt(format!(
                "its bytes {start}..{end} are not the {len} that {:?} in {dtype} takes",
                entry.shape
            )));
        }
        if end > file_len - data_start {
            return Err(corrupt(format!(
                "its bytes end at {end} of the data, which has {}",
                file_len - data_start
            )));
        }
        end_of_last = end;
        offsets.push(data_start + start);
        infos.push(TensorInfo { name, shape, dtype: StoredDtype::Plain(dtype) });
    }
    if data_start + end_of_last != file_len {
        let problem = format!("the last tensor ends here, the file at {file_len}");
        return Err(FormatError::corrupt(file, Place::Byte(data_start + end_of_last), problem));
    }
    Ok(Header { metadata: raw.metadata, infos, offsets })
}

/// Returns the shape and the number of bytes of its values, if both fit this machine.
fn checked_shape(shape: &[u64], dtype: Dtype) -> Option<(Vec<usize>, u64)> {
    let shape: Vec<usize> = shape.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))?;
    let len = (count as u64).checked_mul(dtype.size() as u64)?;
    Some((shape, len))
}

/// The header as parsed JSON, without duplicate names, which are refused here (a JSON map would keep the last).
struct RawHeader<'a> {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawEntry<'a>)>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de: 'a, 'a> Deserialize<'de> for RawHeader<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for HeaderVisitor<'a> {
            type Value = RawHeader<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut metadata = None;
                let mut tensors = Vec::new();
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.is_some() {
                            return Err(A::Error::duplicate_field("__metadata__"));
                        }
                        metadata = Some(map.next_value()?);
                        continue;
                    }
                    if !seen.insert(name.clone()) {
                        let name = Shortened(&name);
                        return Err(A::Error::custom(format_args!("tensor {name:?} is there twice")));
                    }
                    tensors.push((name, map.next_value()?));
                }
                let metadata = metadata.unwrap_or_default();
                Ok(RawHeader { metadata, tensors })
            }
        }

        deserializer.deserialize_map(HeaderVisitor(std::marker::PhantomData))
    }
}
