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
        (with(json!({ "rms_norm_eps": 0 })), ["rms_norm_eps", "\"0\" is not a number from 1e-30"]),
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
        (with(json!({ "rope_theta": "big" })), ["rope_theta", "is not a number above 1"]),
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

/// Every number that an architecture reads, with values that make no model: the error has the file, the key and the value.
#[test]
fn absurd_numbers_are_refused_with_file_key_and_value() {
    let sizes = json!([0, -1, 0.5, 1e30, "8", true, [8]]);
    let bases = json!([1e-300, 0, -10000.0, 1.0, 0.5, 1e16, 1e300, "10000"]);
    let epsilons = json!([0, -1e-6, 1e-300, 1.5, 1e300, "1e-6"]);
    let factors = json!([0, -1, 1e-300, 1e-7, 1e7, 1e300, "2"]);
    let growths = json!([0, -2.0, 0.5, 1e-300, 1e7, 1e300, "2"]);
    let shares = json!([0, -0.5, 1.5, 3, 1e300, "0.5"]);
    let mut tried = 0;
    let mut refuse = |model_type: &str, key: &str, values: &Value, also: Value| {
        for value in values.as_array().unwrap() {
            let mut config = small(model_type, also.clone());
            match key.split_once('.') {
                Some((outer, inner)) => config[outer][inner] = value.clone(),
                None => config[key] = value.clone(),
            }
            let error = parse(&config).expect_err(&format!("{model_type}: {key} = {value}"));
            let words = ["config.json: ", &format!("key {key:?}: "), &value.to_string().replace('"', "\\\"")];
            assert!(words.iter().all(|word| error.contains(word)), "{model_type}: {key} = {value}: {error}");
            tried += 1;
        }
    };
    let none = || json!({});
    let deep = json!([0, -1, 4097, 1_000_000_000, 1e9]);
    for key in
        ["vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"]
    {
        refuse("llama", key, &sizes, none());
    }
    for (key, values) in [
        ("head_dim", &sizes),
        ("max_position_embeddings", &sizes),
        ("vocab_size", &json!([0, 1u64 << 27, 1e18])),
        ("num_key_value_heads", &json!([8, 3])),
        ("num_hidden_layers", &deep),
        ("initializer_range", &json!([-0.02, 11, 1e300, "0.02"])),
        ("bos_token_id", &json!([-1, 0.5, 1u64 << 32])),
        ("rms_norm_eps", &epsilons),
        ("rope_theta", &bases),
        ("partial_rotary_factor", &shares),
    ] {
        refuse("llama", key, values, none());
    }
    let labelled = || json!({ "architectures": ["LlamaForSequenceClassification"] });
    refuse("llama", "num_labels", &json!([0, -1, 1u64 << 21]), labelled());
    for (scaling, inner, values) in [
        ("linear", "factor", &growths),
        ("dynamic", "factor", &growths),
        ("llama3", "factor", &growths),
        ("yarn", "factor", &growths),
        ("llama3", "low_freq_factor", &factors),
        ("llama3", "high_freq_factor", &factors),
        ("llama3", "original_max_position_embeddings", &sizes),
        ("yarn", "original_max_position_embeddings", &sizes),
        ("yarn", "beta_fast", &factors),
        ("yarn", "beta_slow", &factors),
        ("yarn", "beta_fast", &json!([0.5])),
        ("yarn", "attention_factor", &factors),
        ("yarn", "mscale", &json!([-1, 1e300, "1"])),
        ("yarn", "mscale_all_dim", &json!([-1, 1e300, "1"])),
        ("default", "rope_theta", &bases),
        ("default", "partial_rotary_factor", &shares),
    ] {
        let whole =
            json!({ "rope_type": scaling, "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0 });
        for outer in ["rope_scaling", "rope_parameters"] {
            refuse("llama", &format!("{outer}.{inner}"), values, json!({ outer: whole }));
        }
    }
    let longrope = || json!({ "rope_scaling": { "type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2] } });
    for key in ["short_factor", "long_factor"] {
        let lists =
            json!([[1, 1, 1, 0], [1, 1, 1, -2], [1, 1, 1, 1e-300], [1, 1, 1e300, 1], [1, 1, 1, "1"], 3]);
        refuse("phi3", &format!("rope_scaling.{key}"), &lists, longrope());
    }
    refuse("phi3", "rope_scaling.attention_factor", &factors, longrope());
    refuse("phi3", "original_max_position_embeddings", &sizes, longrope());
    refuse("phi3", "rope_scaling.original_max_position_embeddings", &json!([1]), longrope());
    refuse("glm", "partial_rotary_factor", &shares, none());
    let window = json!([0, -1, 0.5, 1e300, "8"]);
    for (model_type, key) in [
        ("mistral", "sliding_window"),
        ("phi3", "sliding_window"),
        ("gemma2", "sliding_window"),
        ("gemma3_text", "sliding_window"),
        ("gemma3_text", "sliding_window_pattern"),
        ("gemma3_text", "_sliding_window_pattern"),
        ("smollm3", "no_rope_layer_interval"),
    ] {
        refuse(model_type, key, &window, none());
    }
    for model_type in ["qwen2", "qwen3", "smollm3"] {
        refuse(model_type, "sliding_window", &window, json!({ "use_sliding_window": true }));
    }
    refuse("qwen2", "max_window_layers", &json!([-1, 0.5, 1e300]), json!({ "use_sliding_window": true }));
    refuse("gemma2", "attn_logit_softcapping", &factors, none());
    for model_type in ["gemma2", "gemma3_text"] {
        refuse(model_type, "final_logit_softcapping", &factors, none());
        refuse(model_type, "query_pre_attn_scalar", &factors, none());
    }
    refuse("gemma3_text", "rope_local_base_freq", &bases, none());
    for key in ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"] {
        refuse("granite", key, &factors, none());
    }
    let glm = || json!({ "multi_query_attention": true, "num_layers": 2, "padded_vocab_size": 9, "ffn_hidden_size": 8 });
    for key in [
        "padded_vocab_size",
        "ffn_hidden_size",
        "kv_channels",
        "multi_query_group_num",
        "seq_length",
        "num_layers",
    ] {
        refuse("chatglm", key, &sizes, glm());
    }
    refuse("chatglm", "rope_ratio", &growths, glm());
    refuse("chatglm", "layernorm_epsilon", &epsilons, glm());
    for key in ["n_embd", "n_head", "n_inner", "n_positions", "n_layer"] {
        refuse("gpt2", key, &sizes, none());
    }
    refuse("gpt2", "layer_norm_epsilon", &epsilons, none());
    refuse("bert", "type_vocab_size", &sizes, none());
    refuse("bert", "layer_norm_eps", &epsilons, none());
    for key in ["dim", "n_heads", "n_layers", "hidden_dim"] {
        refuse("distilbert", key, &sizes, none());
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn numbers_that_python_writes_are_named_with_their_key() {
    for number in ["NaN", "Infinity", "-Infinity"] {
        for text in [
            "{\"a\": 1,\n \"rope_theta\" : @, \"b\": 2}",
            "{\"rope_theta\":@}",
            "{\"rope_scaling\": {\"rope_theta\": @}}",
        ] {
            let error =
                ModelConfig::from_json(&text.replace('@', number), "config.json").unwrap_err().to_string();
            let wanted = format!("config.json: key \"rope_theta\": {number} is not a number;");
            assert!(error.starts_with(&wanted), "{error}");
        }
    }
    let error = ModelConfig::from_json("{\"a\": nan}", "config.json").unwrap_err().to_string();
    assert!(error.contains("no valid JSON"), "{error}");
}

#[test]
fn sizes_together_do_not_overflow() {
    for changes in [
        json!({ "num_attention_heads": 65536, "num_key_value_heads": 65536, "head_dim": 65536, "hidden_size": 1 << 20 }),
        json!({ "vocab_size": 1 << 26, "hidden_size": 1 << 20 }),
        json!({ "model_type": "gpt2", "n_embd": 1 << 20, "n_head": 1, "n_positions": 1u64 << 31 }),
    ] {
        let error = parse(&small("llama", changes)).unwrap_err();
        assert!(error.contains("too many for this machine (hidden_size"), "{error}");
    }
    let error = parse(&small("roberta", json!({ "pad_token_id": u32::MAX }))).unwrap_err();
    assert!(error.contains("max_position_embeddings"), "{error}");
}

#[test]
fn numbers_of_real_models_are_read() {
    for changes in [
        json!({ "rope_theta": 1e11, "rms_norm_eps": 1e-12 }),
        json!({ "rope_theta": 500000, "initializer_range": 0.02 }),
        json!({ "rope_scaling": { "rope_type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 0, "beta_fast": 32, "beta_slow": 1 } }),
        json!({ "model_type": "granite", "attention_multiplier": 0.0078125, "logits_scaling": 16, "embedding_multiplier": 12 }),
        json!({ "model_type": "gemma2", "query_pre_attn_scalar": 144, "attn_logit_softcapping": null }),
        json!({ "model_type": "bert", "layer_norm_eps": 1e-12 }),
    ] {
        parse(&small("llama", changes)).unwrap();
    }
}
