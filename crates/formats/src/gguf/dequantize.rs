//! Dequantisation of blocks to f32, in the same operations (and so with the same bits) as ggml's reference code.
//!
//! Block layouts: `block_q*` in <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>; arithmetic: `dequantize_row_q*` in `ggml-quants.c`
//! there.

use half::f16;

use super::{GgmlType, k_quants};
use crate::pieces;

/// Appends the values of whole blocks (or plain floats) to `values`.
///
/// Returns `None` when `ggml_type` holds integers or `bytes` is not a whole number of blocks.
pub fn dequantize(ggml_type: GgmlType, bytes: &[u8], values: &mut Vec<f32>) -> Option<()> {
    let (of_block, block_bytes) = ggml_type.block();
    let before = values.len();
    values.resize(before + bytes.len() / block_bytes * of_block, 0.0);
    dequantize_into(ggml_type, bytes, &mut values[before..])
}

/// Like [`dequantize`], but writes into `values`. Also returns `None` when their number is not that of the blocks' values.
pub fn dequantize_into(ggml_type: GgmlType, bytes: &[u8], values: &mut [f32]) -> Option<()> {
    let (of_block, block_bytes) = ggml_type.block();
    if !bytes.len().is_multiple_of(block_bytes) || values.len() != bytes.len() / block_bytes * of_block {
        return None;
    }
    match ggml_type {
        GgmlType::Q4_0 => blocks(bytes, values, q4_0),
        GgmlType::Q4_1 => blocks(bytes, values, q4_1),
        GgmlType::Q5_0 => blocks(bytes, values, q5_0),
        GgmlType::Q5_1 => blocks(bytes, values, q5_1),
        GgmlType::Q8_0 => blocks(bytes, values, q8_0),
        GgmlType::Q2_K => blocks(bytes, values, k_quants::q2_k),
        GgmlType::Q3_K => blocks(bytes, values, k_quants::q3_k),
        GgmlType::Q4_K => blocks(bytes, values, k_quants::q4_k),
        GgmlType::Q5_K => blocks(bytes, values, k_quants::q5_k),
        GgmlType::Q6_K => blocks(bytes, values, k_quants::q6_k),
        GgmlType::Q8_K => blocks(bytes, values, k_quants::q8_k),
        _ => pieces::fill_f32(ggml_type.plain()?, bytes, values)?,
    }
    Some(())
}

fn blocks<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    values: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    for (bytes, values) in bytes.as_chunks().0.iter().zip(values.as_chunks_mut().0) {
        block(bytes, values);
    }
}

/// Reads the half float at byte `at` of a block.
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Reads value `i` of the 32 nibbles in 16 bytes: the low nibbles are the first 16 values, the high nibbles the others.
fn nibble(nibbles: &[u8], i: usize) -> u8 {
    if i < 16 { nibbles[i] & 0x0F } else { nibbles[i - 16] >> 4 }
}

/// Returns the fifth bit of value `i`, shifted to its position.
fn fifth_bit(bits: &[u8], i: usize) -> u8 {
    (bits[i / 8] >> (i % 8) & 1) << 4
}

/// Dequantises 16 bytes of nibbles, each by `value`.
fn nibbles(bytes: &[u8], out: &mut [f32; 32], value: impl Fn(u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (value(byte & 0x0F), value(byte >> 4));
    }
}

/// Dequantises Q4_0: f16 d, 16 bytes of nibbles: `d * (q - 8)`.
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    nibbles(&block[2..], out, |q| d * f32::from(q as i8 - 8));
}

/// Dequantises Q4_1: f16 d, f16 m, 16 bytes of nibbles: `d * q + m`.
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    nibbles(&block[4..], out, |q| d * f32::from(q) + m);
}

/// Dequantises Q5_0: f16 d, 32 high bits, 16 bytes of nibbles: `d * (q - 16)`.
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (i, x) in out.iter_mut().enumerate() {
        let q = nibble(&block[6..], i) | fifth_bit(&block[2..6], i);
        *x = d * f32::from(q as i8 - 16);
    }
}

/// Dequantises Q5_1: f16 d, f16 m, 32 high bits, 16 bytes of nibbles: `d * q + m`.
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (i, x) in out.iter_mut().enumerate() {
        let q = nibble(&block[8..], i) | fifth_bit(&block[4..8], i);
        *x = d * f32::from(q) + m;
    }
}

/// Dequantises Q8_0: f16 d, 32 signed bytes: `d * q`.
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (x, &q) in out.iter_mut().zip(&block[2..]) {
        *x = f32::from(q as i8) * d;
    }
}
