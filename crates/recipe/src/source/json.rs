//! Parser of JSON to [`Node`]s.
//!
//! serde_json checks whether the text is JSON (and limits its depth), but does not give the places of its values. So a
//! second pass, over text that is known to be valid, finds the places.

use serde_json::Value as Json;

use super::{Entry, Node, Source, Value};
use crate::{RecipeError, message};

impl Source<'_> {
    /// Reads the text as JSON: an object.
    pub(crate) fn json(&self) -> Result<Vec<Entry>, RecipeError> {
        serde_json::from_str::<Json>(self.text).map_err(|error| {
            let message = error.to_string();
            // serde_json ends its message with the place, which Lorelei's errors begin with.
            let message = message.split(" at line ").next().unwrap_or_default();
            let mut located = self.syntax_error(None, "JSON", message);
            (located.line, located.column) = (error.line().max(1), error.column().max(1));
            located
        })?;
        let mut walk = Walk { text: self.text, at: 0 };
        match walk.node() {
            Some(Node { value: Value::Table(entries), .. }) => Ok(entries),
            _ => Err(self.no_recipe(
                Some(0),
                message!("JSON for a recipe"),
                message!("an object { ... } is expected"),
            )),
        }
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

/// Every method returns an `Option` only so that a mistake here would be an error and not a panic.
impl Walk<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn node(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let value = match first {
            b'{' => Value::Table(self.list(b'}', |walk| {
                walk.peek()?;
                let at = walk.at;
                let name = walk.string()?;
                walk.take(b':')?;
                Some(Entry { name, at, node: walk.node()? })
            })?),
            b'[' => Value::List(self.list(b']', Walk::node)?),
            b'"' => Value::Text(self.string()?),
            _ => self.word()?,
        };
        Some(Node { span: start..self.at, value })
    }

    fn list<T>(&mut self, end: u8, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.at += 1;
        let mut items = Vec::new();
        while self.peek()? != end {
            if !items.is_empty() {
                self.take(b',')?;
            }
            items.push(item(self)?);
        }
        self.at += 1;
        Some(items)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn word(&mut self) -> Option<Value> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            .count();
        let word = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(match serde_json::from_str::<Json>(word).ok()? {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                // serde_json's number is not used: without one of its features, it is at times off by one in the last place.
                None => Value::Float(word.parse().ok()?),
            },
            _ => return None,
        })
    }
}
