//! Files of tokenizers that are made to take the process down: each is refused by name, or works.

mod common;

use common::Numbers;
use lorelei_data::{DataErrorKind, Tokenizer};
use serde_json::{Value, json};

const TEXTS: [&str; 5] =
    ["", "the capital of the river", " a\u{301}ﬁ 数字 🦀 ", "<s>x [CLS] ▁▁", "\u{0}\t\n12345"];

/// Opens a tokenizer, reads texts and writes them again.
fn uses(json: &Value) -> Result<(), String> {
    let file = json.to_string();
    let tokenizer = Tokenizer::from_files(file.as_bytes(), None, None).map_err(|error| error.to_string())?;
    for text in TEXTS {
        for special in [false, true] {
            let ids = tokenizer.encode(text, special).map_err(|error| error.to_string())?;
            tokenizer.decode(&ids, special).map_err(|error| error.to_string())?;
        }
    }
    tokenizer.decode(&[0, 1, 2, u32::MAX], false).map(|_| ()).map_err(|error| error.to_string())
}

/// The words of an error from opening a file.
fn refusal(json: &Value) -> String {
    let error = Tokenizer::from_files(json.to_string().as_bytes(), None, None).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::Tokenizer);
    let text = error.to_string();
    assert!(text.starts_with("tokenizer.json cannot be read: "), "{text}");
    text
}

fn with(mut file: Value, path: &str, value: Value) -> Value {
    *file.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
    file
}

/// Small files of every model, with every kind of part.
fn files() -> Vec<Value> {
    let whole = |model: Value, parts: [Value; 4]| {
        let [normalizer, pre_tokenizer, post_processor, decoder] = parts;
        json!({"version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{"id": 0, "content": "[CLS]", "single_word": false, "lstrip": true, "rstrip": true,
                "normalized": false, "special": true}],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
            "decoder": decoder, "model": model})
    };
    let template = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]}}});
    let bpe = json!({"type": "BPE", "dropout": null, "unk_token": "[CLS]", "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": {"[CLS]": 0, "t": 1, "h": 2, "e": 3, "th": 4, "the": 5, "a": 6},
        "merges": [["t", "h"], ["th", "e"]]});
    vec![
        whole(
            bpe.clone(),
            [
                json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "Prepend", "prepend": "▁"},
                    {"type": "Strip", "strip_left": true, "strip_right": true}]}),
                json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
                    {"type": "Split", "pattern": {"Regex": "\\w+|\\W"}, "behavior": "Isolated", "invert": false},
                    {"type": "FixedLength", "length": 3}]}),
                template.clone(),
                json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                    {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
            ],
        ),
        whole(
            json!({"type": "WordPiece", "unk_token": "[CLS]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": {"[CLS]": 0, "the": 1, "##a": 2, "a": 3, "r": 4, "##i": 5}}),
            [
                json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                    "lowercase": true}),
                json!({"type": "BertPreTokenizer"}),
                json!({"type": "BertProcessing", "sep": ["[CLS]", 0], "cls": ["[CLS]", 0]}),
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            ],
        ),
        whole(
            json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false,
                "vocab": [["[CLS]", 0.0], ["▁", -1.0], ["the", -2.0], ["a", -2.5], ["▁r", -3.0]]}),
            [
                json!({"type": "NFKD"}),
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
                json!({"type": "RobertaProcessing", "sep": ["[CLS]", 0], "cls": ["[CLS]", 0], "trim_offsets": true,
                    "add_prefix_space": true}),
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
            ],
        ),
        whole(
            json!({"type": "WordLevel", "vocab": {"[CLS]": 0, "the": 1, "capital": 2}, "unk_token": "[CLS]"}),
            [
                json!({"type": "StripAccents"}),
                json!({"type": "Whitespace"}),
                template,
                json!({"type": "CTC", "pad_token": "[CLS]", "word_delimiter_token": "|", "cleanup": true}),
            ],
        ),
        serde_json::from_str(&common::tokenizer_json()).unwrap(),
    ]
}

#[test]
fn small_files_of_every_model_work() {
    for file in files() {
        uses(&file).unwrap_or_else(|problem| panic!("{problem}: {file}"));
    }
}

#[test]
fn causes_of_panics_are_named() {
    let [bpe, wordpiece, unigram] = [0, 1, 2].map(|at| files().swap_remove(at));
    let template = bpe["post_processor"].clone();
    let charsmap = |text: &str| json!({"type": "Precompiled", "precompiled_charsmap": text});
    let mini = json!({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]],
        "continuing_subword_prefix": "##"}});
    for (file, words) in [
        (mini.clone(), "\"b\" takes off continuing_subword_prefix \"##\""),
        (with(mini.clone(), "/model/merges", json!(["a b"])), "\"b\" takes off"),
        (
            with(
                with(mini.clone(), "/model/merges", json!([["a", "é"]])),
                "/model/continuing_subword_prefix",
                json!("#"),
            ),
            "\"é\"",
        ),
        (with(mini, "/model/continuing_subword_prefix", json!("")), "a merge gives a token of 2 bytes"),
        (with(bpe.clone(), "/model/merges", json!([["the", "the"]])), "of 6 bytes"),
        (
            with(bpe.clone(), "/pre_tokenizer/pretokenizers/2/length", json!(0)),
            "pre_tokenizer: FixedLength: length is 0",
        ),
        (
            with(bpe.clone(), "/post_processor/special_tokens", json!({})),
            "[CLS] of single is not among special_tokens",
        ),
        (with(bpe.clone(), "/post_processor/special_tokens/[CLS]/ids", json!([])), "as many ids as tokens"),
        (with(bpe.clone(), "/post_processor/single/1/Sequence/id", json!("B")), "single has a second text"),
        (
            with(
                bpe.clone(),
                "/post_processor",
                json!({"type": "Sequence", "processors": [with(template, "/special_tokens", json!({}))]}),
            ),
            "post_processor: TemplateProcessing",
        ),
        (with(unigram.clone(), "/model/vocab/3/0", json!("")), "a token of the vocabulary is empty"),
        (with(wordpiece.clone(), "/normalizer", charsmap("@@")), "not base64"),
        (with(wordpiece.clone(), "/normalizer", charsmap("AAA=")), "cut off"),
        (with(wordpiece.clone(), "/normalizer", charsmap("BAAAAA==")), "cut off"),
        // A trie of one unit, which points outside.
        (with(wordpiece.clone(), "/normalizer", charsmap("BAAAAAAAAAA=")), "damaged"),
        (with(wordpiece, "/normalizer", json!({"type": "Precompiled"})), "is no text"),
    ] {
        let problem = refusal(&file);
        assert!(problem.contains(words), "{problem}, not {words}");
    }
    // What is right stays so.
    uses(&with(bpe, "/model/continuing_subword_prefix", json!(""))).unwrap();
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error() {
    for file in files() {
        let text = serde_json::to_string(&file).unwrap();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let opened = Tokenizer::from_files(&text.as_bytes()[..end], None, None);
            assert!(opened.is_err(), "{end} bytes of {text}");
        }
    }
}

impl Numbers {
    /// Changes a value somewhere inside `value`.
    fn change(&mut self, value: &mut Value) {
        let length = match value {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if length > 0 && self.below(8) > 0 {
            let at = self.below(length);
            match value {
                Value::Array(items) if self.below(12) == 0 => drop(items.remove(at)),
                Value::Array(items) if self.below(12) == 0 => items.push(items[at].clone()),
                Value::Array(items) => self.change(&mut items[at]),
                Value::Object(fields) => {
                    let name = fields.keys().nth(at).unwrap().clone();
                    match self.below(12) {
                        0 => drop(fields.remove(&name)),
                        _ => self.change(&mut fields[&name]),
                    }
                }
                _ => {}
            }
            return;
        }
        let others = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(2),
            json!(7),
            json!(-1),
            json!(u32::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(0.5),
            json!(""),
            json!(" "),
            json!("a"),
            json!("##"),
            json!("é"),
            json!("[CLS]"),
            json!("B"),
            json!("▁"),
            json!("(a*)*b"),
            json!("("),
            json!([]),
            json!({}),
            json!([["a", "b"]]),
            json!({"String": ""}),
            json!({"Regex": ""}),
            json!({"type": "Strip", "content": " ", "start": 0, "stop": 3}),
            json!({"type": "Fuse"}),
            json!({"type": "NFKC"}),
        ];
        *value = others[self.below(others.len())].clone();
    }
}

#[test]
fn random_changes_of_files_end_in_errors() {
    let given = std::env::var("LORELEI_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed: u64 = given.unwrap_or_else(|| u64::from(now()));
    eprintln!("LORELEI_SEED={seed}");
    let mut numbers = Numbers(seed);
    let files = files();
    let (mut works, mut refused) = (0, 0);
    for round in 0..2_000 {
        let mut file = files[round % files.len()].clone();
        for _ in 0..1 + numbers.below(3) {
            numbers.change(&mut file);
        }
        match uses(&file) {
            Ok(()) => works += 1,
            Err(_) => refused += 1,
        }
    }
    eprintln!("{works} work, {refused} are refused");
    assert!(works > 0 && refused > 0, "{works} work, {refused} are refused");
}
