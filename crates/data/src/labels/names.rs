//! Names of classes, and the class of each name.

use std::{collections::HashMap, fmt, ops::Deref, sync::OnceLock};

use serde_json::Value;

/// Maximum number of classes that are printed by name.
const MOST_LISTED: usize = 36;

/// Names of classes, in the order of their numbers.
#[derive(Clone, Default)]
pub struct ClassNames {
    names: Vec<String>,
    index: OnceLock<Index>,
}

/// The class of each name. The same for names that are whole numbers, by number.
#[derive(Clone, Default)]
struct Index {
    names: HashMap<String, u32>,
    numbers: HashMap<i64, u32>,
}

impl ClassNames {
    /// Returns the class of a label: a name, or a whole number where that is its name.
    pub(super) fn class(&self, label: &Value) -> Option<u32> {
        match whole(label) {
            Some(number) if self.class_of(number).is_some() => self.class_of(number),
            _ => self.index().names.get(&name(label)?).copied(),
        }
    }

    /// Returns the class whose name is that number.
    pub(super) fn class_of(&self, number: i64) -> Option<u32> {
        self.index().numbers.get(&number).copied()
    }

    /// Whether all names are whole numbers from 0 on.
    pub(super) fn count_from_zero(&self) -> bool {
        let Index { numbers, .. } = self.index();
        numbers.len() == self.names.len() && numbers.keys().all(|number| *number >= 0)
    }

    /// Lists the names; `None` if there are more than a few dozen. A name with a comma or space at its edge stands in quotes.
    pub fn listed(&self) -> Option<String> {
        let shown = |name: &String| match name.trim() != name || name.is_empty() || name.contains(',') {
            true => format!("{name:?}"),
            false => name.clone(),
        };
        let names = || self.names.iter().map(shown).collect::<Vec<_>>().join(", ");
        (self.names.len() <= MOST_LISTED).then(names)
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (name, class) in self.names.iter().zip(0..) {
                index.names.entry(name.clone()).or_insert(class);
                if let Some(number) = integer_text(name) {
                    index.numbers.entry(number).or_insert(class);
                }
            }
            index
        })
    }
}

impl From<Vec<String>> for ClassNames {
    fn from(names: Vec<String>) -> Self {
        Self { names, index: OnceLock::new() }
    }
}

impl Deref for ClassNames {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.names
    }
}

impl PartialEq for ClassNames {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for ClassNames {}

impl fmt::Debug for ClassNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

/// Returns a label that is a whole number, as a number or as the text of one.
pub(super) fn integer(label: &Value) -> Option<i64> {
    match label {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => integer_text(text),
        _ => None,
    }
}

/// Like [`integer`], but takes 1.0 for 1, too: pandas writes a column of whole numbers so if one is missing.
pub(super) fn whole(label: &Value) -> Option<i64> {
    let float = || label.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
    integer(label).or_else(|| float().map(|number| number as i64))
}

/// Parses a whole number as it is usually written: 7, and neither 07 nor +7, which are names.
pub(super) fn integer_text(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// Returns the name of a label's class: Python's `str` of the label. Nothing, a list or a table is no label.
pub(super) fn name(label: &Value) -> Option<String> {
    match label {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
