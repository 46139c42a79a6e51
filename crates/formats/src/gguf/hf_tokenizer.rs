//! The `tokenizer.json` and `tokenizer_config.json` that a GGUF file's vocabulary implies.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::pre_tokenizer::{NAMES, pre_tokenizer};
use super::{Gguf, GgufArray, GgufValue, spm_merges};
use crate::error::Shortened;
use crate::{FormatError, Place, ReadAt};

/// `tokenizer.ggml.token_type` of ordinary pieces of text.
pub(super) const NORMAL: i64 = 1;
/// `tokenizer.ggml.token_type` of the token for text that no piece matches.
pub(super) const UNKNOWN: i64 = 2;
/// `tokenizer.ggml.token_type` of markers such as `<|im_start|>`: special added tokens.
pub(super) const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type` of added tokens that are text, such as `<think>`.
pub(super) const USER_DEFINED: i64 = 4;
/// `tokenizer.ggml.token_type` of ids that no token has.
pub(super) const UNUSED: i64 = 5;
/// `tokenizer.ggml.token_type` of bytes that no piece has: `<0x0A>`.
pub(super) const BYTE: i64 = 6;

/// Key of the chat template. Named ones have their name behind it.
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Markers that end an answer, as llama.cpp lists them (`llama_vocab::impl::load`).
const END_MARKERS: [&str; 21] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
];

impl<R: ReadAt> Gguf<R> {
    /// Returns `tokenizer.json` and `tokenizer_config.json`, for the tokenizers library and for Transformers.
    ///
    /// Byte-level BPE (`gpt2`) and SentencePiece (`llama`) vocabularies are supported; the latter become a BPE with byte fallback, as in
    /// Transformers' own converter.
    ///
    /// # Errors
    /// When the file holds no vocabulary, an inconsistent one, or one of another kind or with another pre-tokenizer.
    pub fn hf_tokenizer(&self) -> Result<(Value, Value), FormatError> {
        let vocabulary = Vocabulary::read(self)?;
        let model = self.required("tokenizer.ggml.model", GgufValue::as_str, "text")?;
        let kind = match model {
            "gpt2" => self.byte_level(&vocabulary)?,
            "llama" => self.sentence_piece(&vocabulary)?,
            "bert" => self.word_piece(&vocabulary)?,
            other => {
                return Err(self.refusal(
                    "tokenizer.ggml.model",
                    format!("tokenizers of kind {:?} are not supported yet", Shortened(other)),
                    "use a model with a gpt2, llama or bert tokenizer, or bring its tokenizer.json",
                ));
            }
        };
        let flag = |name: &str, default| {
            self.optional(&format!("tokenizer.ggml.{name}"), GgufValue::as_bool, "boolean")
                .map(|flag| flag.unwrap_or(default))
        };
        let add_bos = flag("add_bos_token", kind.add_bos)? && vocabulary.bos.is_some();
        let add_eos = flag("add_eos_token", kind.add_eos)? && vocabulary.eos.is_some();

        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": vocabulary.added_tokens(),
            "normalizer": kind.normalizer,
            "pre_tokenizer": kind.pre_tokenizer,
            "post_processor": vocabulary.post_processor(add_bos, add_eos, kind.one_beginning),
            "decoder": kind.decoder,
            "model": kind.model,
        });
        let config = self.tokenizer_config(&vocabulary, add_bos, add_eos)?;
        Ok((tokenizer, config))
    }

    fn tokenizer_config(
        &self,
        vocabulary: &Vocabulary<'_>,
        add_bos: bool,
        add_eos: bool,
    ) -> Result<Value, FormatError> {
        let mut config = Map::new();
        config.insert("add_bos_token".to_owned(), add_bos.into());
        config.insert("add_eos_token".to_owned(), add_eos.into());
        for (name, id) in [
            ("bos_token", vocabulary.bos),
            ("eos_token", vocabulary.eos),
            ("pad_token", vocabulary.pad),
            ("unk_token", vocabulary.unk),
            ("cls_token", vocabulary.cls),
            ("sep_token", vocabulary.sep),
            ("mask_token", vocabulary.mask),
        ] {
            if let Some(id) = id {
                config.insert(name.to_owned(), vocabulary.tokens[id].as_str().into());
            }
        }
        if let Some(templates) = self.chat_templates()? {
            config.insert("chat_template".to_owned(), templates);
        }
        config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
        if let Ok(architecture) = self.architecture() {
            let key = format!("{architecture}.context_length");
            if let Some(length) = self.optional(&key, GgufValue::as_u64, "whole number")? {
                config.insert("model_max_length".to_owned(), length.into());
            }
        }
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        Ok(Value::Object(config))
    }

    /// Returns the chat template, or a list of named ones as `tokenizer_config.json` has them.
    fn chat_templates(&self) -> Result<Option<Value>, FormatError> {
        let default = self.optional(CHAT_TEMPLATE, GgufValue::as_str, "text")?;
        let mut list: Vec<Value> =
            default.iter().map(|template| json!({ "name": "default", "template": template })).collect();
        for key in self.metadata().keys() {
            if let Some(name) = key.strip_prefix(CHAT_TEMPLATE).and_then(|rest| rest.strip_prefix('.')) {
                let template = self.required(key, GgufValue::as_str, "text")?;
                list.push(json!({ "name": name, "template": template }));
            }
        }
        Ok(match (default, list.len()) {
            (_, 0) => None,
            (Some(default), 1) => Some(default.into()),
            _ => Some(Value::Array(list)),
        })
    }

    /// Returns `generation_config.json`: the ids of every token that ends an answer, as llama.cpp finds them. They are the end tokens of a text, a turn
    /// and a message that the metadata name, and the markers that end an answer in the models that llama.cpp knows.
    ///
    /// # Errors
    /// When the file holds no vocabulary or an inconsistent one.
    pub fn hf_generation_config(&self) -> Result<Value, FormatError> {
        let vocabulary = Vocabulary::read(self)?;
        let mut ends: Vec<usize> =
            [vocabulary.eos, vocabulary.eot, vocabulary.eom].into_iter().flatten().collect();
        let has = |text: &str| vocabulary.tokens.iter().any(|token| token == text);
        // gpt-oss ends a message, not an answer, with <|end|>.
        let is_harmony = has("<|return|>") && has("<|call|>");
        let goes_on = |token: &str| token == "<|end|>" && is_harmony;
        for (id, token) in vocabulary.tokens.iter().enumerate() {
            let is_end = vocabulary.kind(id) == CONTROL && END_MARKERS.contains(&token.as_str());
            if is_end && !goes_on(token) {
                ends.push(id);
            }
        }
        let mut seen = HashSet::with_capacity(ends.len());
        ends.retain(|id| seen.insert(*id));
        Ok(json!({ "bos_token_id": vocabulary.bos, "eos_token_id": ends, "pad_token_id": vocabulary.pad }))
    }

    fn byte_level(&self, vocabulary: &Vocabulary<'_>) -> Result<Kind, FormatError> {
        let name = self.optional("tokenizer.ggml.pre", GgufValue::as_str, "text")?.unwrap_or("default");
        let pre = pre_tokenizer(name).ok_or_else(|| {
            self.refusal(
                "tokenizer.ggml.pre",
                format!("pre-tokenizer {:?} is not known (known are {})", Shortened(name), NAMES.join(", ")),
                "bring the model's own tokenizer.json",
            )
        })?;
        let merges = self.required("tokenizer.ggml.merges", GgufValue::as_strings, "list of texts")?;
        let merges = merges
            .iter()
            .enumerate()
            .map(|(index, merge)| match merge.split_once(' ') {
                Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok(json!([left, right])),
                _ => Err(FormatError::corrupt(
                    self.file_name(),
                    Place::Key("tokenizer.ggml.merges".to_owned()),
                    format!("merge {index} ({:?}) is not two pieces", Shortened(merge)),
                )),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Kind {
            normalizer: pre.normalizer,
            pre_tokenizer: pre.pre_tokenizer,
            decoder: json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true }),
            model: json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": pre.ignore_merges,
                "vocab": vocabulary.ids(),
                "merges": merges,
            }),
            add_bos: pre.add_bos,
            add_eos: false,
            one_beginning: false,
        })
    }

    /// Returns the parts of a SentencePiece tokenizer. Spaces are part of the text (as `▁`), one is put before it, and bytes without a piece have
    /// their own tokens.
    fn sentence_piece(&self, vocabulary: &Vocabulary<'_>) -> Result<Kind, FormatError> {
        let scores = self.required("tokenizer.ggml.scores", as_floats, "list of floats")?;
        if scores.len() != vocabulary.tokens.len() {
            return Err(FormatError::corrupt(
                self.file_name(),
                Place::Key("tokenizer.ggml.scores".to_owned()),
                format!("{} scores for {} tokens", scores.len(), vocabulary.tokens.len()),
            ));
        }
        let pieces: Vec<(&str, f32)> = (0..scores.len())
            .filter(|&id| vocabulary.kind(id) == NORMAL)
            .map(|id| (vocabulary.tokens[id].as_str(), scores[id]))
            .collect();
        let merges = spm_merges::merges(&pieces);

        let prefix =
            self.optional("tokenizer.ggml.add_space_prefix", GgufValue::as_bool, "boolean")?.unwrap_or(true);
        let mut normalizers =
            vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })];
        let mut decoders = vec![
            json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if prefix {
            normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
            decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        Ok(Kind {
            normalizer: json!({ "type": "Sequence", "normalizers": normalizers }),
            pre_tokenizer: Value::Null,
            decoder: json!({ "type": "Sequence", "decoders": decoders }),
            model: json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": vocabulary.unk.map(|id| vocabulary.tokens[id].as_str()),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": true,
                "ignore_merges": false,
                "vocab": vocabulary.ids(),
                "merges": merges,
            }),
            add_bos: true,
            add_eos: false,
            one_beginning: false,
        })
    }

    /// Returns the parts of BERT's tokenizer, which cuts words into the longest pieces in the vocabulary. Hugging Face's vocabulary marks a piece
    /// that continues a word (`##`); llama.cpp's marks a piece that begins a word (`▁`).
    fn word_piece(&self, vocabulary: &Vocabulary<'_>) -> Result<Kind, FormatError> {
        let normal = |id: &usize| vocabulary.kind(*id) == NORMAL;
        // The file does not tell whether the model distinguishes capitals; its words do.
        let is_capital = |letter: char| !letter.to_lowercase().eq([letter]);
        let has_capitals = (0..vocabulary.tokens.len())
            .filter(normal)
            .any(|id| vocabulary.tokens[id].chars().any(is_capital));
        let vocab: Map<String, Value> = (0..vocabulary.tokens.len())
            .map(|id| {
                let token = vocabulary.tokens[id].as_str();
                let hf = match (normal(&id), token.strip_prefix('▁')) {
                    (false, _) => token.to_owned(),
                    (true, Some(word)) => word.to_owned(),
                    (true, None) => format!("##{token}"),
                };
                (hf, id.into())
            })
            .collect();
        let unk = vocabulary.unk.map_or("[UNK]", |id| vocabulary.tokens[id].as_str());
        if !vocab.contains_key(unk) {
            return Err(self.refusal(
                "tokenizer.ggml.tokens",
                format!("the vocabulary has no {unk}, which stands for what is not in it"),
                "bring the model's own tokenizer.json",
            ));
        }
        Ok(Kind {
            normalizer: json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": true,
                "strip_accents": null,
                "lowercase": !has_capitals,
            }),
            pre_tokenizer: json!({ "type": "BertPreTokenizer" }),
            decoder: json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }),
            model: json!({
                "type": "WordPiece",
                "unk_token": unk,
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocab,
            }),
            add_bos: true,
            add_eos: true,
            one_beginning: true,
        })
    }

    fn refusal(&self, key: &str, problem: String, help: &'static str) -> FormatError {
        FormatError::unsupported(self.file_name(), Place::Key(key.to_owned()), problem, help)
    }
}

/// The parts of `tokenizer.json` that differ between kinds of tokenizer.
struct Kind {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
    add_bos: bool,
    add_eos: bool,
    /// Whether the second of two texts has no begin token of its own.
    one_beginning: bool,
}

/// The tokens, their types and the ids of the few with a special role. Ids are checked against the tokens.
struct Vocabulary<'a> {
    tokens: &'a [String],
    types: Option<&'a [i32]>,
    bos: Option<usize>,
    eos: Option<usize>,
    /// End of a turn.
    eot: Option<usize>,
    /// End of a message after which the assistant goes on, as after a tool's answer.
    eom: Option<usize>,
    cls: Option<usize>,
    sep: Option<usize>,
    mask: Option<usize>,
    unk: Option<usize>,
    pad: Option<usize>,
}

impl<'a> Vocabulary<'a> {
    fn read<R: ReadAt>(gguf: &'a Gguf<R>) -> Result<Self, FormatError> {
        let tokens = gguf.required("tokenizer.ggml.tokens", GgufValue::as_strings, "list of texts")?;
        let types = gguf.optional("tokenizer.ggml.token_type", as_types, "list of 32-bit integers")?;
        if let Some(types) = types
            && types.len() != tokens.len()
        {
            return Err(FormatError::corrupt(
                gguf.file_name(),
                Place::Key("tokenizer.ggml.token_type".to_owned()),
                format!("{} types for {} tokens", types.len(), tokens.len()),
            ));
        }
        let id = |which: &str| {
            let key = format!("tokenizer.ggml.{which}_token_id");
            let Some(id) = gguf.optional(&key, GgufValue::as_u64, "whole number")? else {
                return Ok(None);
            };
            match usize::try_from(id) {
                Ok(id) if id < tokens.len() => Ok(Some(id)),
                _ => Err(FormatError::corrupt(
                    gguf.file_name(),
                    Place::Key(key),
                    format!("there is no token {id} among {}", tokens.len()),
                )),
            }
        };
        // BERT's texts begin and end with tokens of other names, the second misspelt in every file; llama.cpp has defaults for files that lack them.
        let model = gguf.optional("tokenizer.ggml.model", GgufValue::as_str, "text")?;
        let known = |text: &str| match model {
            Some("bert") => tokens.iter().position(|token| token == text),
            _ => None,
        };
        let cls = id("cls")?.or_else(|| known("[CLS]"));
        let sep = id("seperator")?.or_else(|| known("[SEP]"));
        let bos = id("bos")?.or(cls);
        let eos = id("eos")?.or(sep);
        Ok(Self {
            tokens,
            types,
            bos,
            eos,
            eot: id("eot")?,
            eom: id("eom")?,
            cls,
            sep,
            mask: id("mask")?,
            unk: id("unknown")?,
            pad: id("padding")?,
        })
    }

    fn kind(&self, id: usize) -> i64 {
        self.types.map_or(NORMAL, |types| types[id].into())
    }

    /// Returns the map from token to id. When two tokens are the same text, the later one is used, as in llama.cpp.
    fn ids(&self) -> Value {
        let ids = self.tokens.iter().enumerate();
        Value::Object(ids.map(|(id, token)| (token.clone(), id.into())).collect())
    }

    fn added_tokens(&self) -> Vec<Value> {
        let roles = [self.bos, self.eos, self.cls, self.sep, self.mask, self.unk, self.pad];
        (0..self.tokens.len())
            .filter(|&id| !self.tokens[id].is_empty())
            .filter_map(|id| {
                let special = match self.kind(id) {
                    CONTROL | UNKNOWN => true,
                    _ if roles.contains(&Some(id)) => true,
                    USER_DEFINED => false,
                    _ => return None,
                };
                Some(json!({
                    "id": id,
                    "content": self.tokens[id],
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": special,
                }))
            })
            .collect()
    }

    /// Returns the post-processor that puts the begin token before and the end token after a text, if they are wanted.
    fn post_processor(&self, add_bos: bool, add_eos: bool, one_beginning: bool) -> Value {
        let bos = self.bos.filter(|_| add_bos);
        let eos = self.eos.filter(|_| add_eos);
        if bos.is_none() && eos.is_none() {
            return Value::Null;
        }
        let part = |sequence: &str, type_id: u8| {
            let special =
                |id: usize| json!({ "SpecialToken": { "id": self.tokens[id], "type_id": type_id } });
            let text = json!({ "Sequence": { "id": sequence, "type_id": type_id } });
            bos.map(special).into_iter().chain([text]).chain(eos.map(special)).collect::<Vec<_>>()
        };
        let special_tokens: Map<String, Value> = bos
            .into_iter()
            .chain(eos)
            .map(|id| {
                let token = &self.tokens[id];
                (token.clone(), json!({ "id": token, "ids": [id], "tokens": [token] }))
            })
            .collect();
        let mut second = part("B", 1);
        if one_beginning && bos.is_some() {
            second.remove(0);
        }
        let pair = [part("A", 0), second].concat();
        json!({
            "type": "TemplateProcessing",
            "single": part("A", 0),
            "pair": pair,
            "special_tokens": special_tokens,
        })
    }
}

fn as_types(value: &GgufValue) -> Option<&[i32]> {
    match value {
        GgufValue::Array(GgufArray::I32(types)) => Some(types),
        GgufValue::Array(GgufArray::U32(types)) => Some(bytemuck::cast_slice(types)),
        _ => None,
    }
}

fn as_floats(value: &GgufValue) -> Option<&[f32]> {
    match value {
        GgufValue::Array(GgufArray::F32(scores)) => Some(scores),
        _ => None,
    }
}
