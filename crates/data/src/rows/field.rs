//! Reads values of a row's fields, and creates the errors for values of another type.

use std::borrow::Cow;

use lorelei_recipe::{Message, message};
use serde_json::{Map, Value};

use crate::{
    error::{DataError, DataErrorKind},
    json_value::{self, Invalid},
};

pub(crate) fn bad(problem: impl Into<Message>, help: impl Into<Message>) -> DataError {
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
        bad(
            message!(
                "{name} is a string that is not JSON: {problem} at line {line} column {column}",
                name,
                problem,
                line,
                column
            ),
            message!("write it as a JSON array"),
        )
    })
}

/// Returns the names of the fields that a row has, for a message.
pub(super) fn names(fields: &Map<String, Value>) -> Message {
    const SHOWN: usize = 12;
    const LONGEST: usize = 40;
    if fields.is_empty() {
        return message!("none");
    }
    let short = |name: &String| match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &name[..at]),
        None => name.clone(),
    };
    let mut names: Vec<String> = fields.keys().take(SHOWN).map(short).collect();
    if fields.len() > SHOWN {
        names.push("...".to_owned());
    }
    names.join(", ").into()
}

/// Creates the error for a value of another type than it must have.
pub(super) fn must_be(name: impl Into<Message>, expected: Message, found: impl Into<Message>) -> DataError {
    bad(message!("{name} must be {expected}, found {found}", name, expected, found), "")
}

/// Returns a number, or the type of another value, for a message.
pub(super) fn short(value: &Value) -> Message {
    match value {
        Value::Number(number) => number.to_string().into(),
        other => kind(other),
    }
}

/// Returns the type of a value, for a message.
pub(crate) fn kind(value: &Value) -> Message {
    match value {
        Value::Null => message!("null"),
        Value::Bool(_) => message!("a boolean"),
        Value::Number(_) => message!("a number"),
        Value::String(_) => message!("a string"),
        Value::Array(_) => message!("an array"),
        Value::Object(_) => message!("an object"),
    }
}

/// Returns a text.
pub(super) fn string(name: &str, value: &Value) -> Result<String, DataError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(must_be(name, message!("a string"), kind(other))),
    }
}
