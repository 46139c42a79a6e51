//! Reading and writing of an adapter that PEFT saved.

use lorelei_formats::{
    AdapterPart, SafetensorsFile, parse_adapter_key, peft::adapter_num_labels, read_adapter_bytes,
    write_adapter,
};

const PEFT: &[u8] = include_bytes!("fixtures/adapter_model.safetensors");

#[test]
fn written_again_it_is_the_same_file() {
    let adapter = read_adapter_bytes(PEFT, "adapter_model.safetensors").unwrap();
    assert_eq!(adapter.len(), 8);
    for (key, tensor) in &adapter {
        let (module, part) = parse_adapter_key(key).unwrap();
        assert!(module.ends_with("q_proj") || module.ends_with("v_proj"));
        let rank = if part == AdapterPart::LoraA { tensor.shape[0] } else { tensor.shape[1] };
        assert_eq!(rank, 4);
        assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
    }
    assert!(write_adapter(&adapter).unwrap() == PEFT);
}

/// The number of classes becomes the size of a layer: it is one that the file has bytes for.
#[test]
fn a_head_without_values_has_no_classes() {
    let of = |shape: [u64; 2], bytes: u64| {
        let header = format!(
            r#"{{"base_model.model.score.weight":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,{bytes}]}}}}"#
        );
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + bytes as usize, 0);
        adapter_num_labels(&SafetensorsFile::open(file, "adapter_model.safetensors").unwrap())
    };
    assert_eq!(of([3, 2], 24), Some(3));
    assert_eq!(of([1 << 60, 0], 0), None);
}
