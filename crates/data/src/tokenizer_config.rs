//! Reads `tokenizer_config.json`: the special tokens by name, whether a beginning token is added, and the chat template.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{DataError, DataErrorKind};

/// The part of `tokenizer_config.json` that training needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenizerConfig {
    /// `bos_token`, `eos_token`, `pad_token`, ... by name: every string (or `{"content": ...}`) entry that ends in
    /// `_token`. Templates see them as variables.
    pub(crate) special_tokens: BTreeMap<String, String>,
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
        let fields: serde_json::Map<String, Value> = serde_json::from_str(json).map_err(|error| {
            DataError::new(
                DataErrorKind::Tokenizer,
                format!("tokenizer_config.json is not a JSON object: {error}"),
                "download the file again",
            )
        })?;
        let special_tokens = fields
            .iter()
            .filter(|(name, _)| name.ends_with("_token"))
            .filter_map(|(name, value)| Some((name.clone(), token_text(value)?)))
            .collect();
        Ok(Self {
            special_tokens,
            add_bos_token: fields.get("add_bos_token").and_then(Value::as_bool),
            chat_template: fields.get("chat_template").and_then(template_text),
            tool_use_template: fields.get("chat_template").and_then(|value| named(value, "tool_use")),
        })
    }
}

/// Returns a token, which is written as its text or as an `AddedToken` object.
fn token_text(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
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
