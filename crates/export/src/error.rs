//! The error of this crate.

use lorelei_formats::FormatError;
use lorelei_recipe::{Message, RecipeError, message};

/// Failure to export, import or check an adapter.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_message())]
pub enum ExportError {
    /// A model file cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// `adapter_config.json` cannot be used.
    #[error(transparent)]
    Config(#[from] RecipeError),
    /// The files of an adapter do not fit together, or not to their base.
    Adapter {
        /// Name of the adapter's file.
        file: String,
        /// Description of the problem.
        problem: Message,
        /// Advice to the user.
        help: Message,
    },
    /// The form that was asked for cannot express the adapter.
    Inexpressible {
        /// Name of the form.
        form: Message,
        /// What it cannot express.
        problem: Message,
        /// Advice to the user.
        help: Message,
    },
    /// An output could not be created or written.
    Output {
        /// Name of the output.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl ExportError {
    /// Returns the message of the error, which a page can translate.
    pub fn to_message(&self) -> Message {
        match self {
            Self::Format(error) => error.to_string().into(),
            Self::Config(error) => error.to_message(),
            Self::Adapter { file, problem, help } => {
                message!("{file}: {problem}; {help}", file, problem, help)
            }
            Self::Inexpressible { form, problem, help } => {
                message!("{form} cannot hold this adapter: {problem}; {help}", form, problem, help)
            }
            Self::Output { file, source } => message!(
                "cannot write {file}: {reason}; free some space or choose another output",
                file,
                reason = source.to_string()
            ),
        }
    }

    pub(crate) fn adapter(
        file: impl Into<String>,
        problem: impl Into<Message>,
        help: impl Into<Message>,
    ) -> Self {
        Self::Adapter { file: file.into(), problem: problem.into(), help: help.into() }
    }

    pub(crate) fn inexpressible(
        form: impl Into<Message>,
        problem: impl Into<Message>,
        help: impl Into<Message>,
    ) -> Self {
        Self::Inexpressible { form: form.into(), problem: problem.into(), help: help.into() }
    }
}
