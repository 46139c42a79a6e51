//! A text with a name, and the tree that TOML, JSON and YAML are parsed to: values with their places.

mod json;
mod toml;
mod yaml;

use std::cell::OnceCell;
use std::ops::Range;

use serde_json::Value as Json;

use crate::{Message, RecipeError, Warning, message};

/// A text to read, with its name in errors.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    places: OnceCell<Places>,
}

/// Bytes between two counts of [`Places`].
const BLOCK: usize = 256;

/// What finds the line and column of a byte without reading the text from its beginning.
struct Places {
    /// Index of the first byte of each line.
    lines: Vec<usize>,
    /// Number of characters that begin before each block of bytes.
    characters: Vec<usize>,
}

impl Places {
    fn of(text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut characters = Vec::with_capacity(text.len() / BLOCK + 1);
        let mut before = 0;
        for block in text.as_bytes().chunks(BLOCK) {
            characters.push(before);
            before += begun(block);
        }
        characters.push(before);
        Self { lines, characters }
    }

    /// Returns the number of characters that begin before a byte.
    fn characters_before(&self, text: &str, at: usize) -> usize {
        let block = at / BLOCK;
        let within = text.as_bytes().get(block * BLOCK..at).unwrap_or_default();
        self.characters.get(block).copied().unwrap_or_default() + begun(within)
    }
}

/// Returns the number of characters that begin in some bytes.
fn begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Range of bytes in the text.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A kind of value that no setting takes, such as a date.
    Other(Message),
}

impl Node {
    /// Whether the value switches something on: it is not null, false or empty.
    pub(crate) fn is_active(&self) -> bool {
        match &self.value {
            Value::Null | Value::Bool(false) => false,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Table(entries) => !entries.is_empty(),
            Value::Bool(true) | Value::Int(_) | Value::Float(_) | Value::Other(_) => true,
        }
    }
}

/// An entry of a table: `name = node`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) node: Node,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text: text.strip_prefix('\u{feff}').unwrap_or(text), places: OnceCell::new() }
    }

    /// Returns the line and the column (in characters) of a byte of the text, both from 1.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let places = self.places.get_or_init(|| Places::of(self.text));
        let line = places.lines.partition_point(|start| *start <= at);
        let start = places.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = |at: usize| places.characters_before(self.text, at);
        (line, before(at) - before(start) + 1)
    }

    /// Sets the place of an error to a byte of the text.
    pub(crate) fn locate(&self, at: Option<usize>, mut error: RecipeError) -> RecipeError {
        error.file = self.file.to_string();
        if let Some(at) = at {
            (error.line, error.column) = self.position(at);
        }
        error
    }

    /// Sets the place of a warning to a byte of the text.
    pub(crate) fn locate_warning(&self, at: Option<usize>, mut warning: Warning) -> Warning {
        warning.file = self.file.to_string();
        if let Some(at) = at {
            (warning.line, warning.column) = self.position(at);
        }
        warning
    }

    /// Returns the error for a text that its language's parser does not read.
    fn syntax_error(&self, at: Option<usize>, language: &str, reason: &str) -> RecipeError {
        self.no_recipe(at, language, reason.trim().replace('\n', "; "))
    }

    /// Returns the error for a text that no recipe can be read from, for a reason.
    fn no_recipe(
        &self,
        at: Option<usize>,
        language: impl Into<Message>,
        reason: impl Into<Message>,
    ) -> RecipeError {
        let (language, reason) = (language.into(), reason.into());
        let message = message!("this is not valid {language}: {reason}", language, reason);
        self.locate(at, RecipeError::new("", message))
    }
}

impl Node {
    /// Converts the value to JSON, which has neither dates nor infinite numbers.
    ///
    /// # Errors
    /// If the value has no JSON form, such as a date, or a table has a key twice.
    pub(crate) fn to_json(&self) -> Result<Json, Message> {
        Ok(match &self.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => serde_json::Number::from_f64(*number)
                .map(Json::Number)
                .ok_or_else(|| message!("{name} is not a finite number", name = number))?,
            Value::Text(text) => Json::String(text.clone()),
            Value::List(list) => Json::Array(list.iter().map(Node::to_json).collect::<Result<_, _>>()?),
            Value::Table(entries) => {
                let mut map = serde_json::Map::new();
                for entry in entries {
                    if map.insert(entry.name.clone(), entry.node.to_json()?).is_some() {
                        return Err(message!("{name} is given twice", name = ?entry.name));
                    }
                }
                Json::Object(map)
            }
            Value::Other(kind) => {
                return Err(message!("{kind} is not a value that a setting takes", kind));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", "a = \"é\"\nü = 1");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(7), (1, 7));
        assert_eq!(source.position(source.text.len()), (2, 6));
        assert_eq!(source.position(10_000), (2, 6));
        let text = "é\n\nabcü, \r\n".repeat(200) + &"xé".repeat(500);
        let source = Source::new("f", &text);
        for (at, _) in text.char_indices() {
            let before = &text[..at];
            let line = before.rsplit('\n').next().unwrap_or_default();
            assert_eq!(
                source.position(at),
                (before.matches('\n').count() + 1, line.chars().count() + 1),
                "{at}"
            );
        }
    }
}
