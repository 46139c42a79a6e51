//! Conversion of floats to the bytes of a storage format, as ggml's reference code and gguf-py do it.

use half::{bf16, f16};

use super::GgmlType;

/// Appends the bytes of `values` in `ggml_type` to `bytes`. F16 and BF16 are rounded to nearest, ties to even.
///
/// Returns `None` for formats that cannot be written here, and if `values` are no whole number of blocks. `bytes` are unchanged then.
pub fn quantize(ggml_type: GgmlType, values: &[f32], bytes: &mut Vec<u8>) -> Option<()> {
    match ggml_type {
        GgmlType::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        GgmlType::F16 => bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
        GgmlType::BF16 => bytes.extend(values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes())),
        GgmlType::Q4_0 => blocks(values, bytes, symmetric::<4>)?,
        GgmlType::Q4_1 => blocks(values, bytes, asymmetric::<4>)?,
        GgmlType::Q5_0 => blocks(values, bytes, symmetric::<5>)?,
        GgmlType::Q5_1 => blocks(values, bytes, asymmetric::<5>)?,
        GgmlType::Q8_0 => blocks(values, bytes, q8_0)?,
        _ => return None,
    }
    Some(())
}

fn blocks(values: &[f32], bytes: &mut Vec<u8>, each: impl Fn(&[f32; 32], &mut Vec<u8>)) -> Option<()> {
    let (blocks, []) = values.as_chunks::<32>() else { return None };
    blocks.iter().for_each(|block| each(block, bytes));
    Some(())
}

/// Quantises a block to Q4_0 or Q5_0: f16 `d`, the value of the largest magnitude over minus half the number of steps, then `x / d` plus that half.
fn symmetric<const BITS: u32>(block: &[f32; 32], bytes: &mut Vec<u8>) {
    let half = (1u32 << (BITS - 1)) as f32;
    let largest = block.iter().fold(0.0f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
    let d = largest / -half;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    put_steps::<BITS>(block.map(|x| x * inverse + (half + 0.5)), bytes);
}

/// Quantises a block to Q4_1 or Q5_1: f16 `d`, the range over the number of steps less one, f16 minimum, then `(x - minimum) / d`.
fn asymmetric<const BITS: u32>(block: &[f32; 32], bytes: &mut Vec<u8>) {
    let most = ((1u32 << BITS) - 1) as f32;
    let (least, largest) =
        block.iter().fold((f32::MAX, f32::MIN), |(least, largest), &x| (least.min(x), largest.max(x)));
    let d = (largest - least) / most;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    bytes.extend(f16::from_f32(least).to_le_bytes());
    put_steps::<BITS>(block.map(|x| (x - least) * inverse + 0.5), bytes);
}

/// Returns `1 / d`, and 0 for a block of zeros.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Appends the whole parts of 32 numbers, at most `2^BITS - 1`: the fifth bits, if there are five, in 4 bytes, then 16 bytes of nibbles. The low
/// nibbles are the first 16 values.
fn put_steps<const BITS: u32>(steps: [f32; 32], bytes: &mut Vec<u8>) {
    // The conversion cuts off the fraction, and makes 0 of what is below it.
    let steps = steps.map(|step| (step as u8).min((1 << BITS) - 1));
    if BITS == 5 {
        let fifth = steps.iter().rev().fold(0u32, |bits, step| bits << 1 | u32::from(step >> 4));
        bytes.extend(fifth.to_le_bytes());
    }
    let (low, high) = steps.split_at(16);
    bytes.extend(low.iter().zip(high).map(|(low, high)| low & 0x0F | high << 4));
}

/// Quantises a block to Q8_0: f16 `d`, the largest magnitude over 127, then 32 signed bytes, `x / d` rounded half away from zero.
fn q8_0(block: &[f32; 32], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    bytes.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::dequantize;

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let mut bytes = Vec::new();
        assert_eq!(quantize(GgmlType::Q8_0, &[0.0; 33], &mut bytes), None);
        assert_eq!(quantize(GgmlType::Q4_K, &[0.0; 256], &mut bytes), None);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_block_comes_back_within_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.01).collect();
        let mut bytes = Vec::new();
        quantize(GgmlType::Q8_0, &values, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 68);
        let mut back = Vec::new();
        dequantize(GgmlType::Q8_0, &bytes, &mut back).unwrap();
        for (value, back) in values.iter().zip(back) {
            assert!((value - back).abs() < 0.32 / 127.0 * 0.51, "{value} {back}");
        }
        bytes.clear();
        quantize(GgmlType::Q8_0, &[0.0; 32], &mut bytes).unwrap();
        assert_eq!(bytes, [0; 34]);
    }
}
