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
        GgmlType::Q8_0 => {
            let (blocks, []) = values.as_chunks::<32>() else { return None };
            blocks.iter().for_each(|block| q8_0(block, bytes));
        }
        _ => return None,
    }
    Some(())
}

/// Quantises a block to Q8_0: f16 `d`, the largest magnitude over 127, then 32 signed bytes, `x / d` rounded half away from zero.
fn q8_0(block: &[f32; 32], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
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
