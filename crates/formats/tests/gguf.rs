//! GGUF files created here: layouts, config, tokenizer, hostile headers, damage.

mod common;

use std::time::Instant;

use common::{Meta, Tensor, f32_tensor, gguf, tiny_llama};
use lorelei_formats::config::ModelConfig;
use lorelei_formats::gguf::{GgmlType, Gguf, GgufArray, GgufModel, GgufValue};
use lorelei_formats::{Dtype, ErrorKind, ModelSource, Place, StoredDtype, TensorSource};
use proptest::prelude::*;
use serde_json::json;
use tokenizers::Tokenizer;

fn tiny() -> Vec<u8> {
    let (metadata, tensors) = tiny_llama();
    gguf(&metadata, &tensors)
}

fn open(bytes: Vec<u8>) -> GgufModel<Vec<u8>> {
    GgufModel::open(bytes, "tiny.gguf").unwrap()
}

/// Returns the tiny Llama with a metadata entry changed or added.
fn tiny_with(key: &'static str, value: Meta) -> Vec<u8> {
    let (mut metadata, tensors) = tiny_llama();
    metadata.retain(|(k, _)| *k != key);
    metadata.push((key, value));
    gguf(&metadata, &tensors)
}

#[test]
fn names_shapes_and_rows_are_hugging_faces() {
    let model = open(tiny());
    assert_eq!(model.infos().len(), 11);
    let gate = model.info("model.layers.0.mlp.gate_proj.weight").unwrap();
    assert_eq!((&gate.shape[..], gate.dtype), (&[16, 8][..], StoredDtype::Plain(Dtype::F32)));

    let rows =
        |name: &str| -> Vec<f32> { model.read_f32(name).unwrap().chunks(8).map(|row| row[0]).collect() };
    // Two heads of four rows: the first halves of the pairs, then the second.
    assert_eq!(rows("model.layers.0.self_attn.q_proj.weight"), [0., 2., 1., 3., 4., 6., 5., 7.]);
    assert_eq!(rows("model.layers.0.self_attn.k_proj.weight"), [0., 2., 1., 3.]);
    assert_eq!(rows("model.layers.0.self_attn.v_proj.weight"), [0., 1., 2., 3.]);
    assert_eq!(rows("model.embed_tokens.weight"), [0., 1., 2., 3., 4., 5., 6., 7.]);
    assert!(model.read_i64("model.norm.weight").is_err());
    assert_eq!(model.read_f32("lm_head.weight").unwrap_err().kind, ErrorKind::Missing);
}

#[test]
fn biases_of_interleaved_rows_are_put_right_too_but_not_qwen2s() {
    let bias = |architecture| {
        let (mut metadata, mut tensors) = tiny_llama();
        for (key, _) in &mut metadata {
            if let Some(rest) = key.strip_prefix("llama.") {
                *key = format!("{architecture}.{rest}").leak();
            }
        }
        metadata[0].1 = Meta::Str(architecture);
        tensors.push(f32_tensor("blk.0.attn_q.bias", &[8], &[0., 1., 2., 3., 4., 5., 6., 7.]));
        let model = open(gguf(&metadata, &tensors));
        (model.read_f32("model.layers.0.self_attn.q_proj.bias").unwrap(), model.hf_config().unwrap())
    };
    let (llama, config) = bias("llama");
    assert_eq!(llama, [0., 2., 1., 3., 4., 6., 5., 7.]);
    assert_eq!(config["attention_bias"], true);
    let (qwen2, config) = bias("qwen2");
    assert_eq!(qwen2, [0., 1., 2., 3., 4., 5., 6., 7.]);
    assert_eq!(config["model_type"], "qwen2");
}

#[test]
fn quantised_rows_are_put_right_too() {
    let (mut metadata, mut tensors) = tiny_llama();
    metadata.retain(|(key, _)| *key != "llama.embedding_length");
    metadata.push(("llama.embedding_length", Meta::U32(32)));
    // Q8_0: one block a row, d = 1, every value the row's number.
    let data = (0..8u8).flat_map(|row| [0x00, 0x3C].into_iter().chain([row; 32])).collect();
    tensors[1] = Tensor { name: "blk.0.attn_q.weight".to_owned(), dims: vec![32, 8], kind: 8, data };
    let model = open(gguf(&metadata, &tensors));
    let info = model.info("model.layers.0.self_attn.q_proj.weight").unwrap();
    assert_eq!((&info.shape[..], info.dtype), (&[8, 32][..], StoredDtype::Blocks(GgmlType::Q8_0)));
    let values = model.read_f32("model.layers.0.self_attn.q_proj.weight").unwrap();
    for (row, expected) in values.chunks(32).zip([0., 2., 1., 3., 4., 6., 5., 7.]) {
        assert_eq!(row, [expected; 32]);
    }
}

#[test]
fn the_config_is_the_hubs() {
    let model = open(tiny());
    let config = model.hf_config().unwrap();
    assert_eq!(
        config,
        json!({
            "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
            "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 8,
            "intermediate_size": 16, "max_position_embeddings": 64, "mlp_bias": false, "model_type": "llama",
            "num_attention_heads": 2, "num_hidden_layers": 1, "num_key_value_heads": 1, "pad_token_id": 2,
            "rms_norm_eps": 1e-5, "rope_scaling": null, "rope_theta": 100000.0, "tie_word_embeddings": true,
            "torch_dtype": "float32", "use_cache": true, "vocab_size": 8,
        })
    );
    let parsed = ModelConfig::from_json(&config.to_string(), "config.json").unwrap();
    for (name, shape) in parsed.expected_tensors() {
        assert_eq!(model.info(&name).unwrap().shape, shape, "{name}");
    }
}

#[test]
fn rotary_scaling_is_recovered() {
    let linear = |kind| {
        let (mut metadata, tensors) = tiny_llama();
        metadata.push(("llama.rope.scaling.type", Meta::Str(kind)));
        metadata.push(("llama.rope.scaling.factor", Meta::F32(4.0)));
        open(gguf(&metadata, &tensors)).hf_config()
    };
    assert_eq!(linear("linear").unwrap()["rope_scaling"]["factor"], 4.0);
    assert!(linear("none").unwrap()["rope_scaling"].is_null());
    assert!(linear("yarn").unwrap_err().to_string().contains("yarn"));

    // Heads of four: a fast frequency that is kept, a slow one (2 pi * 316 tokens) that is blended.
    let llama3 = |divisors: [f32; 2]| {
        let (metadata, mut tensors) = tiny_llama();
        tensors.push(f32_tensor("rope_freqs.weight", &[2], &divisors));
        open(gguf(&metadata, &tensors)).hf_config()
    };
    assert!(llama3([1.0, 1.0]).unwrap()["rope_scaling"].is_null());
    assert!(llama3([1.0, 3.0]).is_err());
    let (mut metadata, mut tensors) = tiny_llama();
    metadata.push(("llama.rope.scaling.original_context_length", Meta::U32(64)));
    tensors.push(f32_tensor("rope_freqs.weight", &[2], &[1.0, 32.0]));
    let config = open(gguf(&metadata, &tensors)).hf_config().unwrap();
    assert_eq!(config["rope_scaling"]["rope_type"], "llama3");
    assert_eq!(config["rope_scaling"]["factor"], 32.0);
    assert!(ModelConfig::from_json(&config.to_string(), "c").is_ok());
}

#[test]
fn the_tokenizer_encodes_and_decodes() {
    let (tokenizer, config) = open(tiny()).hf_tokenizer().unwrap();
    assert_eq!(tokenizer["post_processor"], json!(null));
    assert_eq!(config["bos_token"], "<|im_start|>");
    assert_eq!(config["unk_token"], "<|endoftext|>");
    assert_eq!(config["add_bos_token"], false);
    assert_eq!(config["chat_template"], "{{ messages }}");
    assert_eq!(config["model_max_length"], 64);
    let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
    let ids = tokenizer.encode("<|im_start|>ab a<think><|im_end|>", true).unwrap();
    assert_eq!(ids.get_ids(), [1, 5, 6, 3, 7, 2]);
    assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), "ab a<think>");
}

#[test]
fn named_chat_templates_are_a_list_as_in_a_folder() {
    let with = |entries: &[(&'static str, Meta)]| {
        let (mut metadata, tensors) = tiny_llama();
        metadata.retain(|(key, _)| *key != "tokenizer.chat_template");
        metadata.extend(entries.iter().cloned());
        open(gguf(&metadata, &tensors)).hf_tokenizer().unwrap().1["chat_template"].clone()
    };
    let default = ("tokenizer.chat_template", Meta::Str("D"));
    let tools = ("tokenizer.chat_template.tool_use", Meta::Str("T"));
    let names = ("tokenizer.chat_templates", Meta::Strs(vec!["tool_use".to_owned()]));
    let named = |name: &str, template: &str| json!({ "name": name, "template": template });
    assert_eq!(
        with(&[default.clone(), tools.clone(), names]),
        json!([named("default", "D"), named("tool_use", "T")])
    );
    assert_eq!(with(&[tools]), json!([named("tool_use", "T")]));
    assert_eq!(with(&[default]), "D");
    assert_eq!(with(&[]), json!(null));
    let wrong = open(tiny_with("tokenizer.chat_template.rag", Meta::U32(1))).hf_tokenizer().unwrap_err();
    assert!(wrong.to_string().contains("tokenizer.chat_template.rag"), "{wrong}");
}

#[test]
fn the_tokens_that_end_an_answer() {
    let ends = |entries: &[(&'static str, Meta)]| {
        let (mut metadata, tensors) = tiny_llama();
        metadata.retain(|(key, _)| entries.iter().all(|(changed, _)| key != changed));
        metadata.extend(entries.iter().cloned());
        open(gguf(&metadata, &tensors)).hf_generation_config().unwrap()["eos_token_id"].clone()
    };
    let ordinary = ("tokenizer.ggml.token_type", Meta::I32s(vec![1; 8]));
    // <|endoftext|> is a marker that ends an answer in any model of llama.cpp.
    assert_eq!(ends(&[]), json!([2, 0]));
    assert_eq!(ends(std::slice::from_ref(&ordinary)), json!([2]));
    let id = |which: &'static str, id: u32| (which, Meta::U32(id));
    let named = [
        id("tokenizer.ggml.eos_token_id", 0),
        id("tokenizer.ggml.eot_token_id", 2),
        id("tokenizer.ggml.eom_token_id", 7),
        ordinary,
    ];
    assert_eq!(ends(&named), json!([0, 2, 7]));
    let tokens = ["<|return|>", "<|call|>", "<|end|>", "a", "b", "ab", "Ġ", "<think>"];
    let harmony = ("tokenizer.ggml.tokens", Meta::Strs(tokens.map(str::to_owned).to_vec()));
    assert_eq!(ends(&[harmony, id("tokenizer.ggml.eos_token_id", 0)]), json!([0, 1]));
    let far =
        open(tiny_with("tokenizer.ggml.eot_token_id", Meta::U32(99))).hf_generation_config().unwrap_err();
    assert!(far.to_string().contains("eot_token_id"), "{far}");
}

#[test]
fn what_ends_an_answer_goes_with_a_converted_model() {
    let source = ModelSource::from_gguf(tiny(), "tiny.gguf").unwrap();
    let files = source.companions("float32").unwrap();
    let file = |files: &[(String, Vec<u8>)], name: &str| -> serde_json::Value {
        let (_, bytes) = files.iter().find(|(file, _)| file == name).unwrap();
        serde_json::from_slice(bytes).unwrap()
    };
    assert_eq!(file(&files, "generation_config.json")["eos_token_id"], json!([2, 0]));
    // Templates that have files of their own stand in the config where one of them is for tools.
    let source = ModelSource {
        special_tokens_map: Some("{\"eos_token\": \"<|im_end|>\"}".into()),
        chat_template: Some("D".into()),
        tool_use_template: Some("T".into()),
        ..source
    };
    let files = source.companions("float32").unwrap();
    let templates = &file(&files, "tokenizer_config.json")["chat_template"];
    let named = |name: &str, template: &str| json!({ "name": name, "template": template });
    assert_eq!(*templates, json!([named("default", "D"), named("tool_use", "T")]));
    assert_eq!(file(&files, "special_tokens_map.json")["eos_token"], "<|im_end|>");
    assert!(files.iter().all(|(name, _)| name != "chat_template.jinja"));
}

#[test]
fn the_begin_token_comes_first_where_the_file_wants_it() {
    let model = open(tiny_with("tokenizer.ggml.add_bos_token", Meta::Bool(true)));
    let (tokenizer, config) = model.hf_tokenizer().unwrap();
    assert_eq!(config["add_bos_token"], true);
    let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
    assert_eq!(tokenizer.encode("ab", true).unwrap().get_ids(), [1, 5]);
    assert_eq!(tokenizer.encode("ab", false).unwrap().get_ids(), [5]);
    assert_eq!(tokenizer.encode(("ab", "a"), true).unwrap().get_ids(), [1, 5, 1, 3]);
}

#[test]
fn a_sentence_piece_vocabulary_becomes_a_bpe() {
    let (mut metadata, tensors) = tiny_llama();
    metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    let tokens = ["<unk>", "<s>", "</s>", "<0x21>", "▁", "a", "b", "ab", "▁ab"];
    let scores = vec![0.0, 0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -2.0, -1.0];
    metadata.extend([
        ("tokenizer.ggml.model", Meta::Str("llama")),
        ("tokenizer.ggml.tokens", Meta::Strs(tokens.map(str::to_owned).to_vec())),
        ("tokenizer.ggml.scores", Meta::F32s(scores)),
        ("tokenizer.ggml.token_type", Meta::I32s(vec![2, 3, 3, 6, 1, 1, 1, 1, 1])),
        ("tokenizer.ggml.bos_token_id", Meta::U32(1)),
        ("tokenizer.ggml.eos_token_id", Meta::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Meta::U32(0)),
    ]);
    let (tokenizer, config) = open(gguf(&metadata, &tensors)).hf_tokenizer().unwrap();
    assert_eq!(config["add_bos_token"], true);
    let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
    let ids = tokenizer.encode("ab a!", true).unwrap();
    assert_eq!(ids.get_ids(), [1, 8, 4, 5, 3]);
    assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), "ab a!");
}

#[test]
fn a_bert_vocabulary_becomes_word_pieces() {
    let (mut metadata, tensors) = tiny_llama();
    metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    let of = |tokens: [&str; 8], metadata: &[(&'static str, Meta)]| {
        let more = [
            ("tokenizer.ggml.model", Meta::Str("bert")),
            ("tokenizer.ggml.tokens", Meta::Strs(tokens.map(str::to_owned).to_vec())),
            ("tokenizer.ggml.token_type", Meta::I32s(vec![3, 3, 3, 3, 1, 1, 1, 1])),
            ("tokenizer.ggml.unknown_token_id", Meta::U32(1)),
            ("tokenizer.ggml.seperator_token_id", Meta::U32(3)),
        ];
        let metadata: Vec<_> = metadata.iter().cloned().chain(more).collect();
        let (tokenizer, config) = open(gguf(&metadata, &tensors)).hf_tokenizer().unwrap();
        assert_eq!((&config["cls_token"], &config["sep_token"]), (&"[CLS]".into(), &"[SEP]".into()));
        Tokenizer::from_bytes(tokenizer.to_string()).unwrap()
    };
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let [pad, unk, cls, sep] = special;
    let small = of([pad, unk, cls, sep, "\u{2581}play", "ing", "\u{2581}!", "\u{2581}e"], &metadata);
    let pair = small.encode(("Playing É!", "play x"), true).unwrap();
    assert_eq!(pair.get_ids(), [2, 4, 5, 7, 6, 3, 4, 1, 3]);
    assert_eq!(pair.get_type_ids(), [0, 0, 0, 0, 0, 0, 1, 1, 1]);
    assert_eq!(small.decode(pair.get_ids(), true).unwrap(), "playing e! play");
    // If the words have capitals, they are distinguished.
    let large = of([pad, unk, cls, sep, "\u{2581}Play", "ing", "\u{2581}!", "\u{2581}e"], &metadata);
    assert_eq!(large.encode("Playing playing", false).unwrap().get_ids(), [4, 5, 1]);
}

#[test]
fn tokenizers_that_cannot_be_made_say_why() {
    for (key, value, words) in [
        ("tokenizer.ggml.pre", Meta::Str("tekken"), ["tokenizer.ggml.pre", "tekken"]),
        ("tokenizer.ggml.model", Meta::Str("rwkv"), ["tokenizer.ggml.model", "rwkv"]),
        ("tokenizer.ggml.model", Meta::Str("llama"), ["tokenizer.ggml.scores", "lacks"]),
        ("tokenizer.ggml.tokens", Meta::U32(1), ["tokenizer.ggml.tokens", "no list of texts"]),
        ("tokenizer.ggml.token_type", Meta::I32s(vec![1]), ["token_type", "1 types for 8 tokens"]),
        ("tokenizer.ggml.bos_token_id", Meta::U32(8), ["bos_token_id", "no token 8"]),
        ("tokenizer.ggml.merges", Meta::Strs(vec!["ab".to_owned()]), ["merges", "not two pieces"]),
    ] {
        let error = open(tiny_with(key, value)).hf_tokenizer().unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
}

#[test]
fn metadata_of_every_type_is_read() {
    let mut nested = 9u32.to_le_bytes().to_vec(); // an array of arrays: [[1, 2], []]
    nested.extend(2u64.to_le_bytes());
    nested.extend(0u32.to_le_bytes());
    nested.extend(2u64.to_le_bytes());
    nested.extend([1, 2]);
    nested.extend(12u32.to_le_bytes());
    nested.extend(0u64.to_le_bytes());
    let metadata = [
        ("u8", Meta::Raw(0, vec![200])),
        ("i8", Meta::Raw(1, vec![200])),
        ("u16", Meta::Raw(2, 60000u16.to_le_bytes().to_vec())),
        ("i16", Meta::Raw(3, (-5i16).to_le_bytes().to_vec())),
        ("i32", Meta::Raw(5, (-6i32).to_le_bytes().to_vec())),
        ("u64", Meta::Raw(10, u64::MAX.to_le_bytes().to_vec())),
        ("i64", Meta::Raw(11, i64::MIN.to_le_bytes().to_vec())),
        ("f64", Meta::Raw(12, 0.1f64.to_le_bytes().to_vec())),
        ("nested", Meta::Raw(9, nested)),
    ];
    let file = Gguf::open(gguf(&metadata, &[]), "m").unwrap();
    let get = |key: &str| &file.metadata()[key];
    assert_eq!(*get("u8"), GgufValue::U8(200));
    assert_eq!(*get("i8"), GgufValue::I8(-56));
    assert_eq!(get("u16").as_u64(), Some(60000));
    assert_eq!(get("i16").as_u64(), None);
    assert_eq!(*get("i32"), GgufValue::I32(-6));
    assert_eq!(get("u64").as_u64(), Some(u64::MAX));
    assert_eq!(*get("i64"), GgufValue::I64(i64::MIN));
    assert_eq!(get("f64").as_f64(), Some(0.1));
    let arrays = vec![GgufArray::U8(vec![1, 2]), GgufArray::F64(vec![])];
    assert_eq!(*get("nested"), GgufValue::Array(GgufArray::Array(arrays)));
    assert_eq!(file.version(), 3);
}

#[test]
fn hostile_files_are_refused_where_they_lie() {
    let array = |kind: u32, count: u64| {
        Meta::Raw(9, kind.to_le_bytes().into_iter().chain(count.to_le_bytes()).collect())
    };
    let deep = || {
        let level = 9u32.to_le_bytes().into_iter().chain(1u64.to_le_bytes());
        Meta::Raw(9, std::iter::repeat_n(level, 1000).flatten().collect())
    };
    let tensor = |dims: &[u64], kind: u32| {
        gguf(&[], &[Tensor { name: "t".to_owned(), dims: dims.to_vec(), kind, data: vec![0; 32] }])
    };
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = tiny();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let huge = (1u64 << 60).to_le_bytes();
    let mut unaligned = tensor(&[8], 0);
    let offset_at = 24 + 8 + 1 + 4 + 8 + 4; // header; name "t"; dimension count, dimension; type
    unaligned[offset_at] = 1;
    let mut far = tensor(&[8], 0);
    far[offset_at..offset_at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let mut beyond = tensor(&[8], 0);
    beyond[offset_at..offset_at + 8].copy_from_slice(&(u64::MAX - 31).to_le_bytes());

    for (bytes, word) in [
        (vec![], "no GGUF file"),
        (b"GGU".to_vec(), "no GGUF file"),
        (b"GGML12345678901234567890".to_vec(), "no GGUF file"),
        (b"GGUF".to_vec(), "announced"),
        (patched(4, &1u32.to_le_bytes()), "version is 1"),
        (patched(4, &3u32.to_be_bytes()), "big endian"),
        (patched(8, &huge), "1152921504606846976 tensors are announced"),
        (patched(16, &huge), "1152921504606846976 metadata entries are announced"),
        (patched(24, &huge), "1152921504606846976 bytes are announced"),
        (patched(24, &u64::MAX.to_le_bytes()), "announced"),
        (patched(32, &[0xFF]), "not UTF-8"),
        (gguf(&[("a", Meta::Raw(13, vec![0]))], &[]), "type 13, which does not exist"),
        (gguf(&[("a", array(0, 1 << 60))], &[]), "announced"),
        (gguf(&[("a", array(8, 1 << 60))], &[]), "announced"),
        (gguf(&[("a", array(9, 1 << 60))], &[]), "announced"),
        (gguf(&[("a", array(12, u64::MAX))], &[]), "announced"),
        (gguf(&[("a", array(77, 0))], &[]), "type 77"),
        (gguf(&[("a", deep())], &[]), "deep"),
        (gguf(&[("a", Meta::U32(1)), ("a", Meta::U32(1))], &[]), "there twice"),
        (gguf(&[("general.alignment", Meta::U32(0))], &[]), "alignment"),
        (gguf(&[("general.alignment", Meta::U32(33))], &[]), "alignment"),
        (gguf(&[("general.alignment", Meta::U32(1 << 31))], &[]), "alignment"),
        (tensor(&[1; 5], 0), "5 dimensions"),
        (tensor(&[8], 39), "MXFP4"),
        (tensor(&[8], 1000), "type 1000"),
        (tensor(&[8], 2), "Q4_0 blocks of 32"),
        (tensor(&[1 << 40, 1 << 40], 0), "too large"),
        (tensor(&[u64::MAX], 28), "too large"),
        (tensor(&[1 << 40], 0), "past the file's"),
        (tensor(&[0, 1 << 63, 1 << 63], 0), ""),
        (unaligned, "no multiple of the alignment"),
        (far, "past the file's"),
        (beyond, "past the file's"),
        (gguf(&[], &[f32_tensor("t", &[1], &[1.]), f32_tensor("t", &[1], &[1.])]), "listed twice"),
    ] {
        match Gguf::open(bytes, "m.gguf") {
            Ok(_) => assert_eq!(word, ""),
            Err(error) => assert!(error.to_string().contains(word), "{word}: {error}"),
        }
    }
}

#[test]
fn models_that_are_not_understood_are_refused() {
    let error = |bytes| GgufModel::open(bytes, "m.gguf").map(|_| ()).unwrap_err();
    let unknown = error(tiny_with("general.architecture", Meta::Str("mamba")));
    assert!(unknown.to_string().contains("mamba"), "{unknown}");
    assert!(error(gguf(&[], &[])).to_string().contains("general.architecture"));

    let (metadata, mut tensors) = tiny_llama();
    tensors.push(f32_tensor("blk.0.ffn_gate_inp.weight", &[1], &[1.0]));
    let experts = error(gguf(&metadata, &tensors));
    assert_eq!(experts.place, Place::Tensor("blk.0.ffn_gate_inp.weight".to_owned()));

    for heads in [0, 3, 8, u32::MAX] {
        let odd = error(tiny_with("llama.attention.head_count", Meta::U32(heads)));
        assert!(odd.to_string().contains("heads of an even size"), "{odd}");
    }
    let scalar = {
        let (metadata, mut tensors) = tiny_llama();
        tensors[1] = f32_tensor("blk.0.attn_q.weight", &[], &[1.0]);
        error(gguf(&metadata, &tensors))
    };
    assert!(scalar.to_string().contains("heads of an even size"));

    for (key, value) in [
        ("llama.expert_count", Meta::U32(8)),
        ("llama.rope.dimension_count", Meta::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::U32(1)),
    ] {
        // Half-rotated heads, with a head size given too.
        let (mut metadata, tensors) = tiny_llama();
        metadata.retain(|(k, _)| *k != key);
        metadata.push((key, value));
        metadata.push(("llama.attention.key_length", Meta::U32(4)));
        let error = open(gguf(&metadata, &tensors)).hf_config().unwrap_err();
        assert_eq!(error.place, Place::Key(key.to_owned()));
    }
}

#[test]
fn stored_bytes_can_be_had_as_they_are() {
    let model = open(tiny());
    let tensor = model.gguf().tensor("token_embd.weight").unwrap();
    let mut bytes = [0; 8];
    model.gguf().read_stored(tensor, 32, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 128, 63, 0, 0, 128, 63]);
    assert!(model.gguf().read_stored(tensor, tensor.byte_len - 7, &mut bytes).is_err());
    assert!(model.gguf().read_stored(tensor, u64::MAX, &mut bytes).is_err());
}

/// Calls every reading function of a file, to check that none panics.
fn probe(bytes: Vec<u8>) {
    let Ok(file) = Gguf::open(bytes, "mutant.gguf") else {
        return;
    };
    let _ = file.hf_tokenizer();
    let names: Vec<_> = file.tensors().iter().map(|tensor| tensor.name.clone()).collect();
    for name in names {
        let _ = file.read_f32(&name);
    }
    let Ok(model) = GgufModel::new(file) else {
        return;
    };
    if let Ok(config) = model.hf_config() {
        let _ = ModelConfig::from_json(&config.to_string(), "config.json");
    }
    for info in model.infos() {
        let _ = model.read_f32(&info.name);
        let _ = model.read_i64(&info.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_truncation_is_a_file(cut in any::<prop::sample::Index>()) {
        let bytes = tiny();
        let cut = cut.index(bytes.len());
        prop_assert!(Gguf::open(bytes[..cut].to_vec(), "cut.gguf").is_err());
    }

    #[test]
    fn no_mutation_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = tiny();
        for (at, byte) in edits {
            // Most of the file is weights; damage to the header matters more.
            let at = at.index(1900);
            bytes[at] = byte;
        }
        probe(bytes);
    }

    #[test]
    fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..200), counts in any::<[u8; 2]>()) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        for count in counts {
            bytes.extend(u64::from(count % 4).to_le_bytes());
        }
        bytes.extend(tail);
        probe(bytes);
    }
}

/// Returns a file whose tensors begin at `offsets` of its data, which has `room` bytes.
fn placed(tensors: &[(&str, u64, u64)], room: usize) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    for (name, values, offset) in tensors {
        common::text(&mut bytes, name);
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(values.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32) + room, 0);
    bytes
}

#[test]
fn tensors_that_share_bytes_are_refused_with_both_names() {
    assert!(Gguf::open(placed(&[("a", 8, 32), ("b", 8, 0), ("c", 1, 64)], 68), "m").is_ok());
    // On the same bytes, inside another, over its end, and in either order of the table.
    for tensors in [
        [("first", 8, 0), ("second", 8, 0)],
        [("first", 64, 0), ("second", 1, 32)],
        [("first", 16, 0), ("second", 16, 32)],
        [("second", 16, 32), ("first", 16, 0)],
        [("second", 64, 0), ("first", 64, 0)],
    ] {
        let error = Gguf::open(placed(&tensors, 256), "m.gguf").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        let error = error.to_string();
        assert!(["m.gguf", "\"first\"", "\"second\""].iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_tensor_without_values_is_refused() {
    // With a size of 0, the other could be anything, and is not.
    for dims in [[0u64, 1 << 62], [1 << 62, 0], [0, 0]] {
        for kind in [0, 8] {
            let tensor =
                Tensor { name: "blk.0.attn_q.weight".to_owned(), dims: dims.to_vec(), kind, data: vec![] };
            let (metadata, _) = tiny_llama();
            let error = Gguf::open(gguf(&metadata, &[tensor]), "m").unwrap_err().to_string();
            assert!(error.contains("attn_q") && error.contains("has no values"), "{error}");
        }
    }
}

#[test]
fn absurd_metadata_is_refused_with_file_key_and_value() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for (key, value, shown) in [
        ("llama.rope.freq_base", Meta::F32(nan), "NaN"),
        ("llama.rope.freq_base", Meta::F32(inf), "inf"),
        ("llama.rope.freq_base", Meta::F32(0.0), "0.0"),
        ("llama.rope.freq_base", Meta::F32(-1.0), "-1.0"),
        ("llama.rope.freq_base", Meta::F32(0.001), "0.001"),
        ("llama.rope.freq_base", Meta::Raw(12, 1e-300f64.to_le_bytes().to_vec()), "1e-300"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(nan), "NaN"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(-1e-5), "-0.00001"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(2.5), "2.5"),
        ("llama.rope.scale_linear", Meta::F32(nan), "NaN"),
        ("llama.block_count", Meta::U32(1_000_000_000), "1000000000"),
        ("llama.block_count", Meta::U32(0), "0"),
        ("llama.embedding_length", Meta::U32(0), "0"),
        ("llama.embedding_length", Meta::Raw(10, u64::MAX.to_le_bytes().to_vec()), "18446744073709551615"),
        ("llama.feed_forward_length", Meta::U32(u32::MAX), "4294967295"),
        ("llama.context_length", Meta::U32(0), "0"),
        ("llama.attention.head_count_kv", Meta::U32(4), "4"),
        (
            "llama.attention.key_length",
            Meta::Raw(10, (1u64 << 63).to_le_bytes().to_vec()),
            "9223372036854775808",
        ),
        (
            "tokenizer.ggml.bos_token_id",
            Meta::Raw(10, u64::MAX.to_le_bytes().to_vec()),
            "18446744073709551615",
        ),
    ] {
        let (mut metadata, tensors) = tiny_llama();
        // Only what is said of the sizes is read; a tensor whose rows do not fit them is refused before.
        let tensors: Vec<_> =
            tensors.into_iter().filter(|tensor| tensor.name == "token_embd.weight").collect();
        metadata.retain(|(known, _)| *known != key && *known != "llama.rope.dimension_count");
        metadata.push((key, value));
        let model = GgufModel::open(gguf(&metadata, &tensors), "m.gguf").unwrap();
        let error = model.hf_config().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("m.gguf: key {key:?}: ")) && error.contains(shown),
            "{key}: {error}"
        );
    }
}

#[test]
fn long_headers_take_time_in_proportion() {
    let names: Vec<String> = (0..100_000).map(|index| format!("t{index}")).collect();
    common::assert_linear("tensors", 100_000, |count| {
        let tensors = names[..count].iter().enumerate();
        let tensors: Vec<_> = tensors.map(|(index, name)| (&name[..], 8, index as u64 * 32)).collect();
        let bytes = placed(&tensors, count * 32);
        let started = Instant::now();
        assert_eq!(Gguf::open(bytes, "m").unwrap().tensors().len(), count);
        started.elapsed()
    });
    common::assert_linear("keys", 100_000, |count| {
        let keys: Vec<(&str, Meta)> = names[..count].iter().map(|name| (&name[..], Meta::U32(1))).collect();
        let bytes = gguf(&keys, &[]);
        let started = Instant::now();
        assert_eq!(Gguf::open(bytes, "m").unwrap().metadata().len(), count);
        started.elapsed()
    });
    common::assert_linear("numbers", 100_000, |count| {
        let bytes = gguf(&[("a", Meta::I32s(vec![1; 20 * count]))], &[]);
        let started = Instant::now();
        assert!(Gguf::open(bytes, "m").is_ok());
        started.elapsed()
    });
}

#[test]
fn a_vocabulary_of_ends_takes_time_in_proportion() {
    // Every token is one that ends an answer, and every one has the same text.
    for text in ["<|im_end|>", "<|end|>"] {
        let model = |count: usize| {
            let (mut metadata, tensors) = tiny_llama();
            metadata
                .retain(|(key, _)| !matches!(*key, "tokenizer.ggml.tokens" | "tokenizer.ggml.token_type"));
            metadata.push(("tokenizer.ggml.tokens", Meta::Strs(vec![text.to_owned(); count])));
            metadata.push(("tokenizer.ggml.token_type", Meta::I32s(vec![3; count])));
            open(gguf(&metadata, &tensors))
        };
        common::assert_linear(text, 100_000, |count| {
            let model = model(count);
            let started = Instant::now();
            let ends = model.hf_generation_config().unwrap()["eos_token_id"].as_array().unwrap().len();
            assert_eq!(ends, count);
            started.elapsed()
        });
        common::assert_linear(text, 20_000, |count| {
            let model = model(count);
            let started = Instant::now();
            model.hf_tokenizer().unwrap();
            started.elapsed()
        });
    }
}
