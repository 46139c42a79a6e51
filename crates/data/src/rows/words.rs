//! Parses rows of words and their tags.

use serde_json::Value;

use super::{
    Row,
    field::{bad, kind, structured},
};
use crate::error::DataError;

/// Parses the words with their tags.
pub(super) fn parse(words: &Value, name: &str, tags: &Value) -> Result<Row, DataError> {
    let words = list("tokens", words)?
        .into_iter()
        .enumerate()
        .map(|(at, word)| match word {
            Value::String(word) => Ok(word),
            other => Err(bad(format!("tokens[{at}] must be a text, found {}", kind(&other)), "")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let tags = list(name, tags)?;
    if let Some(at) = tags.iter().position(|tag| !(tag.is_string() || tag.is_number())) {
        return Err(bad(format!("{name}[{at}] must be a number or a name, found {}", kind(&tags[at])), ""));
    }
    if tags.len() != words.len() {
        let problem = format!("{name} has {} entries but tokens has {}", tags.len(), words.len());
        return Err(bad(problem, "give one for each word"));
    }
    Ok(Row::Words { words, tags })
}

fn list(name: &str, value: &Value) -> Result<Vec<Value>, DataError> {
    match structured(name, value)?.into_owned() {
        Value::Array(items) => Ok(items),
        other => Err(bad(format!("{name} must be a list, found {}", kind(&other)), "")),
    }
}
