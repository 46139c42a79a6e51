//! Things to say that a page can say in its own language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that is not as the user may think.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notice {
    /// What it is: a page looks its words up by it. Empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// What stands in its words, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// The same in English.
    pub message: String,
}

impl Notice {
    /// A notice without arguments.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), arguments: BTreeMap::new(), message: message.into() }
    }

    /// The notice with one argument more.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.insert(name.to_owned(), value.to_string());
        self
    }
}

/// A request that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// What it is: a page looks its words up by it.
    pub code: String,
    /// What stands in its words, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// The same in English.
    pub message: String,
    /// What caused it, the nearest cause first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}
