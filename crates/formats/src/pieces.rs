//! Reading a tensor's bytes in pieces and turning each into numbers, so that the bytes are never in memory whole.

use half::{bf16, f16};

use crate::{Dtype, FormatError, Place, ReadAt};

/// The bytes read at a time.
pub(crate) const PIECE: usize = 2 << 20;

/// Where a tensor's bytes lie and what to call them when they cannot be read.
pub(crate) struct Extent<'a> {
    pub file: &'a str,
    pub tensor: &'a str,
    pub offset: u64,
    pub len: u64,
}

impl Extent<'_> {
    pub(crate) fn place(&self) -> Place {
        Place::Tensor(self.tensor.to_owned())
    }

    /// Calls `each` with every piece in turn; all but the last are the largest multiple of `unit` bytes up to [`PIECE`]
    /// (or `unit`, should that be larger).
    pub(crate) fn read_pieces(
        &self,
        reader: &(impl ReadAt + ?Sized),
        unit: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let unit = unit.max(1);
        let piece = (PIECE / unit).max(1).saturating_mul(unit);
        let piece = usize::try_from(self.len).map_or(piece, |len| len.min(piece));
        let mut buf = reserve(piece, self)?;
        buf.resize(piece, 0u8);
        let mut done = 0;
        while done < self.len {
            let here = (self.len - done).min(piece as u64) as usize;
            let bytes = &mut buf[..here];
            let offset = self.offset + done;
            reader
                .read_exact_at(offset, bytes)
                .map_err(|source| FormatError::io(self.file, self.place(), source))?;
            each(bytes)?;
            done += here as u64;
        }
        Ok(())
    }
}

/// An empty vector with room for `count` values, or an error instead of an abort when there is no such room.
pub(crate) fn reserve<T>(count: usize, extent: &Extent<'_>) -> Result<Vec<T>, FormatError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| FormatError::too_large(extent.file, extent.place(), count))?;
    Ok(values)
}

/// Appends the f32 values of little-endian floats. `None` when `dtype` is no float.
pub(crate) fn extend_f32(dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) -> Option<()> {
    match dtype {
        Dtype::F32 => values.extend(numbers(bytes, f32::from_le_bytes)),
        Dtype::F64 => values.extend(numbers(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => values.extend(numbers(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => values.extend(numbers(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => return None,
    }
    Some(())
}

/// Appends the i64 values of little-endian integers. `None` when `dtype` is no integer or a value does not fit.
pub(crate) fn extend_i64(dtype: Dtype, bytes: &[u8], values: &mut Vec<i64>) -> Option<()> {
    match dtype {
        Dtype::I64 => values.extend(numbers(bytes, i64::from_le_bytes)),
        Dtype::I32 => values.extend(numbers(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        Dtype::I16 => values.extend(numbers(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        Dtype::I8 => values.extend(numbers(bytes, |b| i64::from(i8::from_le_bytes(b)))),
        Dtype::U32 => values.extend(numbers(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        Dtype::U16 => values.extend(numbers(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        Dtype::U8 => values.extend(bytes.iter().map(|&b| i64::from(b))),
        Dtype::Bool => values.extend(bytes.iter().map(|&b| i64::from(b != 0))),
        Dtype::U64 => {
            for number in numbers(bytes, u64::from_le_bytes) {
                values.push(i64::try_from(number).ok()?);
            }
        }
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => return None,
    }
    Some(())
}

fn numbers<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |&chunk| from(chunk))
}
