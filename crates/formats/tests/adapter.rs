//! Reading and writing of an adapter that PEFT saved.

use lorelei_formats::{AdapterPart, parse_adapter_key, read_adapter_bytes, write_adapter};

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
