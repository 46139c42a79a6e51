//! What can go wrong between a hub and the cache.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::names::NameError;

/// An error about a model, or one file of it.
#[derive(Debug, Error)]
#[error("{place}: {problem}")]
pub struct HubError {
    /// The model, and the file.
    pub place: String,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Problem {
    /// A variable of the environment that cannot be used.
    #[error("{variable} = {value:?} {problem}")]
    Setting {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// What is wrong with it, with the way out.
        problem: String,
    },
    /// A name that could lead out of its folder.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The hub says that the model has no such file.
    #[error("the model on the hub has no such file (HTTP 404 for {0})")]
    Absent(String),
    /// The hub does not give the file: status, reason and way out.
    #[error("{0}")]
    Refused(String),
    /// The hub cannot be reached, or the connection broke, as often as it was tried.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that no hub gives.
    #[error("{0}")]
    Answer(String),
    /// The file arrived damaged, twice.
    #[error("arrived damaged ({0}) and was removed: run this again to fetch it anew")]
    Damaged(String),
    /// The file is not in the cache, and requests are forbidden.
    #[error("not in the cache {}, and {variable} is set: unset it, or fetch the model first", cache.display())]
    Offline {
        /// The cache's folder.
        cache: PathBuf,
        /// The variable that forbids requests.
        variable: String,
    },
    /// The cache cannot be read or written.
    #[error("{} cannot be {action}: {source}{}", path.display(), way_out(source))]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `written`.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Problem {
    pub(crate) fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Storage { path, action, source }
    }

    pub(crate) fn at(self, place: &str) -> HubError {
        HubError { place: place.to_owned(), problem: self }
    }
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::WriteZero => {
            ". Make room, or set HF_HUB_CACHE to a folder with more; then run this again to go on from there"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            ". Set HF_HUB_CACHE to a folder that you may write"
        }
        _ => "",
    }
}
