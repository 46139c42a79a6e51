//! Notices and failures that a page can say in its own language.

use lorelei_recipe::Message;
use serde::{Deserialize, Serialize};

/// A notice that something differs from what the user may expect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notice {
    /// Code for programs. Empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The text.
    pub message: Message,
}

impl Notice {
    /// Creates a notice.
    pub fn new(code: &str, message: impl Into<Message>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// A request that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// Code for programs.
    pub code: String,
    /// The text.
    pub message: Message,
    /// Causes of the failure, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Message>,
}

/// Most characters of a value in a message between worker and page, such as a label of a row. What is beyond is cut off.
pub const LONGEST_VALUE: usize = 2000;
