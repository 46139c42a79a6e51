//! Reading of a tensor's bytes in pieces, each converted to numbers, so that the bytes are never in memory whole.

use std::mem::MaybeUninit;

use half::{bf16, f16};

use crate::{Dtype, FormatError, Place, ReadAt};

/// Number of bytes that a thread reads at a time to convert them to floats. They are few enough to stay in its processor's cache; in a browser, where
/// every read is a message, they are as many as [`PIECE`].
const FLOATS_PIECE: usize = if cfg!(target_arch = "wasm32") { PIECE } else { 256 << 10 };

/// Number of bytes read at a time.
pub(crate) const PIECE: usize = 2 << 20;

/// Number of bytes of each of the three parts of a sample.
const SAMPLED: u64 = 1 << 10;

/// Location of a tensor's bytes, and its name for errors.
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

    /// Calls `each` with every piece in turn. All but the last have the largest multiple of `unit` bytes up to [`PIECE`] (or `unit`, if that is
    /// larger).
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

impl Extent<'_> {
    /// Reads the first, the middle and the last KiB, or all of at most 3 KiB.
    pub(crate) fn read_sample(&self, reader: &(impl ReadAt + ?Sized)) -> Result<Vec<u8>, FormatError> {
        let parts = match self.len <= 3 * SAMPLED {
            true => vec![(0, self.len)],
            false => [0, (self.len - SAMPLED) / 2, self.len - SAMPLED].map(|start| (start, SAMPLED)).to_vec(),
        };
        let mut sample = Vec::new();
        for (start, len) in parts {
            let (offset, before) = (self.offset + start, sample.len());
            sample.resize(before + len as usize, 0);
            let read = reader.read_exact_at(offset, &mut sample[before..]);
            read.map_err(|source| FormatError::io(self.file, self.place(), source))?;
        }
        Ok(sample)
    }

    /// Reads the extent's `count` floats piece by piece, natively on all processors. `fill` converts each `unit` bytes to `of_unit` floats.
    pub(crate) fn read_f32(
        &self,
        reader: &(impl ReadAt + ?Sized),
        count: usize,
        (of_unit, unit): (usize, usize),
        fill: impl Fn(&[u8], &mut [f32]) -> Result<(), FormatError> + Sync,
    ) -> Result<Vec<f32>, FormatError> {
        let mut values = reserve(count, self)?;
        let each = (FLOATS_PIECE / unit).max(1);
        let piece = |buffer: &mut Vec<u8>, at: usize, values: &mut [MaybeUninit<f32>]| {
            buffer.resize(values.len() / of_unit * unit, 0);
            let offset = self.offset + (at * each * unit) as u64;
            reader
                .read_exact_at(offset, buffer)
                .map_err(|source| FormatError::io(self.file, self.place(), source))?;
            values.iter_mut().for_each(|value| {
                value.write(0.0);
            });
            // SAFETY: every one of them was written just now.
            fill(buffer, unsafe { values.assume_init_mut() })
        };
        let (pieces, room) = (each * of_unit, &mut values.spare_capacity_mut()[..count]);
        #[cfg(not(target_arch = "wasm32"))]
        let filled = {
            use rayon::prelude::*;
            // Memory is first touched, and so allocated by the system, by the thread that fills it.
            let pieces = room.par_chunks_mut(pieces).enumerate();
            pieces.try_for_each_init(Vec::new, |buffer, (at, values)| piece(buffer, at, values))
        };
        #[cfg(target_arch = "wasm32")]
        let filled = {
            let (mut buffer, mut pieces) = (Vec::new(), room.chunks_mut(pieces).enumerate());
            pieces.try_for_each(|(at, values)| piece(&mut buffer, at, values))
        };
        filled?;
        // SAFETY: all pieces were written, or there was an error.
        unsafe { values.set_len(count) };
        Ok(values)
    }
}

/// Allocates an empty vector with room for `count` values, and returns an error instead of aborting when there is no such room.
pub(crate) fn reserve<T>(count: usize, extent: &Extent<'_>) -> Result<Vec<T>, FormatError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| FormatError::too_large(extent.file, extent.place(), count))?;
    Ok(values)
}

/// Converts little-endian floats to the same number of f32 values. Returns `None` when `dtype` is not a float.
pub(crate) fn fill_f32(dtype: Dtype, bytes: &[u8], values: &mut [f32]) -> Option<()> {
    match dtype {
        Dtype::F32 => fill(values, numbers(bytes, f32::from_le_bytes)),
        Dtype::F64 => fill(values, numbers(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => fill(values, numbers(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => fill(values, numbers(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => return None,
    }
    Some(())
}

fn fill(values: &mut [f32], numbers: impl Iterator<Item = f32>) {
    values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
}

/// Appends the i64 values of little-endian integers. Returns `None` when `dtype` is not an integer or a value does not fit.
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
