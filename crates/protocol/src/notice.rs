//! Notices and failures that a page can show in its own language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A notice that something differs from what the user may expect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notice {
    /// Code by which a page looks up its own text. Empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Values in the text, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// The text in English.
    pub message: String,
}

impl Notice {
    /// A notice without arguments.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), arguments: BTreeMap::new(), message: message.into() }
    }

    /// Returns the notice with one argument more.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.insert(name.to_owned(), value.to_string());
        self
    }
}

/// A request that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// Code by which a page looks up its own text.
    pub code: String,
    /// Values in the text, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// The text in English.
    pub message: String,
    /// Causes of the failure, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}
