//! The only error of this crate: the file, the place in it, the problem, and a way to solve it.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// Place of a problem in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    File,
    /// A byte offset from the start of the file.
    Byte(u64),
    /// The tensor of this name.
    Tensor(String),
    /// A key of the file's metadata or JSON.
    Key(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => Ok(()),
            Place::Byte(offset) => write!(f, "byte {offset}: "),
            Place::Tensor(name) => write!(f, "tensor {:?}: ", Shortened(name)),
            Place::Key(name) => write!(f, "key {:?}: ", Shortened(name)),
        }
    }
}

/// A name from a file, shortened so that a hostile one cannot flood a terminal.
pub(crate) struct Shortened<'a>(pub &'a str);

impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 200;
        match self.0.char_indices().nth(LONGEST) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
        }
    }
}

/// Shortens a message likewise, because it may quote the file (as serde's messages do).
fn cut(mut message: String) -> String {
    const LONGEST: usize = 500;
    if let Some((end, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// Kind of a [`FormatError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Reading or writing failed.
    Io,
    /// The bytes break the format's rules.
    Corrupt,
    /// The file is fine, but this crate cannot use it.
    Unsupported,
    /// Something that was requested does not exist.
    Missing,
    /// The caller requested something invalid (a wrong type, a wrong length).
    Misuse,
}

/// Failure to read or write a model file.
///
/// It is displayed as one line: `file: place: what is wrong; what to do`.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {place}{problem}; {help}")]
pub struct FormatError {
    /// Name of the file, as given by the caller.
    pub file: String,
    /// Place in the file.
    pub place: Place,
    /// Kind of the problem.
    pub kind: ErrorKind,
    /// Description of the problem.
    pub problem: String,
    /// Advice to the user.
    pub help: Cow<'static, str>,
    /// Error of the reader or writer, if that is the cause.
    pub source: Option<io::Error>,
}

const CORRUPT_HELP: &str = "the file is damaged or not what its name says: fetch it again";

impl FormatError {
    pub(crate) fn corrupt(file: &str, place: Place, problem: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, file, place, problem, CORRUPT_HELP)
    }

    pub(crate) fn unsupported(
        file: &str,
        place: Place,
        problem: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::Unsupported, file, place, problem, help)
    }

    pub(crate) fn missing(
        file: &str,
        place: Place,
        problem: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::Missing, file, place, problem, help)
    }

    pub(crate) fn misuse(
        file: &str,
        place: Place,
        problem: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::Misuse, file, place, problem, help)
    }

    pub(crate) fn io(file: &str, place: Place, source: io::Error) -> Self {
        let help = match source.kind() {
            io::ErrorKind::NotFound => "check that the file exists under this name",
            io::ErrorKind::UnexpectedEof => {
                "the file ends too early (an unfinished download?): fetch it again"
            }
            _ => "check the disk and the file's permissions",
        };
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::Missing,
            _ => ErrorKind::Io,
        };
        let mut error = Self::new(kind, file, place, source.to_string(), help);
        error.source = Some(source);
        error
    }

    /// Creates the error for a tensor that a source does not have.
    pub fn no_such_tensor(file: &str, name: &str) -> Self {
        Self::missing(
            file,
            Place::Tensor(name.to_owned()),
            "the file has no such tensor",
            "check that the model's config.json belongs to this file",
        )
    }

    /// Creates the error for a vector of `count` values that does not fit in this machine's memory.
    pub(crate) fn too_large(file: &str, place: Place, count: usize) -> Self {
        Self::unsupported(
            file,
            place,
            format!("{count} values do not fit this machine's memory"),
            "use a smaller model or a machine with more memory",
        )
    }

    fn new(
        kind: ErrorKind,
        file: &str,
        place: Place,
        problem: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            place,
            kind,
            problem: cut(problem.into()),
            help: help.into(),
            source: None,
        }
    }
}
