//! Tests of GGUF files of several architectures, laid out as by llama.cpp's converter: they give the numbers of the Hugging Face models that they
//! were made from.

#[path = "../../crates/formats/tests/common/mod.rs"]
mod common;

use burn::tensor::Device;
use common::{Meta, Tensor, f32_tensor, gguf};
use lorelei_formats::{GgufModel, ModelConfig, TensorSource, config::Task};
use lorelei_models::{ForwardMode, Model, Storage, Tokens};
use lorelei_recipe::LoraConfig;
use lorelei_tests::{assert_close, examples, fixture, open};
use lorelei_train::tokens;

/// Returns llama.cpp's name of a tensor in a layer.
fn layer_name(model_type: &str, name: &str) -> String {
    let (module, kind) = name.rsplit_once('.').unwrap();
    let gemma = model_type == "gemma3_text";
    let module = match module {
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if gemma => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        other => panic!("{other}"),
    };
    format!("{module}.{kind}")
}

/// Returns the rows of each head with those of its two halves interleaved.
fn interleaved(values: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let rows = values.len() / columns / heads;
    let row = |at: usize| {
        let (head, within) = (at / rows, at % rows);
        let from = head * rows + within % 2 * (rows / 2) + within / 2;
        &values[from * columns..(from + 1) * columns]
    };
    (0..heads * rows).flat_map(|at| row(at).to_vec()).collect()
}

/// Converts a fixture as the converter does.
fn converted(arch: &str, architecture: &'static str, more: Vec<(&'static str, Meta)>) -> Vec<u8> {
    let folder = fixture(arch);
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config = ModelConfig::from_json(&text, "config.json").unwrap();
    let file = open(&folder.join("model.safetensors"));
    let tensors: Vec<Tensor> = file
        .infos()
        .iter()
        .map(|info| {
            let name = match info.name.as_str() {
                "model.embed_tokens.weight" => "token_embd.weight".to_owned(),
                "model.norm.weight" => "output_norm.weight".to_owned(),
                "lm_head.weight" => "output.weight".to_owned(),
                name => {
                    let (layer, rest) = name.strip_prefix("model.layers.").unwrap().split_once('.').unwrap();
                    format!("blk.{layer}.{}", layer_name(config.model_type, rest))
                }
            };
            let mut values = file.read_f32(&info.name).unwrap();
            if architecture == "gemma3" && info.name.ends_with("norm.weight") {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            if architecture == "llama" && info.name.contains(".q_proj.") {
                values = interleaved(&values, config.num_attention_heads, *info.shape.get(1).unwrap_or(&1));
            }
            if architecture == "llama" && info.name.contains(".k_proj.") {
                values = interleaved(&values, config.num_key_value_heads, *info.shape.get(1).unwrap_or(&1));
            }
            let dims: Vec<u64> = info.shape.iter().rev().map(|size| *size as u64).collect();
            f32_tensor(&name, &dims, &values)
        })
        .collect();
    let key = |name: &str| -> &'static str { Box::leak(format!("{architecture}.{name}").into_boxed_str()) };
    let mut metadata = vec![
        ("general.architecture", Meta::Str(architecture)),
        (key("block_count"), Meta::U32(config.num_hidden_layers as u32)),
        (key("context_length"), Meta::U32(config.max_position_embeddings as u32)),
        (key("embedding_length"), Meta::U32(config.hidden_size as u32)),
        (key("feed_forward_length"), Meta::U32(config.intermediate_size as u32)),
        (key("attention.head_count"), Meta::U32(config.num_attention_heads as u32)),
        (key("attention.head_count_kv"), Meta::U32(config.num_key_value_heads as u32)),
        (key("attention.key_length"), Meta::U32(config.head_dim as u32)),
        (key("rope.freq_base"), Meta::F32(config.ropes[0].theta as f32)),
        (key("rope.dimension_count"), Meta::U32(config.ropes[0].dim as u32)),
        (key("attention.layer_norm_rms_epsilon"), Meta::F32(config.norm_eps as f32)),
    ];
    for (name, value) in more {
        metadata.push((key(name), value));
    }
    gguf(&metadata, &tensors)
}

fn compare(arch: &str, bytes: Vec<u8>, changes: &[(&str, serde_json::Value)]) {
    let source = GgufModel::open(bytes, "model.gguf").unwrap();
    let mut config = source.hf_config().unwrap();
    for (key, value) in changes {
        config[*key] = value.clone();
    }
    let config = ModelConfig::from_json(&config.to_string(), "config.json").unwrap();
    let text = std::fs::read_to_string(fixture(arch).join("config.json")).unwrap();
    let original = ModelConfig::from_json(&text, "config.json").unwrap();
    assert_eq!(config.model_type, original.model_type);
    let model = Model::load(config, &source, &Device::flex(), Storage::SINGLE, &mut |_| {}).unwrap();
    let reference = fixture(arch).join("ref.safetensors");
    let rows = lorelei_data::one_per_row(examples(&reference));
    let batch = lorelei_data::collate(&rows.iter().collect::<Vec<_>>(), 0);
    let hidden = model.hidden_states(&tokens(&batch), ForwardMode::Evaluation).unwrap();
    let got = model.logits(hidden).into_data().try_into_vec::<f32>().unwrap();
    let want = open(&reference).read_f32("logits").unwrap();
    let vocab = original.vocab_size;
    let kept = |values: &[f32]| -> Vec<f32> {
        let rows = values.chunks(vocab).zip(&batch.segment_ids).filter(|(_, segment)| **segment != 0);
        rows.flat_map(|(row, _)| row.to_vec()).collect()
    };
    assert_close(arch, &kept(&got), &kept(&want), 1e-5);
}

#[test]
fn the_names_and_layouts_of_every_architecture() {
    compare("llama_bias", converted("llama_bias", "llama", Vec::new()), &[]);
    compare("qwen2", converted("qwen2", "qwen2", Vec::new()), &[]);
    compare("qwen3", converted("qwen3", "qwen3", Vec::new()), &[]);
    let gemma = vec![
        ("attention.sliding_window", Meta::U32(8)),
        ("attention.sliding_window_pattern", Meta::U32(2)),
        ("rope.scaling.type", Meta::Str("linear")),
        ("rope.scaling.factor", Meta::F32(8.0)),
    ];
    // llama.cpp scales the scores by the width of a head; the fixture has another scale.
    compare(
        "gemma3_text",
        converted("gemma3_text", "gemma3", gemma),
        &[("query_pre_attn_scalar", 24.into())],
    );
    compare("phi3", converted("phi3", "phi3", vec![("attention.sliding_window", Meta::U32(9))]), &[]);
}

/// Converts the BERT fixture as the converter does, which leaves out the pooler.
fn converted_bert() -> Vec<u8> {
    let file = open(&fixture("bert/model.safetensors"));
    let name = |name: &str| -> Option<String> {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        let whole = match name {
            "embeddings.word_embeddings.weight" => "token_embd.weight",
            "embeddings.position_embeddings.weight" => "position_embd.weight",
            "embeddings.token_type_embeddings.weight" => "token_types.weight",
            "embeddings.LayerNorm.weight" => "token_embd_norm.weight",
            "embeddings.LayerNorm.bias" => "token_embd_norm.bias",
            "classifier.weight" => "cls.output.weight",
            "classifier.bias" => "cls.output.bias",
            pooler if pooler.starts_with("pooler.") => return None,
            _ => "",
        };
        if !whole.is_empty() {
            return Some(whole.to_owned());
        }
        let (layer, rest) = name.strip_prefix("encoder.layer.").unwrap().split_once('.').unwrap();
        let (module, kind) = rest.rsplit_once('.').unwrap();
        let module = match module {
            "attention.self.query" => "attn_q",
            "attention.self.key" => "attn_k",
            "attention.self.value" => "attn_v",
            "attention.output.dense" => "attn_output",
            "attention.output.LayerNorm" => "attn_output_norm",
            "intermediate.dense" => "ffn_up",
            "output.dense" => "ffn_down",
            "output.LayerNorm" => "layer_output_norm",
            other => panic!("{other}"),
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
    };
    let tensors: Vec<Tensor> = file
        .infos()
        .iter()
        .filter_map(|info| {
            let dims: Vec<u64> = info.shape.iter().rev().map(|size| *size as u64).collect();
            Some(f32_tensor(&name(&info.name)?, &dims, &file.read_f32(&info.name).unwrap()))
        })
        .collect();
    let metadata = [
        ("general.architecture", Meta::Str("bert")),
        ("bert.block_count", Meta::U32(2)),
        ("bert.context_length", Meta::U32(128)),
        ("bert.embedding_length", Meta::U32(64)),
        ("bert.feed_forward_length", Meta::U32(128)),
        ("bert.attention.head_count", Meta::U32(4)),
        ("bert.attention.layer_norm_epsilon", Meta::F32(1e-12)),
        ("bert.attention.causal", Meta::Raw(7, vec![0])),
        ("tokenizer.ggml.model", Meta::Str("bert")),
        ("bert.classifier.output_labels", Meta::Strs(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])),
    ];
    gguf(&metadata, &tensors)
}

#[test]
fn a_bert_reads_as_its_safetensors_do_but_for_the_pooler() {
    let source = GgufModel::open(converted_bert(), "bert.gguf").unwrap();
    let config = ModelConfig::from_json(&source.hf_config().unwrap().to_string(), "config.json").unwrap();
    assert_eq!((config.task, config.num_labels), (Task::SequenceClassification, 3));
    let load = |config: &ModelConfig, source: &dyn TensorSource| {
        Model::load(config.clone(), source, &Device::flex(), Storage::SINGLE, &mut |_| {}).unwrap()
    };
    let original = open(&fixture("bert/model.safetensors"));
    let (mut ours, theirs) = (load(&config, &source), load(&config, &original));
    let batch = Tokens::single((0..40).map(|at| (at * 37 + 5) % 512).collect());
    let hidden = |model: &Model| {
        let hidden = model.hidden_states(&batch, ForwardMode::Evaluation).unwrap();
        hidden.into_data().try_into_vec::<f32>().unwrap()
    };
    assert_close("bert", &hidden(&ours), &hidden(&theirs), 1e-6);
    // Modules that the file lacks are trained and saved whole, as the adapter would otherwise fit no other copy of the model.
    assert_eq!(ours.whole_modules(), ["classifier", "score", "pooler"]);
    assert_eq!(theirs.whole_modules(), ["classifier", "score"]);
    ours.inject_lora(
        &LoraConfig::from_peft_json("{\"peft_type\": \"LORA\", \"target_modules\": [\"query\"]}", "a")
            .unwrap()
            .lora,
        0,
    )
    .unwrap();
    let names: Vec<String> = ours.parameter_names().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"bert.pooler.dense.weight".to_owned()), "{names:?}");
}

#[test]
fn an_unknown_architecture_names_the_known_ones() {
    let bytes = gguf(&[("general.architecture", Meta::Str("mamba"))], &[]);
    let error = GgufModel::open(bytes, "model.gguf").unwrap_err().to_string();
    assert!(error.contains("mamba") && error.contains("llama, qwen2, qwen3, gemma3, phi3, bert"), "{error}");
}
