//! Comparison of dequantised blocks, bit for bit, with the results of the reference package (see `make_quant_blocks.py`).

use lorelei_formats::gguf::{GgmlType, dequantize};

#[test]
fn every_type_is_bit_equal_to_the_reference() {
    for (ggml_type, fixture) in [
        (GgmlType::Q4_0, &include_bytes!("fixtures/quant_blocks/q4_0.bin")[..]),
        (GgmlType::Q4_1, include_bytes!("fixtures/quant_blocks/q4_1.bin")),
        (GgmlType::Q5_0, include_bytes!("fixtures/quant_blocks/q5_0.bin")),
        (GgmlType::Q5_1, include_bytes!("fixtures/quant_blocks/q5_1.bin")),
        (GgmlType::Q8_0, include_bytes!("fixtures/quant_blocks/q8_0.bin")),
        (GgmlType::Q2_K, include_bytes!("fixtures/quant_blocks/q2_k.bin")),
        (GgmlType::Q3_K, include_bytes!("fixtures/quant_blocks/q3_k.bin")),
        (GgmlType::Q4_K, include_bytes!("fixtures/quant_blocks/q4_k.bin")),
        (GgmlType::Q5_K, include_bytes!("fixtures/quant_blocks/q5_k.bin")),
        (GgmlType::Q6_K, include_bytes!("fixtures/quant_blocks/q6_k.bin")),
    ] {
        let (values, bytes) = ggml_type.block();
        let count = fixture.len() / (bytes + 4 * values);
        let (blocks, expected) = fixture.split_at(count * bytes);
        let mut ours = Vec::new();
        dequantize(ggml_type, blocks, &mut ours).unwrap();
        let ours: Vec<u8> = ours.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(count >= 2 && ours == expected, "{ggml_type}");
    }
}

#[test]
fn q8_k_by_hand() {
    let mut block = 0.5f32.to_le_bytes().to_vec();
    block.extend((0..=255u8).map(|i| i.wrapping_sub(128)));
    block.extend([0xAA; 32]); // the sums, which only products need
    let mut values = Vec::new();
    dequantize(GgmlType::Q8_K, &block, &mut values).unwrap();
    let expected: Vec<f32> = (-128i16..128).map(|q| 0.5 * f32::from(q)).collect();
    assert_eq!(values, expected);
}

#[test]
fn q4_1_by_hand() {
    let mut block = half::f16::from_f32(0.5).to_le_bytes().to_vec();
    block.extend(half::f16::from_f32(-2.0).to_le_bytes());
    block.extend([0x51; 16]);
    let mut values = Vec::new();
    dequantize(GgmlType::Q4_1, &block, &mut values).unwrap();
    assert_eq!(values[..16], [-1.5; 16]);
    assert_eq!(values[16..], [0.5; 16]);
}

#[test]
fn what_is_no_block_is_refused() {
    assert_eq!(dequantize(GgmlType::Q4_0, &[0; 17], &mut Vec::new()), None);
    assert_eq!(dequantize(GgmlType::I32, &[0; 4], &mut Vec::new()), None);
}
