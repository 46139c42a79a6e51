//! Reads values of a row's fields, and creates the errors for values of another type.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    error::{DataError, DataErrorKind},
    json_value::{self, Invalid},
};

pub(crate) fn bad(problem: impl Into<String>, help: &str) -> DataError {
    DataError::new(DataErrorKind::BadRow, problem, help)
}

/// Names of fields that are lists or tables. In a CSV file, and in some Parquet files, they are JSON in a string.
const STRUCTURED: [&str; 8] = [
    "messages",
    "conversations",
    "history",
    "tools",
    "chat_template_kwargs",
    "input_ids",
    "labels",
    "attention_mask",
];

/// Returns a field that has a value. A table writes `null` where a row lacks the column; an empty cell where a list is expected counts as missing,
/// too.
pub(super) fn get<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| match value {
        Value::Null => false,
        Value::String(text) => !(text.trim().is_empty() && STRUCTURED.contains(&name)),
        _ => true,
    })
}

/// Returns a list or table, even where it is written as JSON in a string.
pub(super) fn structured<'a>(name: &str, value: &'a Value) -> Result<Cow<'a, Value>, DataError> {
    let Value::String(text) = value else { return Ok(Cow::Borrowed(value)) };
    json_value::parse(text).map(Cow::Owned).map_err(|error| {
        let Invalid { problem, line, column } = error;
        let place = format!("at line {line} column {column}");
        bad(format!("{name} is a string that is not JSON: {problem} {place}"), "write it as a JSON array")
    })
}

/// Returns the names of the fields that a row has, for a message.
pub(super) fn names(fields: &Map<String, Value>) -> String {
    const SHOWN: usize = 12;
    const LONGEST: usize = 40;
    if fields.is_empty() {
        return "none".to_owned();
    }
    let short = |name: &String| match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &name[..at]),
        None => name.clone(),
    };
    let mut names: Vec<String> = fields.keys().take(SHOWN).map(short).collect();
    if fields.len() > SHOWN {
        names.push("...".to_owned());
    }
    names.join(", ")
}

/// Returns the type of a value, for a message.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Returns a text.
pub(super) fn string(name: &str, value: &Value) -> Result<String, DataError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(bad(format!("{name} must be a string, found {}", kind(other)), "")),
    }
}
