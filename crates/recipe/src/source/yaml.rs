//! Parser of YAML to [`Node`]s, by the core schema of YAML 1.2: `1e-4` is a number, `yes` and `no` are words.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{Entry, Node, Source, Value};
use crate::RecipeError;

/// Maximum nesting depth: deeper than any configuration, and shallow enough for any stack.
const MAX_DEPTH: usize = 64;

impl Source<'_> {
    /// Reads the text as YAML: one mapping. Aliases are refused, so that a short text cannot stand for a long one.
    pub(crate) fn yaml(&self) -> Result<Vec<Entry>, RecipeError> {
        let lines: Vec<usize> =
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut walk = Walk { source: self, lines, open: Vec::new(), root: None };
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| {
                let at = walk.byte(error.marker());
                self.syntax_error(Some(at), "YAML", error.info())
            })?;
            let at = walk.byte(&span.start);
            walk.event(event, at, walk.byte(&span.end))
                .map_err(|message| self.syntax_error(Some(at), "YAML for a recipe", &message))?;
        }
        match walk.root {
            Some(Node { value: Value::Table(entries), .. }) => Ok(entries),
            _ => Err(self.syntax_error(Some(0), "YAML for a recipe", "a mapping of keys is expected")),
        }
    }
}

/// A mapping or sequence that has not ended yet.
enum Open {
    List(usize, Vec<Node>),
    Table(usize, Vec<Entry>, Option<(String, usize)>),
}

struct Walk<'a> {
    source: &'a Source<'a>,
    /// Index of the first byte of each line.
    lines: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Walk<'_> {
    fn byte(&self, marker: &Marker) -> usize {
        let text = self.source.text;
        let start = self.lines.get(marker.line().saturating_sub(1)).copied().unwrap_or(text.len());
        let line = text.get(start..).unwrap_or_default();
        line.char_indices().nth(marker.col()).map_or(text.len(), |(at, _)| start + at)
    }

    fn event(&mut self, event: Event<'_>, at: usize, end: usize) -> Result<(), String> {
        match event {
            Event::Alias(_) => Err("aliases (*name) are not read; write the value out".into()),
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Table(_, _, key @ None)) = self.open.last_mut() {
                    *key = Some((text.into_owned(), at));
                    return Ok(());
                }
                let value = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                self.put(Node { span: at..end.max(at), value })
            }
            Event::SequenceStart(..) => self.begin(Open::List(at, Vec::new())),
            Event::MappingStart(..) => self.begin(Open::Table(at, Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List(start, list)) => {
                        Node { span: start..end.max(start), value: Value::List(list) }
                    }
                    Some(Open::Table(start, entries, _)) => {
                        Node { span: start..end.max(start), value: Value::Table(entries) }
                    }
                    None => return Err("a bracket too many".into()),
                };
                self.put(node)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        if let Some(Open::Table(_, _, None)) = self.open.last() {
            return Err("a key is a word".into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<(), String> {
        match self.open.last_mut() {
            Some(Open::List(_, list)) => list.push(node),
            Some(Open::Table(_, entries, key)) => {
                let (name, at) = key.take().ok_or("a key is a word")?;
                entries.push(Entry { name, at, node });
            }
            None if self.root.is_some() => return Err("one document is read, and there are more".into()),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// Reads a scalar without quotes.
fn plain(text: &str) -> Value {
    let digits = text.trim_start_matches(['-', '+']);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        // Rust would read "inf" and "nan" as numbers, which YAML does not.
        _ if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            Value::Text(text.into())
        }
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(number)) => Value::Float(number),
            _ => Value::Text(text.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, serde_json::Value)>, String> {
        let source = Source::new("f.yaml", text);
        let entries = source.yaml().map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.node.to_json().unwrap())).collect())
    }

    #[test]
    fn scalars_are_those_of_the_core_schema() {
        let text = "a: 1e-4\nb: no\nc: \"1\"\nd: ~\ne: [1, -2.5, x]\nf: {g: True}\nh: q_proj,v_proj\n";
        let got = read(text).unwrap();
        let want = serde_json::json!({"a": 1e-4, "b": "no", "c": "1", "d": null, "e": [1, -2.5, "x"],
            "f": {"g": true}, "h": "q_proj,v_proj"});
        for (name, value) in got {
            assert_eq!(value, want[&name], "{name}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_a_place() {
        for (text, words) in [
            ("a: &x [1]\nb: *x\n", "f.yaml:2:4: "),
            ("- 1\n", "a mapping of keys"),
            ("a: 1\n---\nb: 2\n", "one document"),
            ("a: [1\n", "f.yaml:"),
            ("[1]: 2\n", "a key is a word"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert!(read(&"a: ".repeat(3)).is_err());
        assert!(read(&format!("a: {}", "[".repeat(1000))).is_err());
    }
}
