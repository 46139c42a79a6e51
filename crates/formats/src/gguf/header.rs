//! Parsing of a GGUF header: metadata, then the table of tensors.

use std::collections::{BTreeMap, HashSet};

use super::cursor::Cursor;
use super::ggml_type::unreadable_name;
use super::{GgmlType, GgufArray, GgufValue};
use crate::error::Shortened;
use crate::{FormatError, Place, ReadAt};

const MAGIC: [u8; 4] = *b"GGUF";
/// ggml's own limit of a tensor's dimensions.
const MOST_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Deepest nesting of arrays. Arrays of arrays are legal and unheard of; a hundred levels of them are an attack on the stack.
const DEEPEST_ARRAY: usize = 8;
/// Fewest bytes of a metadata entry: an empty key, a type, a byte.
const LEAST_ENTRY: u64 = 13;
/// Fewest bytes of a tensor's line: an empty name, no dimensions, a type, an offset.
const LEAST_TENSOR: u64 = 24;

/// Description of a tensor in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Row-major shape, `[out, in]` for a weight: the reverse of the file's order.
    pub shape: Vec<usize>,
    /// Storage format of the values.
    pub ggml_type: GgmlType,
    /// Offset of the first byte, from the start of the file.
    pub offset: u64,
    /// Number of bytes.
    pub byte_len: u64,
}

impl GgufTensor {
    /// Returns the number of values.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
}

pub(super) struct Header {
    pub version: u32,
    pub metadata: BTreeMap<String, GgufValue>,
    pub tensors: Vec<GgufTensor>,
}

pub(super) fn read_header(reader: &(impl ReadAt + ?Sized), file: &str) -> Result<Header, FormatError> {
    let mut cursor = Cursor::new(reader, file)?;
    if cursor.file_len < 4 || cursor.array()? != MAGIC {
        let problem = "it does not start with `GGUF`: this is no GGUF file";
        return Err(FormatError::corrupt(file, Place::Byte(0), problem));
    }
    let version = cursor.u32()?;
    if !matches!(version, 2 | 3) {
        let (problem, help) = match version.swap_bytes() {
            2 | 3 => ("it is big endian".to_owned(), "convert the model again on a little-endian machine"),
            _ => (
                format!("its GGUF version is {version}, and 2 and 3 can be read"),
                "convert the model again with a current llama.cpp",
            ),
        };
        return Err(FormatError::unsupported(file, Place::Byte(4), problem, help));
    }
    let tensor_count = cursor.u64()?;
    let entry_count = cursor.u64()?;
    cursor.expect_room(entry_count, LEAST_ENTRY, "metadata entries")?;
    cursor.expect_room(tensor_count, LEAST_TENSOR, "tensors")?;

    let metadata = read_metadata(&mut cursor, entry_count)?;
    let alignment = alignment(&metadata, file)?;
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..tensor_count {
        let tensor = read_tensor(&mut cursor, alignment)?;
        if !names.insert(tensor.name.clone()) {
            let place = Place::Tensor(tensor.name);
            return Err(FormatError::corrupt(file, place, "it is listed twice"));
        }
        tensors.push(tensor);
    }

    let data_start = cursor.position().next_multiple_of(alignment);
    for tensor in &mut tensors {
        let end = data_start.checked_add(tensor.offset).and_then(|start| start.checked_add(tensor.byte_len));
        if end.is_none_or(|end| end > cursor.file_len) {
            let problem = format!(
                "its {} bytes from {} of the data on end past the file's {}",
                tensor.byte_len, tensor.offset, cursor.file_len
            );
            let place = Place::Tensor(tensor.name.clone());
            return Err(FormatError::corrupt(file, place, problem));
        }
        tensor.offset += data_start;
    }
    refuse_shared_bytes(&tensors, file)?;
    Ok(Header { version, metadata, tensors })
}

/// Refuses a file in which two tensors have bytes in common.
fn refuse_shared_bytes(tensors: &[GgufTensor], file: &str) -> Result<(), FormatError> {
    let mut ordered: Vec<&GgufTensor> = tensors.iter().collect();
    ordered.sort_by_key(|tensor| tensor.offset);
    for pair in ordered.windows(2) {
        // Their ends were compared with the length of the file, so that there is no overflow.
        let (before, end) = (pair[0], pair[0].offset + pair[0].byte_len);
        if pair[1].offset < end {
            let problem = format!(
                "its bytes begin at {} of the file, within those of tensor {:?}, which end at {end}",
                pair[1].offset,
                Shortened(&before.name)
            );
            return Err(FormatError::corrupt(file, Place::Tensor(pair[1].name.clone()), problem));
        }
    }
    Ok(())
}

fn read_metadata<R: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, R>,
    count: u64,
) -> Result<BTreeMap<String, GgufValue>, FormatError> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = cursor.string()?;
        let kind = cursor.u32()?;
        let value = read_value(cursor, kind, &key)?;
        if metadata.contains_key(&key) {
            let place = Place::Key(key);
            return Err(FormatError::corrupt(cursor.file, place, "it is there twice"));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn read_value<R: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, R>,
    kind: u32,
    key: &str,
) -> Result<GgufValue, FormatError> {
    Ok(match kind {
        0 => GgufValue::U8(u8::from_le_bytes(cursor.array()?)),
        1 => GgufValue::I8(i8::from_le_bytes(cursor.array()?)),
        2 => GgufValue::U16(u16::from_le_bytes(cursor.array()?)),
        3 => GgufValue::I16(i16::from_le_bytes(cursor.array()?)),
        4 => GgufValue::U32(cursor.u32()?),
        5 => GgufValue::I32(i32::from_le_bytes(cursor.array()?)),
        6 => GgufValue::F32(f32::from_le_bytes(cursor.array()?)),
        7 => GgufValue::Bool(cursor.array::<1>()? != [0]),
        8 => GgufValue::String(cursor.string()?),
        9 => GgufValue::Array(read_array(cursor, key, 1)?),
        10 => GgufValue::U64(cursor.u64()?),
        11 => GgufValue::I64(i64::from_le_bytes(cursor.array()?)),
        12 => GgufValue::F64(f64::from_le_bytes(cursor.array()?)),
        _ => return Err(unknown_value_type(cursor, kind, key)),
    })
}

fn read_array<R: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, R>,
    key: &str,
    depth: usize,
) -> Result<GgufArray, FormatError> {
    if depth > DEEPEST_ARRAY {
        return Err(cursor.corrupt(format!("arrays lie {depth} deep in key {:?}", Shortened(key))));
    }
    let kind = cursor.u32()?;
    let count = cursor.u64()?;
    Ok(match kind {
        0 => GgufArray::U8(numbers(cursor, count, u8::from_le_bytes)?),
        1 => GgufArray::I8(numbers(cursor, count, i8::from_le_bytes)?),
        2 => GgufArray::U16(numbers(cursor, count, u16::from_le_bytes)?),
        3 => GgufArray::I16(numbers(cursor, count, i16::from_le_bytes)?),
        4 => GgufArray::U32(numbers(cursor, count, u32::from_le_bytes)?),
        5 => GgufArray::I32(numbers(cursor, count, i32::from_le_bytes)?),
        6 => GgufArray::F32(numbers(cursor, count, f32::from_le_bytes)?),
        7 => GgufArray::Bool(numbers(cursor, count, |b: [u8; 1]| b != [0])?),
        8 => {
            cursor.expect_room(count, 8, "texts")?;
            let mut strings = Vec::new();
            for _ in 0..count {
                strings.push(cursor.string()?);
            }
            GgufArray::String(strings)
        }
        9 => {
            cursor.expect_room(count, 12, "arrays")?;
            let mut arrays = Vec::new();
            for _ in 0..count {
                arrays.push(read_array(cursor, key, depth + 1)?);
            }
            GgufArray::Array(arrays)
        }
        10 => GgufArray::U64(numbers(cursor, count, u64::from_le_bytes)?),
        11 => GgufArray::I64(numbers(cursor, count, i64::from_le_bytes)?),
        12 => GgufArray::F64(numbers(cursor, count, f64::from_le_bytes)?),
        _ => return Err(unknown_value_type(cursor, kind, key)),
    })
}

fn numbers<const N: usize, T, R: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, R>,
    count: u64,
    from: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, FormatError> {
    cursor.expect_room(count, N as u64, "values")?;
    let bytes = cursor.bytes(count * N as u64)?;
    Ok(bytes.as_chunks().0.iter().map(|&chunk| from(chunk)).collect())
}

fn unknown_value_type<R: ReadAt + ?Sized>(cursor: &Cursor<'_, R>, kind: u32, key: &str) -> FormatError {
    cursor.corrupt(format!("key {:?} has a value of type {kind}, which does not exist", Shortened(key)))
}

fn alignment(metadata: &BTreeMap<String, GgufValue>, file: &str) -> Result<u64, FormatError> {
    const KEY: &str = "general.alignment";
    let Some(value) = metadata.get(KEY) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value.as_u64() {
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 26 => Ok(alignment),
        _ => {
            let problem = "this is no alignment (a power of two)";
            Err(FormatError::corrupt(file, Place::Key(KEY.to_owned()), problem))
        }
    }
}

/// Reads one line of the table; the offset is still from the start of the data.
fn read_tensor<R: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, R>,
    alignment: u64,
) -> Result<GgufTensor, FormatError> {
    let name = cursor.string()?;
    let file = cursor.file;
    let place = || Place::Tensor(name.clone());
    let dimensions = cursor.u32()?;
    if dimensions > MOST_DIMENSIONS {
        let problem = format!("{dimensions} dimensions are more than the {MOST_DIMENSIONS} allowed");
        return Err(FormatError::corrupt(file, place(), problem));
    }
    let mut dims = Vec::new();
    for _ in 0..dimensions {
        dims.push(cursor.u64()?);
    }
    // Such a tensor is of no use, and its other sizes could be anything.
    if dims.contains(&0) {
        return Err(FormatError::corrupt(file, place(), format!("its shape {dims:?} has no values")));
    }
    let id = cursor.u32()?;
    let ggml_type = GgmlType::from_id(id).ok_or_else(|| {
        FormatError::unsupported(
            file,
            place(),
            format!("its type {id} ({}) cannot be read", unreadable_name(id)),
            "use a copy quantised as Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 or Q4_1, or F16",
        )
    })?;
    let offset = cursor.u64()?;
    if offset % alignment != 0 {
        let problem = format!("its offset {offset} is no multiple of the alignment {alignment}");
        return Err(FormatError::corrupt(file, place(), problem));
    }

    let (block_values, block_bytes) = ggml_type.block();
    let row = dims.first().copied().unwrap_or(1);
    if row % block_values as u64 != 0 {
        let problem = format!("rows of {row} values cannot be cut into {ggml_type} blocks of {block_values}");
        return Err(FormatError::corrupt(file, place(), problem));
    }
    let shape: Option<Vec<usize>> = dims.iter().rev().map(|&d| d.try_into().ok()).collect();
    let count = shape.as_ref().and_then(|shape| shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)));
    let byte_len = count.and_then(|n| ((n / block_values) as u64).checked_mul(block_bytes as u64));
    let (Some(shape), Some(byte_len)) = (shape, byte_len) else {
        let problem = format!("its shape {dims:?} is too large");
        return Err(FormatError::corrupt(file, place(), problem));
    };
    Ok(GgufTensor { name, shape, ggml_type, offset, byte_len })
}
