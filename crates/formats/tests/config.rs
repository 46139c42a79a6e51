//! `config.json` in both of Transformers' styles, and those that must be refused.

use lorelei_formats::ErrorKind;
use lorelei_formats::config::{LlamaConfig, RopeScaling};
use serde_json::{Value, json};

const V4: &str = include_str!("fixtures/llama_config_v4.json");
const V5: &str = include_str!("fixtures/llama_config_v5.json");

fn parse(config: &Value) -> Result<LlamaConfig, String> {
    LlamaConfig::from_json(&config.to_string(), "config.json").map_err(|error| error.to_string())
}

fn with(changes: Value) -> Value {
    let mut config: Value = serde_json::from_str(V4).unwrap();
    config.as_object_mut().unwrap().remove("head_dim");
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn without(key: &str) -> Value {
    let mut config = with(json!({}));
    config.as_object_mut().unwrap().remove(key);
    config
}

#[test]
fn both_styles_say_the_same() {
    let v4 = LlamaConfig::from_json(V4, "v4").unwrap();
    assert_eq!(
        v4,
        LlamaConfig {
            vocab_size: 512,
            hidden_size: 64,
            intermediate_size: 128,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 16,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 32,
            },
            max_position_embeddings: 128,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            bos_token_id: Some(1),
            eos_token_id: vec![2],
            pad_token_id: Some(0),
        }
    );
    assert_eq!(LlamaConfig::from_json(V5, "v5").unwrap(), v4);
}

#[test]
fn defaults_are_transformers() {
    let config = parse(&json!({
        "model_type": "llama", "vocab_size": 10, "hidden_size": 32, "intermediate_size": 4,
        "num_hidden_layers": 1, "num_attention_heads": 4, "bos_token_id": null,
    }))
    .unwrap();
    assert_eq!(config.num_key_value_heads, 4);
    assert_eq!(config.head_dim, 8);
    assert_eq!(config.rms_norm_eps, 1e-6);
    assert_eq!((config.rope_theta, config.rope_scaling), (10_000.0, RopeScaling::Default));
    assert_eq!(config.max_position_embeddings, 2048);
    assert!(!config.tie_word_embeddings && !config.attention_bias && !config.mlp_bias);
    assert_eq!((config.bos_token_id, config.eos_token_id, config.pad_token_id), (None, vec![2], None));
}

#[test]
fn many_ends_old_scaling_and_plain_rope_parameters() {
    let config = parse(&with(json!({
        "eos_token_id": [2, 7],
        "rope_scaling": { "type": "linear", "factor": 4 },
    })));
    let config = config.unwrap();
    assert_eq!(config.eos_token_id, [2, 7]);
    assert_eq!(config.rope_scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(config.inv_freq()[0], 0.25);

    let config = parse(&with(json!({
        "rope_scaling": null,
        "rope_parameters": { "rope_type": "default", "rope_theta": 500000.0 },
    })));
    let config = config.unwrap();
    assert_eq!((config.rope_theta, config.rope_scaling), (500_000.0, RopeScaling::Default));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    for (config, words) in [
        (with(json!({ "model_type": "mamba" })), ["model_type", "supported: llama"]),
        (without("model_type"), ["model_type", "known types: llama"]),
        (without("vocab_size"), ["vocab_size", "not there"]),
        (with(json!({ "hidden_size": 0 })), ["hidden_size", "from 1"]),
        (with(json!({ "hidden_size": -64 })), ["hidden_size", "from 1"]),
        (with(json!({ "hidden_size": 64.5 })), ["hidden_size", "from 1"]),
        (with(json!({ "hidden_size": 66 })), ["hidden_size", "cannot be cut into 4 heads"]),
        (with(json!({ "num_attention_heads": 0 })), ["num_attention_heads", "from 1"]),
        (with(json!({ "num_key_value_heads": 3 })), ["num_key_value_heads", "cannot share"]),
        (with(json!({ "head_dim": 15 })), ["head_dim", "halves"]),
        (with(json!({ "vocab_size": u64::MAX })), ["vocab_size", "from 1"]),
        (with(json!({ "num_hidden_layers": 1u64 << 40 })), ["num_hidden_layers", "from 1"]),
        (
            with(json!({ "hidden_size": 1 << 20, "intermediate_size": 1 << 22, "num_hidden_layers": 4096 })),
            ["hidden_size", "too many"],
        ),
        (with(json!({ "hidden_act": "gelu" })), ["hidden_act", "gelu"]),
        (with(json!({ "rms_norm_eps": 0 })), ["rms_norm_eps", "above zero"]),
        (with(json!({ "tie_word_embeddings": "yes" })), ["tie_word_embeddings", "true or false"]),
        (with(json!({ "eos_token_id": [2, "x"] })), ["eos_token_id", "token's id"]),
        (
            with(json!({ "rope_scaling": { "rope_type": "yarn", "factor": 2 } })),
            ["rope_scaling.rope_type", "yarn"],
        ),
        (with(json!({ "rope_scaling": { "rope_type": "linear" } })), ["rope_scaling.factor", "not there"]),
        (
            with(json!({ "rope_scaling": {
                "rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
            } })),
            ["rope_scaling.high_freq_factor", "not above"],
        ),
        (with(json!({ "rope_theta": "big" })), ["rope_theta", "above zero"]),
        (with(json!({ "partial_rotary_factor": 0.5 })), ["partial_rotary_factor", "0.5"]),
        (with(json!({ "quantization_config": { "bits": 4 } })), ["quantization_config", "unquantised"]),
        (json!([]), ["config.json", "no JSON object"]),
    ] {
        let error = parse(&config).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
    let error = LlamaConfig::from_json("{", "config.json").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

#[test]
fn every_tensor_of_the_model_is_expected() {
    let config = parse(&with(json!({ "attention_bias": true, "mlp_bias": true }))).unwrap();
    let tensors = config.expected_tensors();
    let shape = |name: &str| {
        let found = tensors.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("{name}")).1.clone()
    };
    assert_eq!(tensors.len(), 3 + 2 * (2 + 14));
    assert_eq!(shape("model.embed_tokens.weight"), [512, 64]);
    assert_eq!(shape("lm_head.weight"), [512, 64]);
    assert_eq!(shape("model.layers.1.self_attn.q_proj.weight"), [64, 64]);
    assert_eq!(shape("model.layers.1.self_attn.k_proj.weight"), [32, 64]);
    assert_eq!(shape("model.layers.1.self_attn.k_proj.bias"), [32]);
    assert_eq!(shape("model.layers.0.mlp.down_proj.weight"), [64, 128]);
    assert_eq!(shape("model.layers.0.mlp.down_proj.bias"), [64]);
    assert_eq!(shape("model.norm.weight"), [64]);

    let tied = parse(&with(json!({ "tie_word_embeddings": true }))).unwrap();
    assert_eq!(tied.expected_tensors().len(), 2 + 2 * (2 + 7));
}

#[test]
fn llama3_frequencies_are_transformers() {
    // float32 values of numpy, operation by operation as `_compute_llama3_parameters` has them: one is kept, one
    // blended, the others divided.
    let expected = [1.0, 0.09583998, 0.0125, 0.0039528473, 0.00125, 0.00039528473, 0.000125, 3.9528473e-05];
    assert_eq!(LlamaConfig::from_json(V4, "v4").unwrap().inv_freq(), expected);
}
