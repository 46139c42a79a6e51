//! The error type of this crate: the file and line, the problem, and the way out.

use lorelei_recipe::{Message, message};

/// The sort of an error, for callers that decide by it. The text is in [`DataError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataErrorKind {
    /// The reader failed.
    Read,
    /// The file holds no row.
    EmptyFile,
    /// A line is not a row: not UTF-8, not JSON, no known field, a field of the wrong type, an id out of range.
    BadRow,
    /// The row tokenises to nothing.
    EmptyRow,
    /// The row has a label that stands for none, as -1 does among the numbers of classes.
    NoLabel,
    /// No row of the file has anything to learn.
    NothingToLearn,
    /// `tokenizer.json` or `tokenizer_config.json` cannot be used, or the tokenizer refused a text.
    Tokenizer,
    /// The chat template cannot be parsed, failed while rendering, or hides the assistant's words.
    Template,
}

/// An error with its place and the way out. Shown as `train.jsonl:3: problem (help)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_message())]
pub struct DataError {
    /// The sort of error.
    pub kind: DataErrorKind,
    /// The file's name as the caller gave it.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The problem, and what was expected.
    pub problem: Message,
    /// A suggestion how to solve it; may be empty.
    pub help: Message,
}

impl DataError {
    /// Creates an error of a problem and the way out of it, which may be empty. It has no place yet.
    pub fn new(kind: DataErrorKind, problem: impl Into<Message>, help: impl Into<Message>) -> Self {
        Self { kind, file: None, line: None, problem: problem.into(), help: help.into() }
    }

    /// Creates the error for some files without a row.
    pub(crate) fn empty(files: usize) -> Self {
        let (problem, help) = match files {
            0 | 1 => (message!("the file is empty: it has no rows"), message!("give it at least one row")),
            _ => (message!("the files are empty: they have no rows"), message!("give them at least one row")),
        };
        Self::new(DataErrorKind::EmptyFile, problem, help)
    }

    /// Returns the whole line: the place, the problem and the way out.
    pub fn to_message(&self) -> Message {
        let Self { file, line, problem, help, .. } = self;
        let explained = match help.is_empty() {
            true => problem.clone(),
            false => message!("{problem} ({help})", problem, help),
        };
        let place: Message = match (file, line) {
            (Some(file), Some(line)) => format!("{file}:{line}").into(),
            (Some(file), None) => file.into(),
            (None, Some(line)) => message!("line {line}", line),
            (None, None) => return explained,
        };
        message!("{place}: {message}", place, message = explained)
    }

    /// Returns the same error with the place it came from, unless it has one already.
    pub fn at(mut self, file: &str, line: usize) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self.line.get_or_insert(line);
        self
    }

    /// Returns the same error with the file it came from.
    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }
}
