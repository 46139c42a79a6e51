//! Tokenizers as GGUF's keys: the way back from the `tokenizer.json` that a GGUF implies, and what cannot go that way.

mod common;

use std::collections::BTreeMap;

use common::{Meta, gguf, tiny_llama};
use lorelei_formats::ModelSource;
use lorelei_formats::gguf::{GgufArray, GgufValue};
use serde_json::{Value, json};

type Keys = BTreeMap<String, GgufValue>;

/// Opens the tiny Llama with other tokenizer keys.
fn source(keys: &[(&'static str, Meta)]) -> ModelSource {
    let (mut metadata, tensors) = tiny_llama();
    metadata.retain(|(key, _)| !keys.iter().any(|(other, _)| other == key));
    let model = keys.iter().map(|(key, value)| (*key, value.clone()));
    metadata.extend(model);
    ModelSource::from_gguf(gguf(&metadata, &tensors), "tiny.gguf").unwrap()
}

fn own(source: &ModelSource) -> Keys {
    source.tensors.gguf_contents().unwrap().metadata().clone()
}

fn written(source: &ModelSource, vocab_size: usize) -> Keys {
    source.gguf_tokenizer(vocab_size).unwrap().into_iter().collect()
}

fn edited(source: &mut ModelSource, edit: impl Fn(&mut Value)) {
    let mut tokenizer: Value = serde_json::from_slice(source.tokenizer.as_deref().unwrap()).unwrap();
    edit(&mut tokenizer);
    source.tokenizer = Some(tokenizer.to_string().into_bytes());
}

#[test]
fn byte_level_bpe_goes_there_and_back() {
    for pre in
        ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "qwen35", "deepseek-llm", "deepseek-coder"]
    {
        for add_bos in [false, true] {
            let keys = [
                ("tokenizer.ggml.pre", Meta::Str(pre)),
                ("tokenizer.ggml.add_bos_token", Meta::Bool(add_bos)),
            ];
            let source = source(&keys);
            let (own, written) = (own(&source), written(&source, 8));
            for (key, value) in own.iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
                assert_eq!(written.get(key), Some(value), "{pre} {key}");
            }
            assert_eq!(written["tokenizer.ggml.add_eos_token"], GgufValue::Bool(false));
        }
    }
}

#[test]
fn ids_without_a_token_are_unused_and_markers_are_control() {
    let mut source = source(&[]);
    edited(&mut source, |tokenizer| {
        tokenizer["added_tokens"][0]["special"] = json!(false);
        tokenizer["pre_tokenizer"]["pretokenizers"][1]["trim_offsets"] = json!(false);
    });
    let keys = written(&source, 10);
    let GgufValue::Array(GgufArray::String(tokens)) = &keys["tokenizer.ggml.tokens"] else { panic!() };
    assert_eq!(tokens[7..], ["<think>", "[PAD8]", "[PAD9]"]);
    let types = GgufArray::I32(vec![3, 3, 3, 1, 1, 1, 1, 4, 5, 5]);
    assert_eq!(keys["tokenizer.ggml.token_type"], GgufValue::Array(types));
    let error = source.gguf_tokenizer(7).unwrap_err().to_string();
    assert!(error.contains("\"<think>\" has id 7, and the model 7"), "{error}");
}

/// A SentencePiece vocabulary.
fn sentence_piece(prefix: bool) -> ModelSource {
    let tokens = ["<unk>", "<s>", "</s>", "<0x21>", "▁", "a", "b", "ab", "▁ab", "<▁x>"];
    source(&[
        ("tokenizer.ggml.model", Meta::Str("llama")),
        ("tokenizer.ggml.pre", Meta::Str("default")),
        ("tokenizer.ggml.tokens", Meta::Strs(tokens.map(str::to_owned).to_vec())),
        (
            "tokenizer.ggml.scores",
            Meta::F32s(vec![0.0, 0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -2.0, -1.0, -1000.0]),
        ),
        ("tokenizer.ggml.token_type", Meta::I32s(vec![2, 3, 3, 6, 1, 1, 1, 1, 1, 4])),
        ("tokenizer.ggml.add_bos_token", Meta::Bool(true)),
        ("tokenizer.ggml.add_space_prefix", Meta::Bool(prefix)),
    ])
}

#[test]
fn sentence_piece_goes_there_and_back() {
    for prefix in [true, false] {
        let source = sentence_piece(prefix);
        let (own, mut written) = (own(&source), written(&source, 10));
        let GgufValue::Array(GgufArray::F32(scores)) = &written["tokenizer.ggml.scores"] else { panic!() };
        // The order is that of the merges; letters come last.
        assert_eq!(scores[4..], [-6.0, -7.0, -8.0, -1.0, 0.0, -1000.0]);
        written.remove("tokenizer.ggml.scores");
        for (key, value) in &written {
            let tokens = own.get(key).unwrap_or(&GgufValue::Bool(false));
            match key.as_str() {
                "tokenizer.ggml.tokens" => {
                    let GgufValue::Array(GgufArray::String(texts)) = value else { panic!() };
                    assert_eq!(texts[..9], tokens.as_strings().unwrap()[..9]);
                    assert_eq!(texts[9], "< x>");
                }
                _ => assert_eq!(value, tokens, "{key}"),
            }
        }
    }
}

#[test]
fn what_gguf_cannot_say_is_refused_with_the_way_out() {
    type Edit = fn(&mut Value);
    let byte_level: [(Edit, &str); 7] = [
        (|t| t["model"]["type"] = json!("Unigram"), "\"model.type\": tokenizers of kind \"Unigram\""),
        (|t| t["normalizer"] = json!({"type": "Lowercase"}), "normalizer"),
        (|t| t["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = json!(true), "pre_tokenizer"),
        (|t| t["model"]["ignore_merges"] = json!(true), "pre_tokenizer"),
        (|t| t["model"]["merges"] = json!(["ab"]), "merge 0 is not two pieces"),
        (|t| t["post_processor"] = json!({"type": "BertProcessing"}), "post_processor"),
        (
            |t| {
                let token = json!({"SpecialToken": {"id": "a", "type_id": 0}});
                let text = json!({"Sequence": {"id": "A", "type_id": 0}});
                t["post_processor"] = json!({"type": "TemplateProcessing", "single": [token, text]});
            },
            "token 3 begins every text, and it is not the bos_token",
        ),
    ];
    for (edit, words) in byte_level {
        let mut source = source(&[]);
        edited(&mut source, edit);
        let error = source.gguf_tokenizer(8).unwrap_err().to_string();
        assert!(error.starts_with("tokenizer.json") && error.contains(words), "{words}: {error}");
    }
    let pieces: [(Edit, &str); 5] = [
        (|t| t["normalizer"] = json!(null), "spaces are not written as ▁"),
        (|t| t["normalizer"]["normalizers"][0] = json!({"type": "NFKC"}), "more than to write spaces"),
        (|t| t["model"]["merges"] = json!([["a", "b"]]), "1 merges and 2, the first other one at 1"),
        (|t| t["model"]["merges"] = json!([["a", "a"], ["a", "b"]]), "merge 0 makes \"aa\", no token"),
        (
            |t| t["model"]["merges"] = json!([["a", "b"], ["▁", "ab"], ["a", "b"]]),
            "3 merges and 2, the first other one at",
        ),
    ];
    for (edit, words) in pieces {
        let mut source = sentence_piece(true);
        edited(&mut source, edit);
        let error = source.gguf_tokenizer(10).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut none = source(&[]);
    none.tokenizer = None;
    assert!(
        none.gguf_tokenizer(8).unwrap_err().to_string().contains("give a base model with a tokenizer.json")
    );
}

#[test]
fn templates_keep_their_names() {
    let named = Meta::Str("T");
    let names = Meta::Strs(vec!["tool_use".to_owned()]);
    let source = source(&[("tokenizer.chat_template.tool_use", named), ("tokenizer.chat_templates", names)]);
    let (own, written) = (own(&source), written(&source, 8));
    for key in ["tokenizer.chat_template", "tokenizer.chat_template.tool_use", "tokenizer.chat_templates"] {
        assert_eq!(written.get(key), own.get(key), "{key}");
    }
}

#[test]
#[ignore = "needs SmolLM2-135M: cargo xtask test --full"]
fn smollm2s_keys_are_the_files() {
    let path = std::env::var_os("LORELEI_SMOLLM2").expect("LORELEI_SMOLLM2 names a file");
    let source = ModelSource::from_gguf(std::fs::File::open(path).unwrap(), "SmolLM2").unwrap();
    let (own, written) = (own(&source), written(&source, 49_152));
    // SentencePiece's alone has a meaning.
    let is_one = |key: &str| key.starts_with("tokenizer.") && key != "tokenizer.ggml.add_space_prefix";
    let keys: Vec<_> = own.iter().filter(|(key, _)| is_one(key)).collect();
    assert!(keys.len() > 8);
    for (key, value) in keys {
        assert!(written.get(key) == Some(value), "{key}");
    }
}
