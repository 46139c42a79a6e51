//! Parser of YAML to [`Node`]s. Scalars are read as PyYAML reads them, by YAML 1.1 (`yes` is true, `1_000` a number), with the one
//! exception of `1e-4`, which is a string there and which every trainer converts to a number.

mod brackets;
mod scalar;

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{Entry, Node, Source, Value};
use crate::{Message, RecipeError, message};

/// Maximum nesting depth: deeper than any configuration, and shallow enough for any stack.
const MAX_DEPTH: usize = 64;

/// Maximum number of values that aliases may add, so that a short text cannot stand for a long one.
const MAX_COPIED: usize = 10_000;

impl Source<'_> {
    /// Reads the text as YAML: one mapping. Aliases (`*name`) and merge keys (`<<`) are replaced by what they stand for.
    pub(crate) fn yaml(&self) -> Result<Vec<Entry>, RecipeError> {
        let read = self.parse(self.text);
        // PyYAML takes brackets whose lines are not indented, which YAML's grammar and this parser do not.
        match (&read, brackets::joined(self.text)) {
            (Err(_), Some(joined)) => self.parse(&joined).or(read),
            _ => read,
        }
    }

    /// Parses a text whose bytes stand at the same places as those of this one.
    fn parse(&self, text: &str) -> Result<Vec<Entry>, RecipeError> {
        let lines: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut walk = Walk {
            text,
            lines,
            last: (1, 0, 0),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            copied: 0,
        };
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let at = walk.byte(error.marker());
                self.syntax_error(Some(at), "YAML", error.info())
            })?;
            let at = walk.byte(&span.start);
            let end = walk.byte(&span.end);
            walk.event(event, at, end)
                .map_err(|reason| self.no_recipe(Some(at), message!("YAML for a recipe"), reason))?;
        }
        match walk.root {
            Some(Node { value: Value::Table(entries), .. }) => Ok(entries),
            _ => Err(self.no_recipe(
                Some(0),
                message!("YAML for a recipe"),
                message!("a mapping of keys is expected"),
            )),
        }
    }
}

/// A mapping or sequence that has not ended yet, with the number of its anchor (0 without).
struct Open {
    start: usize,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Table(Vec<Entry>, Option<Key>),
}

struct Key {
    name: String,
    at: usize,
    /// Whether it is the merge key, `<<` without quotes.
    merges: bool,
}

struct Walk<'a> {
    text: &'a str,
    /// Index of the first byte of each line.
    lines: Vec<usize>,
    /// The last place that was looked up: line, column (in characters), and byte.
    last: (usize, usize, usize),
    open: Vec<Open>,
    root: Option<Node>,
    /// Values with an anchor (`&name`), by its number.
    anchors: HashMap<usize, Node>,
    /// Number of values that aliases have added.
    copied: usize,
}

impl Walk<'_> {
    /// Returns the index of the byte at a place. Goes on from the last place where that is in the same line: places mostly follow each other,
    /// and a line may be the whole text.
    fn byte(&mut self, marker: &Marker) -> usize {
        let (line, column) = (marker.line(), marker.col());
        let text = self.text;
        let (_, from, start) = match self.last {
            last if last.0 == line => last,
            _ => (line, 0, self.lines.get(line.saturating_sub(1)).copied().unwrap_or(text.len())),
        };
        let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
        let at = match column.checked_sub(from) {
            Some(more) => after.char_indices().map(|(at, _)| start + at).nth(more),
            None => before.char_indices().map(|(at, _)| at).nth_back(from - column - 1),
        };
        let Some(at) = at else { return text.len() };
        self.last = (line, column, at);
        at
    }

    fn event(&mut self, event: Event<'_>, at: usize, end: usize) -> Result<(), Message> {
        match event {
            Event::Alias(anchor) => {
                let node = self.alias(anchor, at..end.max(at))?;
                self.put(node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open { items: Items::Table(_, key @ None), .. }) = self.open.last_mut() {
                    let merges = style == ScalarStyle::Plain && text == "<<";
                    *key = Some(Key { name: text.into_owned(), at, merges });
                    return Ok(());
                }
                let value = match (style, tag.as_deref().and_then(core_tag)) {
                    (_, Some("str")) => Value::Text(text.into_owned()),
                    (_, Some("!")) => Value::Other(message!("a value with a tag (!name)")),
                    (ScalarStyle::Plain, _) | (_, Some(_)) => scalar::plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                self.put(Node { span: at..end.max(at), value }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(Open { start: at, anchor, items: Items::List(Vec::new()) })
            }
            Event::MappingStart(anchor, _) => {
                self.begin(Open { start: at, anchor, items: Items::Table(Vec::new(), None) })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { start, anchor, items }) = self.open.pop() else {
                    return Err(message!("a bracket too many"));
                };
                let value = match items {
                    Items::List(list) => Value::List(list),
                    Items::Table(entries, _) => Value::Table(merged(entries)),
                };
                self.put(Node { span: start..end.max(start), value }, anchor)
            }
            _ => Ok(()),
        }
    }

    /// Returns the value that an alias stands for, at the alias's place.
    fn alias(&mut self, anchor: usize, span: std::ops::Range<usize>) -> Result<Node, Message> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(message!("an alias (*name) stands before the end of what it names"));
        };
        self.copied += count(node);
        if self.copied > MAX_COPIED {
            return Err(message!("its aliases (*name) stand for more than {most} values", most = MAX_COPIED));
        }
        if self.open.len() + depth(node) > MAX_DEPTH {
            return Err(too_deep());
        }
        Ok(Node { span, value: node.value.clone() })
    }

    fn begin(&mut self, open: Open) -> Result<(), Message> {
        if let Some(Open { items: Items::Table(_, None), .. }) = self.open.last() {
            return Err(message!("a key is a word"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Message> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            Some(Items::List(list)) => list.push(node),
            Some(Items::Table(entries, key)) => {
                let Key { name, at, merges } = key.take().ok_or("a key is a word")?;
                if merges {
                    merge(entries, node)?;
                } else {
                    entries.push(Entry { name, at, node });
                }
            }
            None if self.root.is_some() => return Err(message!("one document is read, and there are more")),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// Name of an entry of a merged mapping, before the mapping's end tells which of them count. No key of YAML has a NUL.
const MERGED: char = '\0';

/// Adds the entries of one mapping, or of a list of them, of which the first has most weight, as merged.
fn merge(entries: &mut Vec<Entry>, node: Node) -> Result<(), Message> {
    match node.value {
        Value::Table(more) => {
            entries.extend(
                more.into_iter().map(|entry| Entry { name: format!("{MERGED}{}", entry.name), ..entry }),
            );
            Ok(())
        }
        Value::List(list) if list.iter().all(|node| matches!(node.value, Value::Table(_))) => {
            list.into_iter().try_for_each(|node| merge(entries, node))
        }
        _ => Err(message!("a merge key (<<) takes a mapping or a list of mappings")),
    }
}

/// Returns the entries of a mapping: its own, and of the merged ones those that it and earlier ones do not have.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|entry| entry.name.starts_with(MERGED)) {
        return entries;
    }
    let (more, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.name.starts_with(MERGED));
    for mut entry in more {
        entry.name.remove(0);
        if !own.iter().any(|known| known.name == entry.name) {
            own.push(entry);
        }
    }
    own
}

/// Returns the name of a tag of YAML's own (`!!float`), or `!` for any other tag.
fn core_tag(tag: &Tag) -> Option<&str> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:" | "!!", name @ ("str" | "int" | "float" | "bool" | "null")) => Some(name),
        ("" | "!", "") => Some("str"),
        _ => Some("!"),
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(list) => 1 + list.iter().map(count).sum::<usize>(),
        Value::Table(entries) => 1 + entries.iter().map(|entry| count(&entry.node)).sum::<usize>(),
        _ => 1,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Table(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

fn too_deep() -> Message {
    message!("it is nested more than {most} deep", most = MAX_DEPTH)
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
    fn places_are_those_of_the_text() {
        let text = "a: [é, 'ü', &n {x: 1}, *n]\r\nbé: {ö: [1, 2], p: q}\nc:\n  - é: 1\n    f: 2\n";
        let source = Source::new("f.yaml", text);
        fn check(source: &Source<'_>, entries: &[Entry]) {
            for entry in entries {
                assert!(source.text[entry.at..].starts_with(&entry.name), "{entry:?}");
                check_node(source, &entry.node);
            }
        }
        fn check_node(source: &Source<'_>, node: &Node) {
            let shown = &source.text[node.span.clone()];
            match &node.value {
                Value::Text(word) => assert!(shown.trim_matches('\'').starts_with(word), "{node:?}: {shown}"),
                Value::Int(number) => assert_eq!(shown, number.to_string()),
                Value::List(list) => list.iter().for_each(|node| check_node(source, node)),
                Value::Table(entries) => check(source, entries),
                _ => {}
            }
        }
        check(&source, &source.yaml().unwrap());
    }

    #[test]
    fn a_long_line_is_read_in_linear_time() {
        let text = format!("a: [{}]", "é, ".repeat(120_000));
        let start = std::time::Instant::now();
        assert_eq!(read(&text).unwrap()[0].1.as_array().map(Vec::len), Some(120_000));
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }

    #[test]
    fn scalars_are_pyyaml_s() {
        let text = "a: 1e-4\nb: no\nc: \"1\"\nd: ~\ne: [1, -2.5, x]\nf: {g: True}\nh: q_proj,v_proj\ni: 'yes'\nj: y\n\
            k: 1_000\nl: 0x10\nm: 010\nn: On\no: .5\ns: 0x-5\nt: -0x8000000000000000\nu: -0x-8000000000000000\nv: 0b+1\np: !!str 5\nq: !!float '2'\nr: 1.\n";
        let got = read(text).unwrap();
        let want = serde_json::json!({"a": 1e-4, "b": false, "c": "1", "d": null, "e": [1, -2.5, "x"],
            "f": {"g": true}, "h": "q_proj,v_proj", "i": "yes", "j": "y", "k": 1000, "l": 16, "m": 8, "n": true,
            "o": 0.5, "s": "0x-5", "u": "-0x-8000000000000000", "v": "0b+1", "t": "-0x8000000000000000", "p": "5", "q": 2, "r": 1.0});
        for (name, value) in got {
            assert_eq!(value, want[&name], "{name}");
        }
    }

    #[test]
    fn brackets_need_no_indentation() {
        for (text, want) in [
            ("a: [\n  x,\n  y\n]\nb: 1\n", serde_json::json!({"a": ["x", "y"], "b": 1})),
            ("a: [\nx, # one, [two\ny\n]\nb: 1\n", serde_json::json!({"a": ["x", "y"], "b": 1})),
            (
                "c:\n  - d:\n      a: [\n        'x]',\n      ]\n      e: 1\n",
                serde_json::json!({"c": [{"d": {"a": ["x]"], "e": 1}}]}),
            ),
            ("a: {\nx: \"}\",\ny: é\n}\n", serde_json::json!({"a": {"x": "}", "y": "é"}})),
        ] {
            let got: serde_json::Map<_, _> = read(text).unwrap_or_default().into_iter().collect();
            assert_eq!(serde_json::Value::Object(got), want, "{text}: {:?}", read(text).err());
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_what_they_stand_for() {
        let text = "a: &x {r: 1, s: 2}\nb: *x\nc:\n  s: 3\n  <<: *x\nd: {<<: [*x, {s: 4, t: 5}]}\n<<: {e: &n 6}\nf: *n\n'<<': 7\n";
        let got: serde_json::Map<_, _> = read(text).unwrap().into_iter().collect();
        let want = serde_json::json!({"a": {"r": 1, "s": 2}, "b": {"r": 1, "s": 2}, "c": {"s": 3, "r": 1},
            "d": {"r": 1, "s": 2, "t": 5}, "e": 6, "f": 6, "<<": 7});
        assert_eq!(serde_json::Value::Object(got), want);
        let mut bomb = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(read(&bomb).unwrap_err().contains("aliases"));
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_a_place() {
        for (text, words) in [
            ("a: 1\nb: *x\n", "f.yaml:2:"),
            ("a: &x [*x]\n", "f.yaml:1:"),
            ("- 1\n", "a mapping of keys"),
            ("a: 1\n---\nb: 2\n", "one document"),
            ("a: [1\n", "f.yaml:"),
            ("[1]: 2\n", "a key is a word"),
            ("<<: 2\n", "a merge key"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert!(read(&"a: ".repeat(3)).is_err());
        assert!(read(&format!("a: {}", "[".repeat(1000))).is_err());
    }
}
