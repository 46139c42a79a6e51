//! Tests the end token that rows are learnt with, and the ids that end an answer. The end tokens are those of Transformers' `AutoTokenizer`
//! for the same files; those of a model without one are its configuration's.

mod common;

use std::time::{Duration, Instant};

use common::tokenizer_json;
use lorelei_data::{Encoder, Loader, Row, Tokenizer, TokenizerFiles, read_jsonl};
use lorelei_recipe::DataSection;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Special tokens in the vocabulary: `<pad>` 0, `<|im_start|>` 1, `<|im_end|>` 2, `<s>` 3.
fn open(files: &[(&str, &str)]) -> Tokenizer {
    open_with(&tokenizer_json(), files)
}

fn open_with(json: &str, files: &[(&str, &str)]) -> Tokenizer {
    let text = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| *text);
    Tokenizer::open(&TokenizerFiles {
        tokenizer: json.as_bytes(),
        tokenizer_config: text("tokenizer_config.json"),
        special_tokens_map: text("special_tokens_map.json"),
        config: text("config.json"),
        generation_config: text("generation_config.json"),
        ..TokenizerFiles::default()
    })
    .unwrap()
}

/// The tokenizer with other names of its special tokens, by their ids.
fn renamed(names: &[(&str, &str)]) -> String {
    let mut json = tokenizer_json();
    for (from, to) in names {
        json = json.replace(&Value::from(*from).to_string(), &Value::from(*to).to_string());
    }
    json
}

/// The token that a text ends with when it is learnt.
fn end(tokenizer: &Tokenizer) -> Option<String> {
    let ids = Encoder::new(tokenizer, 99).encode(&Row::Text("the".into())).unwrap().input_ids;
    let last = tokenizer.decode(&ids[ids.len() - 1..], false).unwrap();
    (last != "the" && ids.len() > 1).then_some(last).filter(|last| last.starts_with('<'))
}

#[test]
fn the_default_of_the_tokenizer_s_class() {
    let gpt2 = renamed(&[("<pad>", "<|endoftext|>")]);
    let of_class = |class: &str| json!({ "tokenizer_class": class }).to_string();
    let cases = [
        (vec![("config.json", r#"{"model_type": "gpt2"}"#)], Some("<|endoftext|>")),
        (vec![("tokenizer_config.json", of_class("GPT2Tokenizer").leak() as &str)], Some("<|endoftext|>")),
        (
            vec![("tokenizer_config.json", of_class("GPT2TokenizerFast").leak() as &str)],
            Some("<|endoftext|>"),
        ),
        (vec![("config.json", r#"{"model_type": "qwen2"}"#)], Some("<|endoftext|>")),
        (
            vec![("config.json", r#"{"model_type": "x", "tokenizer_class": "GPTNeoXTokenizer"}"#)],
            Some("<|endoftext|>"),
        ),
        // A class whose default is not in the vocabulary, one without a default, and none.
        (vec![("tokenizer_config.json", of_class("LlamaTokenizer").leak() as &str)], None),
        (vec![("tokenizer_config.json", of_class("PreTrainedTokenizerFast").leak() as &str)], None),
        (vec![("config.json", r#"{"model_type": "llama"}"#)], None),
        // What a file says, null too, is no default.
        (
            vec![(
                "tokenizer_config.json",
                r#"{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>"}"#,
            )],
            Some("<|im_end|>"),
        ),
        (vec![("tokenizer_config.json", r#"{"tokenizer_class": "GPT2Tokenizer", "eos_token": null}"#)], None),
    ];
    for (files, expected) in cases {
        let tokenizer = open_with(&gpt2, &files);
        assert_eq!(tokenizer.eos_token(), expected, "{files:?}");
        assert_eq!(end(&tokenizer).as_deref(), expected, "{files:?}");
        assert_eq!(tokenizer.stop_ids().len(), usize::from(expected.is_some()));
    }
    let llama = renamed(&[("<|im_end|>", "</s>")]);
    let tokenizer = open_with(&llama, &[("tokenizer_config.json", &of_class("LlamaTokenizerFast"))]);
    assert_eq!((tokenizer.eos_id(), tokenizer.bos_id()), (Some(2), Some(3)));
}

#[test]
fn special_tokens_map_json() {
    let map = r#"{"bos_token": {"content": "<|im_start|>", "lstrip": false}, "eos_token": "<|im_end|>", "pad_token": "<pad>"}"#;
    let class = r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
    let tokenizer = open(&[("tokenizer_config.json", class), ("special_tokens_map.json", map)]);
    assert_eq!(
        (tokenizer.eos_token(), tokenizer.bos_id(), tokenizer.pad_id()),
        (Some("<|im_end|>"), Some(1), Some(0))
    );
    // It goes before tokenizer_config.json, unless that lists added tokens.
    let other = r#"{"eos_token": "<s>"}"#;
    assert_eq!(open(&[("tokenizer_config.json", other), ("special_tokens_map.json", map)]).eos_id(), Some(2));
    let listed =
        r#"{"eos_token": "<s>", "added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": true}}}"#;
    assert_eq!(
        open(&[("tokenizer_config.json", listed), ("special_tokens_map.json", map)]).eos_id(),
        Some(3)
    );
}

#[test]
fn tokens_that_only_the_config_lists_are_one_token() {
    // The tokenizer's own file lists no added token.
    let mut json: Value = serde_json::from_str(&tokenizer_json()).unwrap();
    json["added_tokens"] = json!([]);
    let bare = json.to_string();
    assert!(open_with(&bare, &[]).encode("the<|im_end|>", false).unwrap().len() > 2);
    let named = open_with(&bare, &[("tokenizer_config.json", r#"{"eos_token": "<|im_end|>"}"#)]);
    assert_eq!(named.encode("the<|im_end|>", false).unwrap().last(), Some(&2));
    let size = named.vocab_size();
    let listed = json!({"eos_token": "<end>", "added_tokens_decoder": {
        (size + 1).to_string(): {"content": "<think>", "special": false},
        size.to_string(): {"content": "<end>", "special": true},
    }});
    let listed = open_with(&bare, &[("tokenizer_config.json", &listed.to_string())]);
    assert_eq!(listed.eos_id(), Some(size as u32));
    assert_eq!(listed.encode("<think><end>", false).unwrap(), [size as u32 + 1, size as u32]);
    assert_eq!(listed.decode(&[size as u32 + 1, size as u32], true).unwrap(), "<think>");
}

#[test]
fn a_tokenizer_without_an_end_token_has_the_model_s() {
    let config = ("config.json", r#"{"model_type": "llama", "eos_token_id": 2}"#);
    let generation = ("generation_config.json", r#"{"eos_token_id": [3, 2]}"#);
    assert_eq!(end(&open(&[config])).as_deref(), Some("<|im_end|>"));
    assert_eq!(end(&open(&[config, generation])).as_deref(), Some("<s>"));
    // An id that is not in the vocabulary is passed over.
    assert_eq!(open(&[("config.json", r#"{"eos_token_id": [99999, 2]}"#)]).eos_id(), Some(2));
    assert_eq!(open(&[("config.json", r#"{"eos_token_id": null}"#)]).eos_id(), None);
    let lost = open(&[("tokenizer_config.json", r#"{"eos_token": "<nowhere>"}"#), config]);
    assert_eq!((lost.eos_token(), lost.eos_id()), (Some("<|im_end|>"), Some(2)));
}

#[test]
fn every_end_token_ends_an_answer() {
    let named = ("tokenizer_config.json", r#"{"eos_token": "<pad>"}"#);
    let config = ("config.json", r#"{"eos_token_id": 0}"#);
    let generation =
        ("generation_config.json", r#"{"bos_token_id": 1, "eos_token_id": [0, 2], "pad_token_id": 0}"#);
    assert_eq!(open(&[named, config, generation]).stop_ids(), [0, 2]);
    assert_eq!(open(&[named, config]).stop_ids(), [0]);
    assert_eq!(open(&[named, ("config.json", r#"{"eos_token_id": [3, 2, 3]}"#)]).stop_ids(), [3, 2, 0]);
    assert_eq!(open(&[("generation_config.json", r#"{"eos_token_id": 2}"#)]).stop_ids(), [2]);
    assert!(open(&[]).stop_ids().is_empty());
}

#[test]
fn thousands_of_added_tokens_and_end_ids_are_read_in_no_time() {
    let token = |at: usize| (at.to_string(), json!({"content": format!("<token {at}>"), "special": true}));
    let tokens: serde_json::Map<String, Value> = (1000..21_000).map(token).collect();
    let mut json: Value = serde_json::from_str(&tokenizer_json()).unwrap();
    let size = open(&[]).vocab_size();
    let added = json["added_tokens"].as_array_mut().unwrap();
    for (at, id) in (1000..21_000).zip(size..) {
        let (content, no) = (format!("<token {at}>"), false);
        added.push(json!({"id": id, "content": content, "single_word": no, "lstrip": no, "rstrip": no,
            "normalized": no, "special": true}));
    }
    let json = json.to_string();
    let config = json!({"added_tokens_decoder": tokens}).to_string();
    let ends = json!({"eos_token_id": (0..100_000).chain(0..100_000).collect::<Vec<u32>>()}).to_string();
    let time = |files: &[(&str, &str)]| {
        let began = Instant::now();
        let tokenizer = open_with(&json, files);
        (began.elapsed(), tokenizer)
    };
    let (without, _) = time(&[]);
    let (with, tokenizer) = time(&[("tokenizer_config.json", &config), ("generation_config.json", &ends)]);
    assert_eq!((tokenizer.vocab_size(), tokenizer.stop_ids().len()), (size + 20_000, 100_000));
    assert!(with < 3 * without + Duration::from_secs(2), "{with:?}, and {without:?} without the files");
}

#[test]
fn rows_that_do_not_teach_where_to_end_are_counted() {
    let tokenizer = open(&[("tokenizer_config.json", r#"{"eos_token": "<|im_end|>"}"#)]);
    let count = |tokenizer: &Tokenizer, section: &DataSection, lines: &str| {
        let mut loader = Loader::new(Encoder::of_section(tokenizer, section), section);
        loader.add(read_jsonl(lines.as_bytes(), "t"), "t").unwrap();
        loader.finish().unwrap().without_end
    };
    let lines = "{\"text\": \"the town\"}\n{\"text\": \"the river is the town of the capital\"}\n\
                 {\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n";
    assert_eq!(count(&tokenizer, &DataSection::default(), lines), 0);
    // Cut off.
    assert_eq!(
        count(
            &tokenizer,
            &DataSection { max_length: 5, ..DataSection::default() },
            &lines.replace("\"a\"", "\"\"")
        ),
        1
    );
    // A model without an end token.
    assert_eq!(count(&open(&[]), &DataSection::default(), lines), 3);
}

#[test]
fn broken_files_are_errors_that_name_them() {
    for name in ["tokenizer_config.json", "special_tokens_map.json", "config.json", "generation_config.json"]
    {
        let json = tokenizer_json();
        let mut files = TokenizerFiles { tokenizer: json.as_bytes(), ..TokenizerFiles::default() };
        let text = Some("[1]");
        match name {
            "tokenizer_config.json" => files.tokenizer_config = text,
            "special_tokens_map.json" => files.special_tokens_map = text,
            "config.json" => files.config = text,
            _ => files.generation_config = text,
        }
        let error = Tokenizer::open(&files).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("<|im_end|>"), Just("</s>"), Just(""), Just("é{% for m in messages %}")]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(
                (prop_oneof![Just("content"), Just("0"), Just("name"), Just("template")], inner),
                0..3
            )
            .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_of_a_field_panics(
        value in any_json(),
        name in prop_oneof![
            Just("eos_token"), Just("added_tokens_decoder"), Just("chat_template"), Just("tokenizer_class"), Just("eos_token_id"),
            Just("add_bos_token"), Just("model_type")
        ],
    ) {
        let text = json!({ name: value }).to_string();
        let json = tokenizer_json();
        let text = Some(text.as_str());
        let files = TokenizerFiles {
            tokenizer: json.as_bytes(), tokenizer_config: text, special_tokens_map: text, config: text, generation_config: text,
            ..TokenizerFiles::default()
        };
        if let Ok(tokenizer) = Tokenizer::open(&files) {
            let _ = tokenizer.encode_prompt("the");
        }
    }
}
