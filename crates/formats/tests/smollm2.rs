//! A real model: SmolLM2-135M-Instruct in Q4_1.

use std::fs::File;
use std::path::PathBuf;

use lorelei_formats::TensorSource;
use lorelei_formats::config::ModelConfig;
use lorelei_formats::gguf::GgufModel;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

fn model() -> GgufModel<File> {
    let path = std::env::var_os("LORELEI_SMOLLM2").map(PathBuf::from);
    let path = path.expect("LORELEI_SMOLLM2 names SmolLM2-135M-Instruct.Q4_1.gguf");
    GgufModel::open(File::open(path).unwrap(), "SmolLM2").unwrap()
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn values_are_bit_equal_to_the_reference() {
    // SHA-256 of `gguf.dequantize(...)` as little-endian f32, q and k with their rows put back in Hugging Face's order.
    let model = model();
    for (name, hash) in [
        ("model.embed_tokens.weight", "3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa"),
        (
            "model.layers.0.self_attn.q_proj.weight",
            "54b377bbfa2deab945dfdba7fb59e0ca3eb74329358bd1b53b635b3ff37c1a56",
        ),
        (
            "model.layers.29.self_attn.k_proj.weight",
            "8e99b2450d5f3d53731f52790cc82f80b04341e533306bcfee6669ffa3c79921",
        ),
        (
            "model.layers.3.self_attn.v_proj.weight",
            "c2d8d499cbdf3269e87c7ef9783a87ece7f9c03ff91bbbbceb3e6be7329b4a31",
        ),
        (
            "model.layers.7.mlp.down_proj.weight",
            "9d3af8b67d13c727ae5ffe470464163b9cac42eb494525392bd3e79c8db73880",
        ),
        ("model.norm.weight", "3b87f8e27335e67fc08f159cabfd2d18f205d6c5b225a6f978153552bf01d559"),
    ] {
        let mut sha = Sha256::new();
        for values in model.read_f32(name).unwrap().chunks(1 << 16) {
            sha.update(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
        let ours: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, hash, "{name}");
    }
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn config_and_tokenizer_are_the_hubs() {
    let model = model();
    let config = model.hf_config().unwrap();
    for (key, value) in [
        ("hidden_size", json!(576)),
        ("intermediate_size", json!(1536)),
        ("num_hidden_layers", json!(30)),
        ("num_attention_heads", json!(9)),
        ("num_key_value_heads", json!(3)),
        ("max_position_embeddings", json!(8192)),
        ("rms_norm_eps", json!(1e-5)),
        ("rope_theta", json!(100000.0)),
        ("rope_scaling", json!(null)),
        ("tie_word_embeddings", json!(true)),
        ("vocab_size", json!(49152)),
        ("bos_token_id", json!(1)),
        ("eos_token_id", json!(2)),
        ("pad_token_id", json!(2)),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let config = ModelConfig::from_json(&config.to_string(), "config.json").unwrap();
    let expected = config.expected_tensors();
    assert_eq!(expected.len(), model.infos().len());
    for (name, shape) in expected {
        assert_eq!(model.info(&name).unwrap().shape, shape, "{name}");
    }

    let (tokenizer, tokenizer_config) = model.hf_tokenizer().unwrap();
    for (key, token) in [
        ("bos_token", "<|im_start|>"),
        ("eos_token", "<|im_end|>"),
        ("unk_token", "<|endoftext|>"),
        ("pad_token", "<|im_end|>"),
    ] {
        assert_eq!(tokenizer_config[key], token);
    }
    assert!(tokenizer_config["chat_template"].as_str().unwrap().contains("<|im_start|>"));
    assert_eq!(tokenizer["added_tokens"].as_array().unwrap().len(), 17);
    let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
    let ids = tokenizer.encode("<|im_start|>user\nWhat is 12 + 7?<|im_end|>\n", true).unwrap();
    assert_eq!(ids.get_tokens()[..3], ["<|im_start|>", "user", "Ċ"]);
    assert_eq!(
        tokenizer.decode(ids.get_ids(), false).unwrap(),
        "<|im_start|>user\nWhat is 12 + 7?<|im_end|>\n"
    );
}
