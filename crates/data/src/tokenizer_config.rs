//! Reads `tokenizer_config.json`: the special tokens by name, whether a beginning token is added, and the chat template.

use std::collections::BTreeMap;

use lorelei_recipe::message;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{DataError, DataErrorKind};

/// The part of `tokenizer_config.json` that training needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenizerConfig {
    /// `bos_token`, `eos_token`, `pad_token`, ... by name: every entry that ends in `_token`, a string or `{"content": ...}`. `None` where the file
    /// says `null`.
    pub(crate) special_tokens: BTreeMap<String, Option<String>>,
    /// Value of `tokenizer_class`.
    pub(crate) tokenizer_class: Option<String>,
    /// Value of `added_tokens_decoder`, in the order of the ids. `None` where the file has none.
    pub(crate) added_tokens: Option<Vec<AddedToken>>,
    /// Value of `add_bos_token`, where the file has it.
    pub(crate) add_bos_token: Option<bool>,
    /// Value of `chat_template`. If it is a list of named templates, the one called `default`, or the only one.
    pub(crate) chat_template: Option<String>,
    /// The template called `tool_use` in a list of named ones, for conversations with tools.
    pub(crate) tool_use_template: Option<String>,
}

impl TokenizerConfig {
    /// Parses the file's text. Entries of unexpected types are ignored, as Transformers ignores unknown ones. Only a text that is not a JSON object
    /// is an error.
    pub(crate) fn parse(json: &str) -> Result<Self, DataError> {
        let fields = object(json, "tokenizer_config.json")?;
        let template = fields.get("chat_template");
        Ok(Self {
            special_tokens: special_tokens(&fields),
            tokenizer_class: fields.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned),
            added_tokens: fields.get("added_tokens_decoder").and_then(Value::as_object).map(added_tokens),
            add_bos_token: fields.get("add_bos_token").and_then(Value::as_bool),
            chat_template: template.and_then(template_text),
            tool_use_template: template.and_then(|value| named(value, "tool_use")),
        })
    }
}

/// Parses a text file of a model that is a JSON object.
///
/// # Errors
///
/// If it is another value, or no JSON.
pub(crate) fn object(json: &str, file_name: &str) -> Result<Map<String, Value>, DataError> {
    serde_json::from_str(json).map_err(|error| {
        DataError::new(
            DataErrorKind::Tokenizer,
            message!("{file} is not a JSON object: {reason}", file = file_name, reason = error.to_string()),
            message!("download the file again"),
        )
    })
}

/// Returns the special tokens of `tokenizer_config.json` or `special_tokens_map.json` by name.
pub(crate) fn special_tokens(fields: &Map<String, Value>) -> BTreeMap<String, Option<String>> {
    let is_token = |(name, value): &(&String, &Value)| {
        name.ends_with("_token") && (value.is_null() || token_text(value).is_some())
    };
    fields.iter().filter(is_token).map(|(name, value)| (name.clone(), token_text(value))).collect()
}

/// Returns a token, which is written as its text or as an `AddedToken` object.
fn token_text(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the tokens of `added_tokens_decoder` in the order of their ids.
fn added_tokens(decoder: &Map<String, Value>) -> Vec<AddedToken> {
    let mut tokens: Vec<(u32, AddedToken)> = decoder
        .iter()
        .filter_map(|(id, token)| {
            let flag = |name: &str| token.get(name).and_then(Value::as_bool);
            let special = flag("special").unwrap_or(false);
            let added = AddedToken::from(token_text(token)?, special)
                .single_word(flag("single_word").unwrap_or(false))
                .lstrip(flag("lstrip").unwrap_or(false))
                .rstrip(flag("rstrip").unwrap_or(false))
                .normalized(flag("normalized").unwrap_or(!special));
            Some((id.parse().ok()?, added))
        })
        .collect();
    tokens.sort_by_key(|(id, _)| *id);
    tokens.into_iter().map(|(_, token)| token).collect()
}

fn template_text(value: &Value) -> Option<String> {
    let template = match value {
        Value::String(template) => Some(template.as_str()),
        Value::Array(list) => {
            let only = if list.len() == 1 { list[0]["template"].as_str() } else { None };
            return named(value, "default").or_else(|| only.map(str::to_owned));
        }
        _ => None,
    };
    template.filter(|template| !template.is_empty()).map(str::to_owned)
}

fn named(value: &Value, name: &str) -> Option<String> {
    let entry = value.as_array()?.iter().find(|entry| entry["name"] == name)?;
    entry["template"].as_str().filter(|template| !template.is_empty()).map(str::to_owned)
}
