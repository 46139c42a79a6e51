//! `config.json` in both of Transformers' styles, and files that must be refused.

use lorelei_formats::ErrorKind;
use lorelei_formats::config::{AttentionKind, Biases, Mixer, ModelConfig, NormKind, Rope, RopeScaling};
use serde_json::{Value, json};

const V4: &str = include_str!("fixtures/llama_config_v4.json");
const V5: &str = include_str!("fixtures/llama_config_v5.json");

fn parse(config: &Value) -> Result<ModelConfig, String> {
    ModelConfig::from_json(&config.to_string(), "config.json").map_err(|error| error.to_string())
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
    let v4 = ModelConfig::from_json(V4, "v4").unwrap();
    assert_eq!((v4.vocab_size, v4.hidden_size, v4.intermediate_size), (512, 64, 128));
    assert_eq!((v4.num_hidden_layers, v4.num_attention_heads, v4.num_key_value_heads), (2, 4, 2));
    assert_eq!((v4.head_dim, v4.max_position_embeddings, v4.tie_word_embeddings), (16, 128, false));
    assert_eq!((v4.bos_token_id, &v4.eos_token_id[..], v4.pad_token_id), (Some(1), &[2][..], Some(0)));
    assert_eq!((v4.norm, v4.norm_eps, v4.biases), (NormKind::Rms, 1e-5, Biases::default()));
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };
    assert_eq!(v4.ropes, [Rope { theta: 10_000.0, dim: 16, interleaved: false, scaling }]);
    assert_eq!(v4.layers, [Mixer::Attention(AttentionKind { rope: Some(0), window: None }); 2]);
    assert_eq!(ModelConfig::from_json(V5, "v5").unwrap(), v4);
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
    assert_eq!(config.norm_eps, 1e-6);
    let scaling = RopeScaling::Default;
    assert_eq!(config.ropes, [Rope { theta: 10_000.0, dim: 8, interleaved: false, scaling }]);
    assert_eq!(config.max_position_embeddings, 2048);
    assert!(!config.tie_word_embeddings && config.biases == Biases::default());
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
    assert_eq!(config.ropes[0].scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(config.ropes[0].frequencies(1).0[0], 0.25);

    let config = parse(&with(json!({
        "rope_scaling": null,
        "rope_parameters": { "rope_type": "default", "rope_theta": 500000.0 },
    })));
    let config = config.unwrap();
    assert_eq!((config.ropes[0].theta, &config.ropes[0].scaling), (500_000.0, &RopeScaling::Default));
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
        (with(json!({ "hidden_act": "mish" })), ["hidden_act", "gelu"]),
        (with(json!({ "rms_norm_eps": 0 })), ["rms_norm_eps", "above zero"]),
        (with(json!({ "tie_word_embeddings": "yes" })), ["tie_word_embeddings", "true or false"]),
        (with(json!({ "eos_token_id": [2, "x"] })), ["eos_token_id", "token's id"]),
        (
            with(json!({ "rope_scaling": { "rope_type": "spiral", "factor": 2 } })),
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
    let error = ModelConfig::from_json("{", "config.json").unwrap_err();
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
    // float32 values of numpy, operation by operation as in `_compute_llama3_parameters`: one is kept, one blended, the others divided.
    let expected = [1.0, 0.09583998, 0.0125, 0.0039528473, 0.00125, 0.00039528473, 0.000125, 3.9528473e-05];
    assert_eq!(ModelConfig::from_json(V4, "v4").unwrap().ropes[0].frequencies(1).0, expected);
}

/// Returns a small config of `model_type`, with changes.
fn small(model_type: &str, changes: Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn attentions(config: &ModelConfig) -> impl Iterator<Item = &AttentionKind> {
    config.layers.iter().filter_map(Mixer::as_attention)
}

#[test]
fn windows_are_where_transformers_has_them() {
    for (config, windows) in [
        (small("mistral", json!({ "sliding_window": 6 })), [Some(6); 4]),
        (small("mistral", json!({ "sliding_window": null })), [None; 4]),
        (small("mistral", json!({})), [Some(4096); 4]),
        (small("qwen2", json!({ "sliding_window": 6 })), [None; 4]),
        (
            small(
                "qwen2",
                json!({ "use_sliding_window": true, "sliding_window": 6, "max_window_layers": 3 }),
            ),
            [None, None, None, Some(6)],
        ),
        (
            small(
                "qwen3",
                json!({ "use_sliding_window": true, "max_window_layers": 0, "sliding_window": 6 }),
            ),
            [Some(6); 4],
        ),
        (
            small("gemma3_text", json!({ "sliding_window": 6, "sliding_window_pattern": 2 })),
            [Some(6), None, Some(6), None],
        ),
        (small("phi3", json!({ "sliding_window": 6 })), [Some(6); 4]),
    ] {
        let parsed = parse(&config).unwrap();
        let found: Vec<_> = attentions(&parsed).map(|attention| attention.window).collect();
        assert_eq!(found, windows, "{config}");
    }
}

#[test]
fn layers_of_smollm3_and_gemma3_have_their_own_positions() {
    let ropes = |config: Value| -> Vec<_> {
        attentions(&parse(&config).unwrap()).map(|attention| attention.rope).collect()
    };
    assert_eq!(ropes(small("smollm3", json!({}))), [Some(0), Some(0), Some(0), None]);
    let given = json!({ "no_rope_layers": [0, 1, 1, 0] });
    assert_eq!(ropes(small("smollm3", given)), [None, Some(0), Some(0), None]);
    let gemma =
        json!({ "sliding_window_pattern": 4, "rope_scaling": { "rope_type": "linear", "factor": 8 } });
    assert_eq!(ropes(small("gemma3_text", gemma.clone())), [Some(1), Some(1), Some(1), Some(0)]);
    let config = parse(&small("gemma3_text", gemma)).unwrap();
    assert_eq!((config.ropes[0].theta, config.ropes[1].theta), (1_000_000.0, 10_000.0));
    assert_eq!(config.ropes[0].scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!(config.ropes[1].scaling, RopeScaling::Default);
}

#[test]
fn what_an_architecture_cannot_do_is_refused_with_its_key() {
    for (config, words) in [
        (small("mistral", json!({ "layer_types": ["full_attention"] })), ["layer_types", "1 types for 4"]),
        (small("smollm3", json!({ "no_rope_layers": [1] })), ["no_rope_layers", "1 numbers for 4"]),
        (
            small("gemma3_text", json!({ "use_bidirectional_attention": true })),
            ["use_bidirectional_attention", "encoder"],
        ),
        (
            small("phi3", json!({ "rope_scaling": { "type": "longrope", "short_factor": [1.0] } })),
            ["rope_scaling.short_factor", "1 numbers for 4"],
        ),
        (small("glm", json!({ "partial_rotary_factor": 0.01 })), ["partial_rotary_factor", "no pairs"]),
        (small("chatglm", json!({})), ["multi_query_attention", "ChatGLM"]),
        (small("gpt2", json!({ "n_embd": 30, "n_head": 4 })), ["n_embd", "4 heads"]),
    ] {
        let error = parse(&config).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
}
