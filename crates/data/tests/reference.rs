//! Against tokens and masks that Transformers made. Needs files that the repository does not carry.

use std::path::PathBuf;

use lorelei_data::{Encoder, Tokenizer, encode_rows, read_jsonl};

/// `LORELEI_REFERENCE` names a folder with `tokenizer.json`, `tokenizer_config.json`, `train_messages.jsonl`,
/// `texts_128.json` ([{text}], the renderings) and `tokens_128.json` ({input_ids, labels, attention_mask}).
#[test]
#[ignore = "needs LORELEI_REFERENCE"]
fn same_tokens_and_mask_as_transformers() {
    let folder = PathBuf::from(std::env::var_os("LORELEI_REFERENCE").expect("LORELEI_REFERENCE"));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let config = String::from_utf8(read("tokenizer_config.json")).unwrap();
    let tokenizer = Tokenizer::from_files(&read("tokenizer.json"), Some(&config), None).unwrap();

    let bytes = read("train_messages.jsonl");
    let rows = read_jsonl(&bytes[..], "train_messages.jsonl");
    let encoded = encode_rows(rows, "train_messages.jsonl", &Encoder::new(&tokenizer, 128)).unwrap();
    assert_eq!((encoded.truncated, encoded.skipped.len()), (0, 0));

    let expected: serde_json::Value = serde_json::from_slice(&read("tokens_128.json")).unwrap();
    let texts: serde_json::Value = serde_json::from_slice(&read("texts_128.json")).unwrap();
    let row = |name: &str, index: usize| -> Vec<i64> {
        expected[name][index].as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect()
    };
    assert_eq!(encoded.examples.len(), expected["input_ids"].as_array().unwrap().len());
    for (index, example) in encoded.examples.iter().enumerate() {
        let length = row("attention_mask", index).iter().sum::<i64>() as usize;
        let ids: Vec<i64> = example.input_ids.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(ids, row("input_ids", index)[..length], "row {index}");
        assert_eq!(example.labels, row("labels", index)[..length], "row {index}");
        assert_eq!(
            tokenizer.decode(&example.input_ids, false).unwrap(),
            texts[index]["text"].as_str().unwrap()
        );
    }
    println!("{} rows alike", encoded.examples.len());
}
