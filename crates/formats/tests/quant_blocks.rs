//! Comparison of dequantised blocks, bit for bit, with the results of the reference package (see `make_quant_blocks.py`).

use lorelei_formats::gguf::{GgmlType, dequantize, quantize};
use sha2::{Digest, Sha256};

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

#[test]
fn what_gguf_py_makes_of_values() {
    // The values and hashes are those of `tests/reference/gguf_lora.py`.
    let mut state = 1u32;
    let mut values: Vec<f32> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 - 2f32.powi(31)) / 2f32.powi(28)
    })
    .take(4096)
    .collect();
    values[..64].iter_mut().for_each(|value| *value = (*value * 2.0).round_ties_even() / 2.0);
    for (ggml_type, sha256) in [
        (GgmlType::F32, "5f6ad015de6c223e825d1bd3750ed3545532b02598f6a80714872182c4165ac4"),
        (GgmlType::F16, "eca39c9ccf2cceec88b2872b1f3845683f1ed45ce3fc712f78ff75a12249462e"),
        (GgmlType::BF16, "d1cce2856cd16669f3edfd2f63653a0e0bd4c618ed0c6fcf46a1cc8836c05918"),
        (GgmlType::Q8_0, "7fcd576832901602673a7f8e9a38942c94c3baf91916e35477c041dc83dc966a"),
    ] {
        let mut bytes = Vec::new();
        quantize(ggml_type, &values, &mut bytes).unwrap();
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(digest, sha256, "{ggml_type}");
    }
}
