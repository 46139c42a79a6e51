//! Pre-tokenizers, which cut text into words before byte-pair merges: GGUF has only their names, `tokenizer.json` their definitions.
//!
//! The patterns are those of the models' own `tokenizer.json`. llama.cpp's patterns, which are adapted to its regex engine, are in
//! `llm_tokenizer_bpe` of its `llama-vocab.cpp`.

use serde_json::{Value, json};

/// Definition of a `tokenizer.ggml.pre`.
pub(super) struct PreTokenizer {
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    /// Whether a word that is a token is used directly, without merging up to it.
    pub ignore_merges: bool,
    /// Whether a begin-of-text token comes first when the file does not specify it.
    pub add_bos: bool,
}

/// Every name that [`pre_tokenizer`] knows; of those for the same definition, the one that llama.cpp's converter writes is first.
pub(super) const NAMES: [&str; 13] = [
    "gpt-2",
    "default",
    "smollm",
    "starcoder",
    "refact",
    "llama-bpe",
    "llama3",
    "llama-v3",
    "smaug-bpe",
    "qwen2",
    "qwen35",
    "deepseek-llm",
    "deepseek-coder",
];

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

// Escaped, because a program that normalises Unicode (such as an editor) changes several of these characters.
const DEEPSEEK_CJK: &str = "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+";
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\
    \u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\
    \u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\
    \u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\
    \u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\
    \u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\
    \u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\
    \u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\
    \u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\
    \u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\
    \u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\
    \u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\
    \u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+";
const DEEPSEEK_PUNCTUATION: &str =
    "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+";

/// Returns the pre-tokenizer with the name `name` in `tokenizer.ggml.pre`, or `None` if it is not known.
pub(super) fn pre_tokenizer(name: &str) -> Option<PreTokenizer> {
    let plain = |steps: Value| PreTokenizer {
        normalizer: Value::Null,
        pre_tokenizer: steps,
        ignore_merges: false,
        add_bos: false,
    };
    let nfc = |pattern| PreTokenizer {
        normalizer: json!({ "type": "NFC" }),
        ..plain(sequence([split(pattern), byte_level(false)]))
    };
    Some(match name {
        "default" | "gpt-2" => plain(byte_level(true)),
        "smollm" | "starcoder" | "refact" => plain(sequence([digits(), byte_level(true)])),
        "llama-bpe" | "llama3" | "llama-v3" => PreTokenizer {
            ignore_merges: true,
            add_bos: true,
            ..plain(sequence([split(LLAMA3), byte_level(false)]))
        },
        // Llama 3's words, each made by merges even if it is a token.
        "smaug-bpe" => plain(sequence([split(LLAMA3), byte_level(false)])),
        "qwen2" => nfc(QWEN2),
        "qwen35" => nfc(QWEN35),
        "deepseek-llm" => plain(sequence([
            split("[\r\n]"),
            split(DEEPSEEK_LETTERS),
            split(DEEPSEEK_PUNCTUATION),
            split("\\s+$"),
            split(DEEPSEEK_CJK),
            digits(),
            byte_level(false),
        ])),
        "deepseek-coder" => plain(sequence([
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split(DEEPSEEK_CJK),
            digits(),
            byte_level(false),
        ])),
        _ => return None,
    })
}

fn sequence<const N: usize>(steps: [Value; N]) -> Value {
    json!({ "type": "Sequence", "pretokenizers": Vec::from(steps) })
}

fn split(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

fn digits() -> Value {
    json!({ "type": "Digits", "individual_digits": true })
}

fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}
