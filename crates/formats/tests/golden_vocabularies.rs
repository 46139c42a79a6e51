//! llama.cpp's own tokenizer tests: texts and their ids by the models' original tokenizers.

use std::fs::{self, File};
use std::path::PathBuf;

use lorelei_formats::gguf::{Gguf, GgufValue, GgufWriter};
use lorelei_formats::{ModelSource, SafetensorsFile, to_bytes};
use serde_json::Value;
use tokenizers::Tokenizer;

/// A vocabulary for each known pre-tokenizer, and one of SentencePiece.
const VOCABULARIES: [&str; 9] = [
    "qwen2",
    "qwen35",
    "llama-bpe",
    "gpt-2",
    "deepseek-llm",
    "deepseek-coder",
    "starcoder",
    "refact",
    "llama-spm",
];

#[test]
#[ignore = "needs the models that `cargo xtask setup --full` fetches"]
fn every_case_is_encoded_as_the_original_does() {
    let models = std::env::var_os("LORELEI_MODELS").expect("LORELEI_MODELS names the folder of models");
    let folder = PathBuf::from(models).join("llama-cpp-vocab");
    let mut failed = Vec::new();
    for name in VOCABULARIES {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let file = Gguf::open(File::open(&path).unwrap(), name).unwrap();
        let (tokenizer, config) = file.hf_tokenizer().unwrap();
        let again = there_and_back(&tokenizer, &config);
        let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
        let read = |end: &str| fs::read_to_string(path.with_extension(format!("gguf.{end}"))).unwrap();
        let (texts, ids) = (read("inp"), read("out"));
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let mut passed = 0;
        let mut cases = 0;
        let ids: Vec<&str> = ids.split('\n').collect();
        assert_eq!(texts.len(), ids.len());
        for (text, ids) in texts.iter().zip(ids) {
            let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            // llama.cpp does not compose accents first; the model's own tokenizer does (NFC), and so does this project's.
            if name == "qwen35" && text.contains(['\u{300}', '\u{301}']) {
                continue;
            }
            let ours = tokenizer.encode(*text, false).unwrap();
            assert_eq!(again.encode(*text, false).unwrap().get_ids(), ours.get_ids(), "{name}: {text:?}");
            cases += 1;
            if ours.get_ids() == ids {
                passed += 1;
            } else {
                failed.push(format!("{name}: {text:?}\n  ours     {:?}\n  original {ids:?}", ours.get_ids()));
            }
        }
        println!("{name}: {passed} of {cases}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Writes a tokenizer as GGUF's keys, and reads them again.
fn there_and_back(tokenizer: &Value, config: &Value) -> Tokenizer {
    let size = tokenizer["model"]["vocab"].as_object().unwrap().len();
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let last = added.iter().filter_map(|token| token["id"].as_u64()).max().unwrap_or(0) as usize;
    let source = ModelSource {
        tensors: Box::new(
            SafetensorsFile::open(to_bytes(&[], &Default::default()).unwrap(), "none").unwrap(),
        ),
        config: "{}".to_owned(),
        tokenizer: Some(tokenizer.to_string().into_bytes()),
        tokenizer_config: Some(config.to_string()),
        special_tokens_map: None,
        generation_config: None,
        chat_template: None,
        tool_use_template: None,
    };
    let keys = source.gguf_tokenizer(size.max(last + 1)).unwrap();
    let keys: Vec<(&str, GgufValue)> =
        keys.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let bytes = GgufWriter::new(Vec::new(), &keys, &[]).unwrap().finish().unwrap();
    let (tokenizer, _) = Gguf::open(bytes, "again").unwrap().hf_tokenizer().unwrap();
    Tokenizer::from_bytes(tokenizer.to_string()).unwrap()
}
