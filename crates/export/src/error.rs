//! The error of this crate.

use lorelei_formats::FormatError;
use lorelei_recipe::RecipeError;

/// Failure to export, import or check an adapter.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A model file cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// `adapter_config.json` cannot be used.
    #[error(transparent)]
    Config(#[from] RecipeError),
    /// The files of an adapter do not fit together, or not to their base.
    #[error("{file}: {problem}; {help}")]
    Adapter {
        /// Name of the adapter's file.
        file: String,
        /// Description of the problem.
        problem: String,
        /// Advice to the user.
        help: String,
    },
    /// The form that was asked for cannot express the adapter.
    #[error("{form} cannot hold this adapter: {problem}; {help}")]
    Inexpressible {
        /// Name of the form.
        form: &'static str,
        /// What it cannot express.
        problem: String,
        /// Advice to the user.
        help: String,
    },
    /// An output could not be created or written.
    #[error("cannot write {file}: {source}; free some space or choose another output")]
    Output {
        /// Name of the output.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl ExportError {
    pub(crate) fn adapter(
        file: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Adapter { file: file.into(), problem: problem.into(), help: help.into() }
    }

    pub(crate) fn inexpressible(
        form: &'static str,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Inexpressible { form, problem: problem.into(), help: help.into() }
    }
}
