//! Writing of safetensors tensor by tensor, byte for byte as the safetensors crate would.

use std::collections::BTreeMap;
use std::io::Write;

use half::{bf16, f16};

use crate::pieces::PIECE;
use crate::{Dtype, FormatError, Place};

/// Name, storage format and shape of a tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the header.
    pub name: String,
    /// Storage format of the values.
    pub dtype: Dtype,
    /// Row-major shape; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Describes a tensor with the name `name`, stored as `dtype`.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), dtype, shape: shape.into() }
    }
}

/// A writer of a safetensors file whose header is written; the tensors follow in [`order`](Self::order).
///
/// The order is the safetensors crate's (the formats of the strictest alignment first, then by name), so that the same tensors make the same file
/// with any program.
#[derive(Debug)]
pub struct SafetensorsWriter<W> {
    out: W,
    tensors: Vec<TensorSpec>,
    counts: Vec<usize>,
    current: usize,
    /// Number of values of the current tensor that are written so far.
    written: usize,
}

/// Name in errors of a file that has no name yet.
const FILE: &str = "safetensors output";

impl<W: Write> SafetensorsWriter<W> {
    /// Writes the header. `metadata` becomes `__metadata__` (left out when empty), its keys sorted.
    ///
    /// # Errors
    /// When two tensors have the same name, one has the name `__metadata__`, a shape is too large, or `out` fails.
    pub fn new(
        mut out: W,
        tensors: &[TensorSpec],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, FormatError> {
        let mut tensors = tensors.to_vec();
        tensors.sort_by(|a, b| {
            let alignment = |tensor: &TensorSpec| ::safetensors::Dtype::from(tensor.dtype);
            alignment(b).cmp(&alignment(a)).then_with(|| a.name.cmp(&b.name))
        });
        let mut names: Vec<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        if let Some(name) =
            twice.map(|pair| pair[0]).or_else(|| names.into_iter().find(|&name| name == "__metadata__"))
        {
            let place = Place::Tensor(name.to_owned());
            return Err(FormatError::misuse(FILE, place, "the name is taken", "rename the tensor"));
        }

        let (header, counts) = header(&tensors, metadata)?;
        let length = (header.len() as u64).to_le_bytes();
        out.write_all(&length)
            .and_then(|()| out.write_all(&header))
            .map_err(|source| FormatError::io(FILE, Place::Byte(0), source))?;
        Ok(Self { out, tensors, counts, current: 0, written: 0 })
    }

    /// Returns the tensors in the order in which they must be written.
    pub fn order(&self) -> &[TensorSpec] {
        &self.tensors
    }

    /// Writes the next values of tensor `name`, in its declared format: all of them, or a part with the rest to follow.
    ///
    /// F16 and BF16 are rounded to nearest, ties to even.
    ///
    /// # Errors
    /// When another tensor is next, `name` has no room for so many values or holds integers, or the writer fails.
    pub fn write_f32(&mut self, name: &str, values: &[f32]) -> Result<(), FormatError> {
        let dtype = self.take_turn(name, values.len())?;
        let mut bytes = Vec::new();
        for values in values.chunks(PIECE / 8) {
            bytes.clear();
            match dtype {
                Dtype::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
                Dtype::F64 => bytes.extend(values.iter().flat_map(|&v| f64::from(v).to_le_bytes())),
                Dtype::F16 => {
                    bytes.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
                }
                Dtype::BF16 => {
                    bytes.extend(values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()));
                }
                _ => {
                    return Err(misuse(name, format!("it was declared {dtype}"), "write integers"));
                }
            }
            self.write_bytes(name, &bytes)?;
        }
        self.written += values.len();
        Ok(())
    }

    /// Writes the next values of the integer or boolean tensor `name`: all of them, or a part with the rest to follow.
    ///
    /// # Errors
    /// The errors of [`write_f32`](Self::write_f32), and one when a value does not fit the declared format.
    pub fn write_i64(&mut self, name: &str, values: &[i64]) -> Result<(), FormatError> {
        let dtype = self.take_turn(name, values.len())?;
        if dtype.is_float() {
            return Err(misuse(name, format!("it was declared {dtype}"), "write floats"));
        }
        let mut bytes = Vec::new();
        for values in values.chunks(PIECE / 8) {
            bytes.clear();
            for &value in values {
                let (low, high) = integer_range(dtype);
                if i128::from(value) < low || i128::from(value) > high {
                    let problem = format!("{value} does not fit {dtype}");
                    return Err(misuse(name, problem, "declare a wider integer"));
                }
                // Two's complement: the low bytes are the narrower number.
                bytes.extend_from_slice(&value.to_le_bytes()[..dtype.size()]);
            }
            self.write_bytes(name, &bytes)?;
        }
        self.written += values.len();
        Ok(())
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// When a tensor has not been written completely, or the flush fails.
    pub fn finish(mut self) -> Result<W, FormatError> {
        self.skip_whole();
        if let Some(tensor) = self.tensors.get(self.current) {
            let problem = format!(
                "{} of its {} values were written, and none of the {} tensors after it",
                self.written,
                self.counts[self.current],
                self.tensors.len() - self.current - 1
            );
            return Err(misuse(&tensor.name, problem, "write every tensor before finishing"));
        }
        self.out.flush().map_err(|source| FormatError::io(FILE, Place::File, source))?;
        Ok(self.out)
    }

    /// Moves past complete tensors (those without values are complete from the start).
    fn skip_whole(&mut self) {
        while self.counts.get(self.current) == Some(&self.written) {
            self.current += 1;
            self.written = 0;
        }
    }

    /// Checks that `name` is the next tensor and that `count` more values fit; returns its storage format.
    fn take_turn(&mut self, name: &str, count: usize) -> Result<Dtype, FormatError> {
        if count == 0 {
            // A tensor without values may be written or not; nothing depends on it.
            let known = self.tensors.iter().find(|tensor| tensor.name == name);
            return known
                .map(|tensor| tensor.dtype)
                .ok_or_else(|| misuse(name, "it was not declared".to_owned(), "declare it to `new`"));
        }
        self.skip_whole();
        let Some(tensor) = self.tensors.get(self.current) else {
            let problem = "every declared tensor is written already".to_owned();
            return Err(misuse(name, problem, "declare it to `new`, and write it once"));
        };
        if tensor.name != name {
            let problem = format!("it is the turn of {:?}", tensor.name);
            return Err(misuse(name, problem, "write tensors in `order`"));
        }
        let room = self.counts[self.current] - self.written;
        if count > room {
            let problem = format!("{count} values are given, and {room} are left to write");
            return Err(misuse(name, problem, "check the declared shape"));
        }
        Ok(tensor.dtype)
    }

    fn write_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        self.out
            .write_all(bytes)
            .map_err(|source| FormatError::io(FILE, Place::Tensor(name.to_owned()), source))
    }
}

/// Values of a tensor for [`to_bytes`].
#[derive(Debug, Clone, Copy)]
pub enum TensorData<'a> {
    /// Values of a float tensor.
    F32(&'a [f32]),
    /// Values of an integer or boolean tensor.
    I64(&'a [i64]),
}

/// Returns the bytes of a whole safetensors file, with tensors given in any order.
///
/// # Errors
/// The errors of [`SafetensorsWriter`], and one when a tensor has another number of values than its shape.
pub fn to_bytes(
    tensors: &[(TensorSpec, TensorData<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, FormatError> {
    let specs: Vec<_> = tensors.iter().map(|(spec, _)| spec.clone()).collect();
    let data: BTreeMap<&str, TensorData<'_>> =
        tensors.iter().map(|(spec, data)| (&*spec.name, *data)).collect();
    let mut writer = SafetensorsWriter::new(Vec::new(), &specs, metadata)?;
    for spec in writer.order().to_vec() {
        match data[&*spec.name] {
            TensorData::F32(values) => writer.write_f32(&spec.name, values)?,
            TensorData::I64(values) => writer.write_i64(&spec.name, values)?,
        }
    }
    writer.finish()
}

/// Returns the header's JSON, padded to a multiple of eight, and the number of values of each tensor.
fn header(
    tensors: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
) -> Result<(Vec<u8>, Vec<usize>), FormatError> {
    let mut map = serde_json::Map::new();
    if !metadata.is_empty() {
        map.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    let mut counts = Vec::with_capacity(tensors.len());
    let mut offset = 0usize;
    for tensor in tensors {
        let too_large = || misuse(&tensor.name, format!("shape {:?} is too large", tensor.shape), "check it");
        let count =
            tensor.shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)).ok_or_else(too_large)?;
        let end = count
            .checked_mul(tensor.dtype.size())
            .and_then(|len| len.checked_add(offset))
            .ok_or_else(too_large)?;
        let entry = serde_json::json!({
            "dtype": tensor.dtype.safetensors_name(),
            "shape": tensor.shape,
            "data_offsets": [offset, end],
        });
        map.insert(tensor.name.clone(), entry);
        counts.push(count);
        offset = end;
    }
    let mut json = serde_json::Value::Object(map).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok((json, counts))
}

fn integer_range(dtype: Dtype) -> (i128, i128) {
    match dtype {
        Dtype::Bool => (0, 1),
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => (0, (1 << (8 * dtype.size())) - 1),
        _ => {
            let half = 1 << (8 * dtype.size() - 1);
            (-half, half - 1)
        }
    }
}

fn misuse(name: &str, problem: String, help: &'static str) -> FormatError {
    FormatError::misuse(FILE, Place::Tensor(name.to_owned()), problem, help)
}
