//! Errors and warnings about a recipe, with their place and a help text.

use std::fmt;

/// An error in a recipe. Displays as one line: `recipe.toml:12:3: unknown key "lora_aplha" in [lora]; did you mean
/// "lora_alpha"?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", line_of_text(&self.file, self.line, self.column, &self.key, &self.message, self.help.as_deref()))]
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
    pub message: String,
    /// Advice to the user on how to resolve the error, if there is any.
    pub help: Option<String>,
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
    pub message: String,
}

impl RecipeError {
    /// Creates an error about `key` that has no place in a text yet.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { file: String::new(), line: 0, column: 0, key, message, help: None }
    }

    /// Adds a help text.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Warning {
    /// Creates a warning about `key` that has no place in a text yet.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { file: String::new(), line: 0, column: 0, key, message }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line_of_text(&self.file, self.line, self.column, &self.key, &self.message, None))
    }
}

fn line_of_text(
    file: &str,
    line: usize,
    column: usize,
    key: &str,
    message: &str,
    help: Option<&str>,
) -> String {
    let mut text = match (file.is_empty(), line) {
        (true, _) if key.is_empty() => String::new(),
        (true, _) => format!("{key}: "),
        (false, 0) => format!("{file}: "),
        (false, _) => format!("{file}:{line}:{column}: "),
    };
    text.push_str(message);
    if let Some(help) = help {
        text.push_str("; ");
        text.push_str(help);
    }
    text
}
