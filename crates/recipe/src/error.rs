//! Errors and warnings about a recipe, with their place and a help text.

use std::fmt;

use crate::{Message, message};

/// An error in a recipe. Displays as one line: `recipe.toml:12:3: unknown key "lora_aplha" in [lora]; did you mean
/// "lora_alpha"?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_message())]
pub struct RecipeError {
    /// The file as the caller named it; empty when the recipe was not read from text.
    pub file: String,
    /// Line, from 1; 0 when there is none.
    pub line: usize,
    /// Column in characters, from 1; 0 when there is none.
    pub column: usize,
    /// The setting concerned, such as `lora.r`; empty if the error does not concern a single one.
    pub key: String,
    /// The message of the error.
    pub message: Message,
    /// Advice to the user on how to resolve the error, if there is any.
    pub help: Option<Message>,
}

/// A warning about a setting of a recipe that has no effect, or probably not the intended one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file as the caller named it; empty when the recipe was not read from text.
    pub file: String,
    /// Line, from 1; 0 when there is none.
    pub line: usize,
    /// Column in characters, from 1; 0 when there is none.
    pub column: usize,
    /// The setting concerned, such as `training.max_steps`.
    pub key: String,
    /// The message of the warning.
    pub message: Message,
}

impl RecipeError {
    /// Creates an error about `key` that has no place in a text yet.
    pub fn new(key: impl Into<String>, message: impl Into<Message>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { file: String::new(), line: 0, column: 0, key, message, help: None }
    }

    /// Adds a help text.
    pub fn with_help(mut self, help: impl Into<Message>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the message and the help, without the place.
    pub fn explanation(&self) -> Message {
        let Self { message, help, .. } = self;
        match help {
            Some(help) => message!("{message}; {help}", message, help),
            None => message.clone(),
        }
    }

    /// Returns the whole line: the place, the message and the help.
    pub fn to_message(&self) -> Message {
        placed(&self.file, self.line, self.column, &self.key, self.explanation())
    }
}

impl Warning {
    /// Creates a warning about `key` that has no place in a text yet.
    pub fn new(key: impl Into<String>, message: impl Into<Message>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { file: String::new(), line: 0, column: 0, key, message }
    }
}

impl Warning {
    /// Returns the whole line: the place and the message.
    pub fn to_message(&self) -> Message {
        placed(&self.file, self.line, self.column, &self.key, self.message.clone())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_message().fmt(f)
    }
}

/// Puts the place of a message before it.
fn placed(file: &str, line: usize, column: usize, key: &str, message: Message) -> Message {
    let place = match (file.is_empty(), line) {
        (true, _) if key.is_empty() => return message,
        (true, _) => key.to_owned(),
        (false, 0) => file.to_owned(),
        (false, _) => format!("{file}:{line}:{column}"),
    };
    message!("{place}: {message}", place, message)
}
