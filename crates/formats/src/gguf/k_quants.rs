//! The K-quants: super-blocks of 256 values, whose sub-blocks' scales are quantised themselves.

use super::dequantize::half_at;

/// Dequantises Q2_K: 16 bytes of 4-bit scales and minima (16 values each), 64 bytes of 2-bit values, f16 d, f16 dmin.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (i, x) in out.iter_mut().enumerate() {
        let scale = block[i / 16];
        let q = two_bits(&block[16..80], i);
        *x = d * f32::from(scale & 0x0F) * f32::from(q) - dmin * f32::from(scale >> 4);
    }
}

/// Dequantises Q3_K: 32 bytes of third bits, 64 bytes of 2-bit values, 12 bytes of 6-bit scales (16 values each), f16 d.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 108);
    let packed = &block[96..108];
    for (i, x) in out.iter_mut().enumerate() {
        let s = i / 16;
        let low = packed[s % 8] >> (4 * (s / 8)) & 0x0F;
        let high = packed[8 + s % 4] >> (2 * (s / 4)) & 3;
        let scale = (low | high << 4) as i8 - 32;
        // An unset bit subtracts 4.
        let third = block[i % 32] >> (i / 32) & 1;
        let q = two_bits(&block[32..96], i) as i8 - 4 * (1 - third as i8);
        *x = d * f32::from(scale) * f32::from(q);
    }
}

/// Dequantises Q4_K: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima (32 values each), 128 bytes of nibbles.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let scales = scales_and_minima(block);
    for (i, x) in out.iter_mut().enumerate() {
        let (d, m) = scales[i / 32];
        *x = d * f32::from(nibble(&block[16..], i)) - m;
    }
}

/// Dequantises Q5_K: like Q4_K, with 32 bytes of fifth bits before the nibbles.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let scales = scales_and_minima(block);
    for (i, x) in out.iter_mut().enumerate() {
        let (d, m) = scales[i / 32];
        let fifth = block[16 + i % 32] >> (i / 32) & 1;
        *x = d * f32::from(nibble(&block[48..], i) | fifth << 4) - m;
    }
}

/// Dequantises Q6_K: 128 bytes of low nibbles, 64 bytes of upper two bits, 16 signed scales (16 values each), f16 d.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for (i, x) in out.iter_mut().enumerate() {
        // Each half of 128 values takes 64 bytes of nibbles: the low ones are its first 64 values.
        let (part, within) = (i / 128, i % 128);
        let low = block[64 * part + within % 64] >> (4 * (within / 64)) & 0x0F;
        let high = two_bits(&block[128..192], i);
        let scale = block[192 + i / 16] as i8;
        *x = d * f32::from(scale) * f32::from((low | high << 4) as i8 - 32);
    }
}

/// Dequantises Q8_K: f32 d, 256 signed bytes (and sums of 16, which only products need): `d * q`.
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let d = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (x, &q) in out.iter_mut().zip(&block[4..]) {
        *x = d * f32::from(q as i8);
    }
}

/// Reads value `i` of 256 in 64 bytes: each 32 bytes hold 128 values, a bit pair of all 32 before the next pair.
fn two_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3
}

/// Reads value `i` of 256 in 128 bytes: each 32 bytes hold 64 values, the low nibbles first.
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2)) & 0x0F
}

/// Returns the eight `(d * scale, dmin * minimum)` of a Q4_K or Q5_K block.
fn scales_and_minima(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    std::array::from_fn(|s| {
        // The first four are stored in six bits each; the others' lower four bits follow, their upper two bits are in the spare bits.
        let (scale, minimum) = if s < 4 {
            (packed[s] & 0x3F, packed[s + 4] & 0x3F)
        } else {
            let low = packed[s + 4];
            (low & 0x0F | packed[s - 4] >> 2 & 0x30, low >> 4 | packed[s] >> 2 & 0x30)
        };
        (d * f32::from(scale), dmin * f32::from(minimum))
    })
}
