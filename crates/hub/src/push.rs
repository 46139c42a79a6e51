//! Upload of files to a repository on a hub, by the requests of `huggingface_hub`'s `create_repo` and `create_commit`.
//!
//! ```text
//! user ─► ready: the repository, its branch ─► preupload: which files are large, which the hub has
//!                                                   └─► large files to their storage ─► one commit that names all files
//! ```
//!
//! Whatever fails before the commit leaves the repository as it was. What the storage has already is not sent again, so that an upload that broke off
//! goes on where it was, file by file.

mod api;
mod contents;
mod large;
mod result_files;
mod words;

use std::time::Duration;

use crate::{
    error::{HubError, Problem},
    names,
    settings::Settings,
    transport::{Attempts, Failure, Transport},
};

use contents::Opened;
pub use {
    contents::{Contents, UploadFile},
    result_files::{ResultFiles, result_files},
};

/// What happens while files are uploaded.
#[derive(Debug, Clone, PartialEq)]
pub enum PushEvent<'e> {
    /// Bytes of a file have been sent.
    Progress {
        /// The file.
        file: &'e str,
        /// Number of bytes that have been sent.
        done: u64,
        /// Size of the file.
        total: u64,
    },
    /// A file is in the hub's storage.
    Sent {
        /// The file.
        file: &'e str,
    },
    /// The hub has a file's contents already, and they are not sent.
    Present {
        /// The file.
        file: &'e str,
    },
    /// A file is left out of the commit, because the repository's `.gitignore` says so.
    Ignored {
        /// The file.
        file: &'e str,
    },
    /// A request has failed and is made again.
    Retry {
        /// What has failed.
        reason: &'e str,
        /// The wait before the next attempt.
        wait: Duration,
    },
}

/// Where files are uploaded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Id of the repository, `owner/name`.
    pub id: String,
    /// The branch; `main` where it is absent.
    pub branch: Option<String>,
    /// Whether a repository that has to be created is private; absent, as the account has it. With `Some(true)`, nothing is uploaded to a public one.
    pub private: Option<bool>,
}

/// The end of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Page of the repository.
    pub address: String,
    /// The commit that has the files.
    pub commit: String,
    /// Whether the commit is new. It is not where the repository had all files as they are.
    pub is_new: bool,
}

/// An upload's way to a hub, with a token.
pub struct Uploader<'u> {
    settings: &'u Settings,
    transport: Transport<'u>,
    /// Name of the token: its variable or file.
    token: String,
    listener: Box<dyn Fn(&PushEvent<'_>) + 'u>,
}

impl<'u> Uploader<'u> {
    /// Opens the way. No request is made. `listener` hears of all that happens.
    ///
    /// # Errors
    ///
    /// If there is no token, or requests are forbidden.
    pub fn open(settings: &'u Settings, listener: impl Fn(&PushEvent<'_>) + 'u) -> Result<Self, HubError> {
        let opened = || {
            if let Some(variable) = settings.offline {
                return Err(Problem::Refused(format!(
                    "nothing can be uploaded, because {variable} is set: unset it"
                )));
            }
            let token = settings
                .token
                .as_ref()
                .ok_or_else(|| Problem::Refused(words::no_token(&settings.endpoint)))?;
            let transport = Transport::new(settings, "")?;
            Ok(Self { settings, transport, token: token.origin.clone(), listener: Box::new(listener) })
        };
        opened().map_err(|problem: Problem| problem.at(&settings.endpoint))
    }

    /// Returns the id of a repository: `name` itself where it has an owner, else `name` under the account of the token.
    ///
    /// # Errors
    ///
    /// If it is no id, the token is not known or may only read, or the hub cannot be reached.
    pub fn full_id(&self, name: &str) -> Result<String, HubError> {
        let found = || {
            // A name is checked before the hub is asked, with any owner.
            let with_owner = if name.contains('/') { name.to_owned() } else { format!("owner/{name}") };
            names::owner_and_name(&with_owner)?;
            match (name.contains('/'), self.user()?) {
                (true, _) => Ok(with_owner),
                (false, Some(user)) => Ok(format!("{user}/{name}")),
                (false, None) => {
                    Err(Problem::Answer("the hub does not say whose the token is: write owner/name".into()))
                }
            }
        };
        found().map_err(|problem: Problem| problem.at(name))
    }

    /// Makes ready for an upload: creates the repository, and the branch, where they are not there. To be called before what takes long.
    ///
    /// # Errors
    ///
    /// If the token may not write there, the repository is public and was to be private, or the hub cannot be reached.
    pub fn ready(&self, target: &Target) -> Result<(), HubError> {
        self.prepared(target).map_err(|problem| problem.at(&target.id))
    }

    /// Uploads files in one commit, after [`Uploader::ready`]. `summary` is its first line.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or its name leads elsewhere, the hub refuses the upload, cannot be reached, or answers what it was not asked for. The
    /// repository is then as it was.
    pub fn push(&self, target: &Target, files: &[UploadFile], summary: &str) -> Result<Pushed, HubError> {
        let pushed = || {
            self.prepared(target)?;
            let files = files.iter().map(Opened::open).collect::<Result<Vec<_>, _>>()?;
            let notice = |reason: &str, wait| self.say(&PushEvent::Retry { reason, wait });
            let mut attempts = Attempts::new(self.settings, &notice);
            loop {
                // Where the answer to a commit was lost, the hub has all files by now, and there is nothing more to commit.
                match self.pushed_once(target, &files, summary) {
                    Ok(pushed) => return Ok(pushed),
                    Err(failure) => attempts.after(failure)?,
                }
            }
        };
        pushed().map_err(|problem: Problem| problem.at(&target.id))
    }

    fn pushed_once(&self, target: &Target, files: &[Opened<'_>], summary: &str) -> Result<Pushed, Failure> {
        let address = self.settings.model_page(&target.id);
        let planned = self.preupload(target, files)?;
        if planned.is_empty() {
            let commit = self.head(target)?;
            return Ok(Pushed { address, commit, is_new: false });
        }
        let large: Vec<_> =
            planned.iter().filter(|planned| planned.is_large).map(|planned| planned.file).collect();
        if !large.is_empty() {
            self.upload(target, &large)?;
        }
        for planned in &planned {
            planned.file.is_unchanged()?;
        }
        let commit = self.commit(target, &planned, summary)?;
        Ok(Pushed { address, commit, is_new: true })
    }

    fn say(&self, event: &PushEvent<'_>) {
        (self.listener)(event);
    }
}

impl std::fmt::Debug for Uploader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Uploader to {}", self.settings.endpoint)
    }
}
