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
        (GgmlType::Q4_0, "c65bf597a7497d92868a62343bc96c699ac85357bc3a81a899fe84014d5525ea"),
        (GgmlType::Q4_1, "ba84e5b06449587bcbaa3b9f6a478c531dccf228c26fd88cd913c1f900c74984"),
        (GgmlType::Q5_0, "5b63f72d38c7c08b62f7e44be0d3eae0523e054707906c4237c86a845ae1c392"),
        (GgmlType::Q5_1, "e282aab988ed939fbf226656d8b575da2b558a6e5b50e9035dc4f103292abd92"),
    ] {
        let mut bytes = Vec::new();
        quantize(ggml_type, &values, &mut bytes).unwrap();
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(digest, sha256, "{ggml_type}");
    }
}

#[test]
fn what_gguf_py_makes_of_odd_blocks() {
    // Zeros, one value everywhere, one value alone, equal magnitudes of both signs, a ramp.
    let ramp: Vec<f32> = (0..32).map(|i| -7.0 + 15.0 * i as f32 / 31.0).collect();
    let alone: Vec<f32> = (0..32).map(|i| if i == 5 { 1e-3 } else { 0.0 }).collect();
    let signs: Vec<f32> = (0..32).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let values = [vec![0.0; 32], vec![0.75; 32], vec![-3.0; 32], alone, signs, ramp].concat();
    for (ggml_type, expected) in [
        (
            GgmlType::Q4_0,
            [
                "008088888888888888888888888888888888",
                "00ae00000000000000000000000000000000",
                "003600000000000000000000000000000000",
                "198888888888888088888888888888888888",
                "00b000ff00ff00ff00ff00ff00ff00ff00ff",
                "00bc7f7f6e6e5d5d4c4c3b3b2a2a19190808",
            ],
        ),
        (
            GgmlType::Q4_1,
            [
                "0000000000000000000000000000000000000000",
                "0000003a00000000000000000000000000000000",
                "000000c200000000000000000000000000000000",
                "5e04000000000000000f00000000000000000000",
                "443000bcff00ff00ff00ff00ff00ff00ff00ff00",
                "003c00c780809191a2a2b3b3c4c4d5d5e6e6f7f7",
            ],
        ),
        (
            GgmlType::Q5_0,
            [
                "0080ffffffff00000000000000000000000000000000",
                "00aa0000000000000000000000000000000000000000",
                "00320000000000000000000000000000000000000000",
                "1984dfffffff00000000000000000000000000000000",
                "00acaaaaaaaa00ff00ff00ff00ff00ff00ff00ff00ff",
                "00b8ff7f0000feeddccbbaa99887766554433221100f",
            ],
        ),
        (
            GgmlType::Q5_1,
            [
                "000000000000000000000000000000000000000000000000",
                "0000003a0000000000000000000000000000000000000000",
                "000000c20000000000000000000000000000000000000000",
                "1d0200002000000000000000000f00000000000000000000",
                "212c00bc55555555ff00ff00ff00ff00ff00ff00ff00ff00",
                "be3700c70000ffff00112233445566778899aabbccddeeff",
            ],
        ),
    ] {
        let mut bytes = Vec::new();
        quantize(ggml_type, &values, &mut bytes).unwrap();
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex, expected.concat(), "{ggml_type}");
    }
}
