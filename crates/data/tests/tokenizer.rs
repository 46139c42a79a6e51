//! Tests training a tokenizer, reading one, and the settings of its config.

mod common;

use common::{SMOLLM2, tokenizer, tokenizer_json};
use lorelei_data::{DataErrorKind, Tokenizer, train_byte_level_bpe};

#[test]
fn every_text_survives_a_round_trip() {
    let tokenizer = common::smol();
    for text in ["", " ", "the capital", "  leading\n\ttabs ", "naïve 数字 🦀\u{0}", "<|im_end|>the"] {
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
    let ids = tokenizer.encode("<|im_start|>the<|im_end|>", false).unwrap();
    assert_eq!((ids[0], *ids.last().unwrap()), (1, 2));
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "the");
}

#[test]
fn training_merges_up_to_the_size_and_repeats_itself() {
    let tokenizer = common::smol();
    // The vocabulary has 4 special tokens and 256 bytes, then merges.
    assert!((261..=320).contains(&tokenizer.vocab_size()), "{}", tokenizer.vocab_size());
    assert!(tokenizer.encode(" capital", false).unwrap().len() < " capital".len());
    assert_eq!(tokenizer_json(), tokenizer_json());
}

#[test]
fn special_tokens_as_strings_and_objects() {
    let both =
        tokenizer(r#"{"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "pad_token": null}"#, None);
    assert_eq!((both.bos_token(), both.bos_id()), (Some("<s>"), Some(3)));
    assert_eq!((both.eos_token(), both.eos_id()), (Some("<|im_end|>"), Some(2)));
    assert_eq!((both.pad_token(), both.pad_id()), (Some("<|im_end|>"), Some(2)));
    let padded = tokenizer(r#"{"eos_token": "<|im_end|>", "pad_token": "<pad>"}"#, None);
    assert_eq!((padded.pad_id(), padded.bos_id(), padded.bos_token()), (Some(0), None, None));
    let none = Tokenizer::from_files(tokenizer_json().as_bytes(), None, None).unwrap();
    assert_eq!((none.pad_id(), none.eos_id()), (None, None));
}

#[test]
fn beginning_token() {
    let with = tokenizer(r#"{"bos_token": "<s>", "add_bos_token": true}"#, None);
    assert!(with.add_bos_token());
    assert_eq!(with.encode("the", true).unwrap()[0], 3);
    assert_ne!(with.encode("the", false).unwrap()[0], 3);
    assert_eq!(with.encode("<s>the", true).unwrap().iter().filter(|&&id| id == 3).count(), 1);
    let without = tokenizer(r#"{"bos_token": "<s>"}"#, None);
    assert!(!without.add_bos_token());
    assert_ne!(without.encode("the", true).unwrap()[0], 3);
}

#[test]
fn templates_as_string_list_and_file() {
    let in_config = tokenizer(r#"{"chat_template": "A"}"#, None);
    assert_eq!(in_config.chat_template(), Some("A"));
    let list =
        r#"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    assert_eq!(tokenizer(list, None).chat_template(), Some("D"));
    assert_eq!(tokenizer(list, Some(SMOLLM2)).chat_template(), Some(SMOLLM2));
    assert!(!tokenizer(list, None).uses_default_template());
    assert!(tokenizer("{}", None).uses_default_template());
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let json = tokenizer_json()
        .replace("\"truncation\":null", r#""truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#)
        .replace("\"padding\":null", r#""padding":{"strategy":{"Fixed":64},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"<pad>"}"#);
    assert!(json.contains("\"max_length\":2") && json.contains("\"Fixed\":64"));
    let tokenizer = Tokenizer::from_files(json.as_bytes(), None, None).unwrap();
    assert_eq!(tokenizer.encode("xyzw", false).unwrap().len(), 4);
}

#[test]
fn broken_files_are_errors() {
    for (json, config) in [(&b"{}"[..], None), (b"\xff\x00", None), (b"", None)] {
        let error = Tokenizer::from_files(json, config, None).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::Tokenizer);
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
    let error = Tokenizer::from_files(tokenizer_json().as_bytes(), Some("[1]"), None).unwrap_err();
    assert!(error.to_string().contains("tokenizer_config.json"), "{error}");
}

#[test]
fn a_beginning_token_can_be_part_of_a_trained_tokenizer() {
    let texts = || ["the capital of the river", "the capital"].iter().map(|text| text.to_string());
    let json = train_byte_level_bpe(texts(), 300, &["<pad>", "<|im_start|>"], Some("<|im_start|>")).unwrap();
    let config = r#"{"bos_token": "<|im_start|>"}"#;
    let tokenizer = Tokenizer::from_files(json.as_bytes(), Some(config), None).unwrap();
    assert!(tokenizer.add_bos_token());
    let (with, without) = (tokenizer.encode("the", true).unwrap(), tokenizer.encode("the", false).unwrap());
    assert_eq!(with, [vec![1], without].concat());
    let error = train_byte_level_bpe(texts(), 300, &["<pad>"], Some("<s>")).unwrap_err();
    assert!(error.to_string().contains("<s>"), "{error}");
}
