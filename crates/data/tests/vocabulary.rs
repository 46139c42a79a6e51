//! Tests tokens beyond a model's embedding: a tokenizer may have more tokens than the model.

mod common;

use lorelei_data::{Encoder, Loader, Padding, Tokenizer, collate, one_per_row, read_rows};
use lorelei_recipe::{DataSection, SampleBy};

/// A tokenizer with two tokens more than the model has: `<tool>`, and `[PAD]`, which pads.
fn with_added_tokens() -> (Tokenizer, usize) {
    let mut json: serde_json::Value = serde_json::from_str(&common::tokenizer_json()).unwrap();
    let vocab_size = common::smol().vocab_size();
    for (token, id) in ["<tool>", "[PAD]"].into_iter().zip(vocab_size..) {
        json["added_tokens"].as_array_mut().unwrap().push(serde_json::json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }));
    }
    let config = r#"{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "[PAD]"}"#;
    (Tokenizer::from_files(json.to_string().as_bytes(), Some(config), None).unwrap(), vocab_size)
}

#[test]
fn a_padding_token_beyond_the_embedding_is_replaced() {
    let (tokenizer, vocab_size) = with_added_tokens();
    let pad = tokenizer.pad_id().unwrap();
    assert_eq!(pad as usize, vocab_size + 1);
    let encoder = Encoder::new(&tokenizer, 64).with_vocab_size(vocab_size);
    let rows = "{\"prompt\": \"a\", \"completion\": \"a much longer answer\"}\n{\"prompt\": \"b\", \"completion\": \"c\"}";
    let examples: Vec<_> = read_rows(rows.as_bytes(), "x.jsonl", &DataSection::default())
        .map(|row| encoder.encode(&row.unwrap().1).unwrap())
        .collect();
    let rows = one_per_row(examples);
    let batch = collate(&rows.iter().collect::<Vec<_>>(), Padding::from(pad).within(vocab_size));
    assert!(batch.segment_ids.contains(&0), "the short row is padded");
    assert!(batch.input_ids.iter().all(|id| (*id as usize) < vocab_size), "{:?}", batch.input_ids);
    // A token that the model has pads as it says.
    let own = Padding { id: 2, multiple_of: 8 };
    assert_eq!((own.within(3), own.within(2)), (own, Padding { id: 0, multiple_of: 8 }));
}

#[test]
fn a_token_of_a_row_beyond_the_embedding_is_named() {
    let (tokenizer, vocab_size) = with_added_tokens();
    let section = DataSection::default();
    let encoder = Encoder::new(&tokenizer, 64).with_vocab_size(vocab_size);
    let rows =
        "{\"prompt\": \"b\", \"completion\": \"c\"}\n{\"prompt\": \"a\", \"completion\": \"<tool>b\"}\n";
    let error = Loader::new(encoder, &section)
        .add(read_rows(rows.as_bytes(), "tool.jsonl", &section), "tool.jsonl")
        .unwrap_err()
        .to_string();
    let wanted = format!(
        "tool.jsonl:2: token id {vocab_size} \"<tool>\" (token 1) is outside the vocabulary of {vocab_size} tokens"
    );
    assert!(error.starts_with(&wanted), "{error}");
    assert!(error.contains("the tokenizer has more tokens than the model"), "{error}");
    // A text that is one stream.
    let stream = DataSection { sample_by: SampleBy::Document, ..DataSection::default() };
    let error = Loader::new(encoder, &stream)
        .add(read_rows(&b"the\n<tool>\n"[..], "tool.txt", &stream), "tool.txt")
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"<tool>\""), "{error}");
    let unknown = format!("{{\"input_ids\": [1, {}]}}", vocab_size + 7);
    let error = Loader::new(encoder, &section)
        .add(read_rows(unknown.as_bytes(), "x.jsonl", &section), "x.jsonl")
        .unwrap_err()
        .to_string();
    assert!(error.contains("(tokenise the file with this model's tokenizer)"), "{error}");
}
