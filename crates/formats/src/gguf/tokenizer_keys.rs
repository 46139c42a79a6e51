//! The `tokenizer.ggml` keys that a `tokenizer.json` implies: `hf_tokenizer` backwards, after llama.cpp's `convert_hf_to_gguf.py`.
//!
//! GGUF has less to say than `tokenizer.json`. What it has no key for is refused, never left out: llama.cpp would cut texts into other tokens.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::hf_tokenizer::{BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED};
use super::pre_tokenizer::{NAMES, pre_tokenizer};
use super::{GgufArray, GgufValue, spm_merges};
use crate::error::Shortened;
use crate::{FormatError, ModelSource, Place};

/// Name of the tokenizer's file in errors.
const FILE: &str = "tokenizer.json";
/// Way out that serves every tokenizer.
const MERGED: &str =
    "export it merged into its base (`merged`), and convert that with llama.cpp's convert_hf_to_gguf.py";
/// Score of a token that no merge makes, as the converter gives it to added tokens.
const NO_SCORE: f32 = -1000.0;
/// Space of SentencePiece.
const SPACE: &str = "▁";

type Keys = Vec<(String, GgufValue)>;

impl ModelSource {
    /// Returns the keys of GGUF's metadata for the model's tokenizer and chat templates. `vocab_size` is the number of rows of the embedding: ids
    /// without a token are filled up with unused ones.
    ///
    /// # Errors
    /// When there is no tokenizer, or one that llama.cpp cannot express: another kind than byte-level BPE and BPE with byte fallback
    /// (SentencePiece), or an unknown pre-tokenizer or normalizer.
    pub fn gguf_tokenizer(&self, vocab_size: usize) -> Result<Keys, FormatError> {
        let bytes = self.tokenizer.as_deref().ok_or_else(|| {
            let problem = "the model has none, and a GGUF model has its tokenizer in the file";
            FormatError::missing(FILE, Place::File, problem, "give a base model with a tokenizer.json")
        })?;
        let corrupt = |error: serde_json::Error| FormatError::corrupt(FILE, Place::File, error.to_string());
        let tokenizer: Value = serde_json::from_slice(bytes).map_err(corrupt)?;
        let config: Map<String, Value> = match &self.tokenizer_config {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                FormatError::corrupt("tokenizer_config.json", Place::File, error.to_string())
            })?,
            None => Map::new(),
        };
        let tokens = Tokens::read(&tokenizer, vocab_size)?;
        let mut keys = match kind(&tokenizer)? {
            Kind::ByteLevel => byte_level(&tokenizer, &tokens)?,
            Kind::SentencePiece => sentence_piece(&tokenizer, &tokens)?,
        };
        keys.extend(self.special_tokens(&tokenizer, &config, &tokens)?);
        keys.extend(self.template_keys(&config));
        Ok(keys)
    }

    /// Returns the ids of the tokens with a role, and whether they are put around a text.
    fn special_tokens(
        &self,
        tokenizer: &Value,
        config: &Map<String, Value>,
        tokens: &Tokens,
    ) -> Result<Keys, FormatError> {
        let model: Value = serde_json::from_str(&self.config).unwrap_or_default();
        let mut keys = Keys::new();
        let mut ids = BTreeMap::new();
        for (role, key) in
            [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("sep", "seperator"), ("pad", "padding")]
        {
            let named = config.get(&format!("{role}_token"));
            let named = named.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
            let by_name = named.and_then(|token| tokens.ids.get(token).copied());
            let in_config = || match model.get(format!("{role}_token_id"))? {
                Value::Array(several) => several.first()?.as_u64(),
                one => one.as_u64(),
            };
            let by_id = || usize::try_from(in_config()?).ok().filter(|id| *id < tokens.texts.len());
            if let Some(id) = by_name.or_else(by_id) {
                ids.insert(role, id);
                keys.push((format!("tokenizer.ggml.{key}_token_id"), GgufValue::U32(id as u32)));
            }
        }
        let (begins, ends) = around(tokenizer, tokens)?;
        for (role, given, verb) in [("bos", begins, "begins"), ("eos", ends, "ends")] {
            if let Some(id) = given
                && *ids.entry(role).or_insert_with(|| {
                    keys.push((format!("tokenizer.ggml.{role}_token_id"), GgufValue::U32(id as u32)));
                    id
                }) != id
            {
                let problem = format!("token {id} {verb} every text, and it is not the {role}_token");
                return Err(refusal("post_processor", problem));
            }
            keys.push((format!("tokenizer.ggml.add_{role}_token"), GgufValue::Bool(given.is_some())));
        }
        Ok(keys)
    }

    /// Returns the chat templates: one, or the default one and the others by name.
    fn template_keys(&self, config: &Map<String, Value>) -> Keys {
        let mut templates: Vec<(String, String)> = match config.get("chat_template") {
            Some(Value::String(template)) => vec![("default".to_owned(), template.clone())],
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(|template| {
                    let text = |key| template.get(key).and_then(Value::as_str).map(str::to_owned);
                    Some((text("name")?, text("template")?))
                })
                .collect(),
            _ => Vec::new(),
        };
        let own = [("default", &self.chat_template), ("tool_use", &self.tool_use_template)];
        for (name, template) in own {
            if let Some(template) = template {
                templates.retain(|(other, _)| other != name);
                templates.push((name.to_owned(), template.clone()));
            }
        }
        let key = |name: &str| match name {
            "default" => "tokenizer.chat_template".to_owned(),
            name => format!("tokenizer.chat_template.{name}"),
        };
        let names: Vec<String> =
            templates.iter().map(|(name, _)| name.clone()).filter(|name| name != "default").collect();
        let mut keys: Keys =
            templates.into_iter().map(|(name, template)| (key(&name), GgufValue::String(template))).collect();
        if !names.is_empty() {
            keys.push(("tokenizer.chat_templates".to_owned(), GgufValue::Array(GgufArray::String(names))));
        }
        keys
    }
}

fn refusal(key: &str, problem: impl Into<String>) -> FormatError {
    FormatError::unsupported(FILE, Place::Key(key.to_owned()), problem, MERGED)
}

/// Kind of a tokenizer, as llama.cpp tells them apart.
enum Kind {
    ByteLevel,
    SentencePiece,
}

fn kind(tokenizer: &Value) -> Result<Kind, FormatError> {
    let model = &tokenizer["model"];
    // Old files lack the type, and are of the oldest one.
    let name = model["type"].as_str().unwrap_or(if model["merges"].is_array() { "BPE" } else { "" });
    match (name, model["byte_fallback"].as_bool().unwrap_or(false)) {
        ("BPE", true) => Ok(Kind::SentencePiece),
        ("BPE", false) => Ok(Kind::ByteLevel),
        (other, _) => {
            let problem =
                format!("tokenizers of kind {:?} are not written as GGUF; BPE ones are", Shortened(other));
            Err(refusal("model.type", problem))
        }
    }
}

/// Every id's text and type.
struct Tokens {
    texts: Vec<String>,
    types: Vec<i64>,
    ids: HashMap<String, usize>,
}

impl Tokens {
    fn read(tokenizer: &Value, vocab_size: usize) -> Result<Self, FormatError> {
        let mut tokens = Self {
            texts: (0..vocab_size).map(|id| format!("[PAD{id}]")).collect(),
            types: vec![UNUSED; vocab_size],
            ids: HashMap::new(),
        };
        let vocabulary = tokenizer["model"]["vocab"]
            .as_object()
            .ok_or_else(|| refusal("model.vocab", "it is no map of tokens to ids"))?;
        for (text, id) in vocabulary {
            tokens.set(text, id, NORMAL)?;
        }
        for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
            let text = token["content"].as_str().unwrap_or_default();
            let special = token["special"].as_bool().unwrap_or(false) || looks_special(text);
            tokens.set(text, &token["id"], if special { CONTROL } else { USER_DEFINED })?;
        }
        Ok(tokens)
    }

    fn set(&mut self, text: &str, id: &Value, kind: i64) -> Result<(), FormatError> {
        let place = id.as_u64().and_then(|id| usize::try_from(id).ok());
        match place.and_then(|id| Some((self.texts.get_mut(id)?, self.types.get_mut(id)?, id))) {
            Some((place, type_of, id)) => {
                text.clone_into(place);
                *type_of = kind;
                self.ids.insert(text.to_owned(), id);
                Ok(())
            }
            None => {
                let problem =
                    format!("token {:?} has id {id}, and the model {}", Shortened(text), self.texts.len());
                Err(refusal("model.vocab", problem))
            }
        }
    }

    fn keys(&self, model: &str, pre: &str) -> Keys {
        let types = self.types.iter().map(|kind| *kind as i32).collect();
        [
            ("model", GgufValue::String(model.to_owned())),
            ("pre", GgufValue::String(pre.to_owned())),
            ("tokens", GgufValue::Array(GgufArray::String(self.texts.clone()))),
            ("token_type", GgufValue::Array(GgufArray::I32(types))),
        ]
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
        .into()
    }
}

/// Whether an added token is a marker although its file does not say so: the converter's `does_token_look_special`.
fn looks_special(token: &str) -> bool {
    let between = |start: &str, end: &str| token.starts_with(start) && token.ends_with(end);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&token)
        || between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">")
}

/// Returns the two halves of each merge.
fn merges(tokenizer: &Value) -> Result<Vec<(&str, &str)>, FormatError> {
    let list = tokenizer["model"]["merges"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .enumerate()
        .map(|(index, merge)| {
            let split = match merge {
                // The old form, in which a piece has no spaces.
                Value::String(text) => text.split_once(' '),
                Value::Array(halves) => match &halves[..] {
                    [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                    _ => None,
                },
                _ => None,
            };
            split.ok_or_else(|| {
                let place = Place::Key("model.merges".to_owned());
                FormatError::corrupt(FILE, place, format!("merge {index} is not two pieces"))
            })
        })
        .collect()
}

/// Returns the ids of the tokens that a tokenizer puts before and after a text.
fn around(tokenizer: &Value, tokens: &Tokens) -> Result<(Option<usize>, Option<usize>), FormatError> {
    let post = &tokenizer["post_processor"];
    let steps: Vec<&Value> = match post["processors"].as_array() {
        Some(steps) => steps.iter().collect(),
        None if post.is_null() => Vec::new(),
        None => vec![post],
    };
    let (mut begins, mut ends) = (None, None);
    for step in steps {
        match step["type"].as_str().unwrap_or_default() {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let parts = step["single"].as_array().map(Vec::as_slice).unwrap_or_default();
                let text = parts.iter().position(|part| part.get("Sequence").is_some());
                let id = |part: &Value| {
                    let token = part["SpecialToken"]["id"].as_str().unwrap_or_default();
                    let problem = || format!("it puts in {:?}, which is no token", Shortened(token));
                    let id = tokens.ids.get(token).copied();
                    id.map(Some).ok_or_else(|| refusal("post_processor", problem()))
                };
                (begins, ends) = match (text, parts) {
                    (Some(0), [_]) => (None, None),
                    (Some(1), [first, _]) => (id(first)?, None),
                    (Some(0), [_, last]) => (None, id(last)?),
                    (Some(1), [first, _, last]) => (id(first)?, id(last)?),
                    _ => {
                        let problem = "it puts more than a token before and a token after a text";
                        return Err(refusal("post_processor", problem));
                    }
                };
            }
            other => {
                let problem = format!("{:?} is not written as GGUF", Shortened(other));
                return Err(refusal("post_processor", problem));
            }
        }
    }
    Ok((begins, ends))
}

fn byte_level(tokenizer: &Value, tokens: &Tokens) -> Result<Keys, FormatError> {
    let unicode = match &tokenizer["normalizer"] {
        Value::Null => true,
        // llama.cpp has none, and its converter leaves it out too: texts are in this form nearly always.
        normalizer if normalizer["type"] == "NFC" => true,
        normalizer => normalizer["normalizers"].as_array().is_some_and(Vec::is_empty),
    };
    if !unicode {
        let problem = "it changes texts before they are cut, which llama.cpp does not do for BPE";
        return Err(refusal("normalizer", problem));
    }
    let given = comparable(&tokenizer["pre_tokenizer"]);
    let ignore_merges = tokenizer["model"]["ignore_merges"].as_bool().unwrap_or(false);
    let same = |name: &&&str| {
        pre_tokenizer(name)
            .is_some_and(|pre| pre.ignore_merges == ignore_merges && comparable(&pre.pre_tokenizer) == given)
    };
    let pre = NAMES.iter().find(same).ok_or_else(|| {
        let problem = format!("it is none of those whose names are known here ({})", NAMES.join(", "));
        refusal("pre_tokenizer", problem)
    })?;
    let mut keys = tokens.keys("gpt2", pre);
    // A space inside a piece would separate the halves; the vocabulary has no such piece, since it writes bytes as letters.
    let list = merges(tokenizer)?
        .into_iter()
        .map(|(left, right)| format!("{} {}", left.replace(' ', "Ġ"), right.replace(' ', "Ġ")))
        .collect();
    keys.push(("tokenizer.ggml.merges".to_owned(), GgufValue::Array(GgufArray::String(list))));
    Ok(keys)
}

/// Returns a pre-tokenizer in the one form in which equal ones are equal: without what changes no token, and with what is implied.
fn comparable(step: &Value) -> Value {
    if let Some(steps) = step["pretokenizers"].as_array() {
        let mut steps: Vec<Value> = steps.iter().map(comparable).collect();
        return match steps.len() {
            1 => steps.remove(0),
            _ => Value::Array(steps),
        };
    }
    let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
    match step["type"].as_str() {
        Some("ByteLevel") => json!([
            "ByteLevel",
            step["add_prefix_space"].as_bool().unwrap_or(true),
            step["use_regex"].as_bool().unwrap_or(true)
        ]),
        Some("Digits") => json!(["Digits", step["individual_digits"].as_bool().unwrap_or(false)]),
        Some("Split") => {
            let inverted = step["invert"].as_bool().unwrap_or(false);
            // To remove what is between the matches is to isolate them, if every character is in one.
            let behavior = match (text("behavior").as_str(), inverted) {
                ("Removed", true) | ("Isolated", false) => "Isolated".to_owned(),
                (other, inverted) => format!("{other} {inverted}"),
            };
            json!(["Split", step["pattern"], behavior])
        }
        _ => step.clone(),
    }
}

fn sentence_piece(tokenizer: &Value, tokens: &Tokens) -> Result<Keys, FormatError> {
    let prefix = space_prefix(tokenizer)?;
    let merges = merges(tokenizer)?;
    let mut types = tokens.types.clone();
    let unknown = tokenizer["model"]["unk_token"].as_str().and_then(|unk| tokens.ids.get(unk));
    if let Some(kind) = unknown.and_then(|id| types.get_mut(*id)) {
        *kind = UNKNOWN;
    }
    for (text, kind) in tokens.texts.iter().zip(&mut types) {
        if *kind == NORMAL && is_byte(text) {
            *kind = BYTE;
        }
    }
    // SentencePiece joins the pair whose piece has the best score: the first merge has the best.
    let mut scores = vec![NO_SCORE; tokens.texts.len()];
    let normal = |id: usize| types.get(id) == Some(&NORMAL);
    for (id, score) in scores.iter_mut().enumerate().filter(|(id, _)| normal(*id)) {
        // Letters, which nothing is joined to make, after every piece.
        *score = 0.0 - (merges.len() + id) as f32;
    }
    let mut made = Vec::with_capacity(merges.len());
    let mut last_rank = vec![0; tokens.texts.len()];
    for (rank, (left, right)) in merges.iter().enumerate() {
        let joined = format!("{left}{right}");
        let id = tokens.ids.get(&joined).copied().filter(|id| normal(*id)).ok_or_else(|| {
            let problem = format!("merge {rank} makes {:?}, no token of the vocabulary", Shortened(&joined));
            refusal("model.merges", problem)
        })?;
        if let Some(last) = last_rank.get_mut(id) {
            *last = rank;
        }
        made.push(id);
    }
    // Tokens whose merges are mixed have the same score.
    let (mut first, mut end) = (0, 0);
    for (rank, id) in made.iter().enumerate() {
        if rank > end {
            first = rank;
        }
        end = end.max(last_rank.get(*id).copied().unwrap_or(rank)).max(rank);
        if let Some(score) = scores.get_mut(*id) {
            *score = 0.0 - first as f32;
        }
    }
    let pieces: Vec<(&str, f32)> = (0..scores.len())
        .filter(|id| normal(*id))
        .filter_map(|id| Some((tokens.texts.get(id)?.as_str(), *scores.get(id)?)))
        .collect();
    let implied = spm_merges::merges(&pieces);
    if implied != merges {
        let place = implied.iter().zip(&merges).position(|(a, b)| a != b);
        let problem = format!(
            "they are not those that scores imply, as in SentencePiece: {} merges and {}, the first other one at {}",
            merges.len(),
            implied.len(),
            place.unwrap_or(implied.len().min(merges.len()))
        );
        return Err(refusal("model.merges", problem));
    }
    // Spaces of added tokens that are text are real ones in llama.cpp.
    let texts = tokens.texts.iter().zip(&types).map(|(text, kind)| match *kind {
        USER_DEFINED => text.replace(SPACE, " "),
        _ => text.clone(),
    });
    let (texts, types) = (texts.collect(), types);
    let mut keys = Tokens { texts, types, ids: HashMap::new() }.keys("llama", "default");
    keys.push(("tokenizer.ggml.scores".to_owned(), GgufValue::Array(GgufArray::F32(scores))));
    keys.push(("tokenizer.ggml.add_space_prefix".to_owned(), GgufValue::Bool(prefix)));
    Ok(keys)
}

/// Whether a token stands for a byte: `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// Whether a space is put before a text. Spaces become `▁` by a normalizer, or by a pre-tokenizer.
fn space_prefix(tokenizer: &Value) -> Result<bool, FormatError> {
    let normalizer = &tokenizer["normalizer"];
    let steps: Vec<&Value> = match normalizer["normalizers"].as_array() {
        Some(steps) => steps.iter().collect(),
        None if normalizer.is_null() => Vec::new(),
        None => vec![normalizer],
    };
    let (mut replaced, mut prefix) = (false, false);
    for step in steps {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == SPACE => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == SPACE => {
                replaced = true;
            }
            _ => return Err(refusal("normalizer", "it does more than to write spaces as ▁")),
        }
    }
    let pre = &tokenizer["pre_tokenizer"];
    match pre["type"].as_str() {
        None => {}
        // Nothing to cut: every space has been replaced.
        Some("Split") if replaced && pre["pattern"]["String"] == " " => {}
        Some("Metaspace") if pre["replacement"] == SPACE && pre["split"] == false => {
            replaced = true;
            prefix = match pre["prepend_scheme"].as_str() {
                Some("never") => false,
                Some(_) => true,
                None => pre["add_prefix_space"].as_bool().unwrap_or(true),
            };
        }
        Some(other) => {
            let problem = format!("{:?} is not SentencePiece's", Shortened(other));
            return Err(refusal("pre_tokenizer", problem));
        }
    }
    match replaced {
        true => Ok(prefix),
        false => Err(refusal("normalizer", "spaces are not written as ▁, which SentencePiece does")),
    }
}
