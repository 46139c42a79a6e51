//! Parses rows of words and their tags.

use lorelei_recipe::message;
use serde_json::Value;

use super::{
    Row,
    field::{bad, kind, must_be, structured},
};
use crate::error::DataError;

/// Parses the words with their tags.
pub(super) fn parse(words: &Value, name: &str, tags: &Value) -> Result<Row, DataError> {
    let words = list("tokens", words)?
        .into_iter()
        .enumerate()
        .map(|(at, word)| match word {
            Value::String(word) => Ok(word),
            other => Err(must_be(format!("tokens[{at}]"), message!("a text"), kind(&other))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let tags = list(name, tags)?;
    if let Some(at) = tags.iter().position(|tag| !(tag.is_string() || tag.is_number())) {
        let expected = message!("a number or a name");
        return Err(must_be(format!("{name}[{at}]"), expected, kind(&tags[at])));
    }
    if tags.len() != words.len() {
        let problem = message!(
            "{name} has {count} entries but {other} has {expected}",
            name,
            count = tags.len(),
            other = "tokens",
            expected = words.len()
        );
        return Err(bad(problem, message!("give one for each word")));
    }
    Ok(Row::Words { words, tags })
}

fn list(name: &str, value: &Value) -> Result<Vec<Value>, DataError> {
    match structured(name, value)?.into_owned() {
        Value::Array(items) => Ok(items),
        other => Err(must_be(name, message!("a list"), kind(&other))),
    }
}
