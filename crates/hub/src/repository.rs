//! A model on a hub, file by file.

use std::{
    cell::{OnceCell, RefCell},
    path::PathBuf,
    time::Duration,
};

use ureq::http::Uri;

use crate::{
    cache::RepoCache,
    download,
    error::{HubError, Problem},
    names, redirect,
    settings::Settings,
    transport::Transport,
};

/// What happens while files are fetched.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'e> {
    /// Bytes of a file have arrived.
    Progress {
        /// The file.
        file: &'e str,
        /// Number of bytes that are there.
        done: u64,
        /// Size of the file, where it is announced.
        total: Option<u64>,
    },
    /// A file is in the cache.
    Stored {
        /// The file.
        file: &'e str,
    },
    /// A request has failed and is made again.
    Retry {
        /// The file.
        file: &'e str,
        /// What has failed.
        reason: &'e str,
        /// The wait before the next attempt.
        wait: Duration,
    },
    /// Another process fetches the file, and is waited for.
    Waiting {
        /// The file.
        file: &'e str,
    },
    /// A file is not in the cache, requests are forbidden, and whether the model has the file is not known. It is taken not to.
    Unknown {
        /// The file.
        file: &'e str,
    },
}

/// A model on a hub, at one commit: that of the files in the cache, or else of the first one that is fetched.
pub struct Repository<'r> {
    pub(crate) settings: &'r Settings,
    pub(crate) cache: RepoCache,
    /// Made for the first request: files that are in the cache need none.
    transport: OnceCell<Transport<'r>>,
    id: String,
    revision: String,
    commit: RefCell<Option<String>>,
    listener: Box<dyn Fn(&Event<'_>) + 'r>,
}

impl<'r> Repository<'r> {
    /// Opens the model `id` (`owner/name`) at a revision, `main` where there is none. `listener` hears of all that happens. No request is made.
    ///
    /// # Errors
    ///
    /// If the id or the revision is not one.
    pub fn open(
        settings: &'r Settings,
        id: &str,
        revision: Option<&str>,
        listener: impl Fn(&Event<'_>) + 'r,
    ) -> Result<Self, HubError> {
        let opened = || {
            let (owner, name) = names::owner_and_name(id)?;
            let revision = names::revision(revision.unwrap_or("main"))?.to_owned();
            let cache = RepoCache::new(settings, owner, name);
            let commit = RefCell::new(cache.commit_of(&revision));
            let transport = OnceCell::new();
            let (id, listener) = (id.to_owned(), Box::new(listener));
            Ok(Self { settings, cache, transport, id, revision, commit, listener })
        };
        opened().map_err(|problem: Problem| problem.at(id))
    }

    /// Returns the path of a file in the cache, fetching it where it is not there. `None` where the model has no such file.
    ///
    /// # Errors
    ///
    /// If that is not known: the hub refuses the file or cannot be reached, or the cache cannot be written. Also if the file arrived damaged.
    pub fn get(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        self.found(file).map_err(|problem| problem.at(&self.place(file)))
    }

    /// Returns the path of a file that the model has to have.
    ///
    /// # Errors
    ///
    /// As [`Repository::get`], and if the model has no such file.
    pub fn needed(&self, file: &str) -> Result<PathBuf, HubError> {
        let found = self.get(file)?;
        found.ok_or_else(|| {
            let address = self.address(file).map(|address| redirect::shown(&address)).unwrap_or_default();
            Problem::Absent(address).at(&self.place(file))
        })
    }

    /// Returns the path of a file that the model may lack. Where requests are forbidden, a file that is not in the cache is taken to be lacking
    /// ([`Event::Unknown`]): not every tool notes what a model lacks.
    ///
    /// # Errors
    ///
    /// As [`Repository::get`].
    pub fn optional(&self, file: &str) -> Result<Option<PathBuf>, HubError> {
        match self.get(file) {
            Err(HubError { problem: Problem::Offline { .. }, .. }) => {
                self.say(&Event::Unknown { file });
                Ok(None)
            }
            found => found,
        }
    }

    /// Whether a file is in the cache.
    pub fn is_cached(&self, file: &str) -> bool {
        let commit = self.commit.borrow();
        names::file_name(file).is_ok()
            && commit.as_ref().is_some_and(|commit| self.cache.file(commit, file).is_some())
    }

    /// Returns the folder of the model's files in the cache. `None` where none is there.
    pub fn folder(&self) -> Option<PathBuf> {
        self.commit.borrow().as_ref().map(|commit| self.cache.snapshot(commit))
    }

    fn place(&self, file: &str) -> String {
        format!("{}: {file}", self.id)
    }

    fn found(&self, file: &str) -> Result<Option<PathBuf>, Problem> {
        let file = names::file_name(file)?;
        if let Some(commit) = &*self.commit.borrow() {
            if let Some(path) = self.cache.file(commit, file) {
                return Ok(Some(path));
            }
            if self.cache.is_absent(commit, file) {
                return Ok(None);
            }
        }
        match self.settings.offline {
            Some(variable) => {
                Err(Problem::Offline { cache: self.settings.cache.clone(), variable: variable.to_owned() })
            }
            None => download::fetch(self, file),
        }
    }

    /// Returns a file's address: at the commit where it is known, so that all files are of the same one.
    pub(crate) fn address(&self, file: &str) -> Result<Uri, Problem> {
        let commit = self.commit.borrow();
        let revision = names::encoded_segment(commit.as_deref().unwrap_or(&self.revision));
        let (endpoint, id) = (&self.settings.endpoint, names::encoded_path(&self.id));
        let address = format!("{endpoint}/{id}/resolve/{revision}/{}", names::encoded_path(file));
        redirect::parsed(&address).ok_or_else(|| Problem::Answer(format!("{address} is no address")))
    }

    /// Takes the commit that an answer is of for that of all files.
    pub(crate) fn pin(&self, commit: Option<&str>) -> Result<String, Problem> {
        let commit = commit.ok_or_else(|| {
            Problem::Answer(format!(
                "the answer does not name a commit (X-Repo-Commit): is {} the address of a hub, and does no proxy answer for it?",
                self.settings.endpoint
            ))
        })?;
        let pinned = self.commit.borrow().clone();
        let asked =
            pinned.or_else(|| Some(self.revision.clone()).filter(|revision| names::is_commit(revision)));
        if let Some(asked) = asked
            && asked != commit
        {
            return Err(Problem::Answer(format!(
                "the hub was asked for commit {asked} and answers with {commit}"
            )));
        }
        self.cache.note_commit(&self.revision, commit)?;
        self.commit.replace(Some(commit.to_owned()));
        Ok(commit.to_owned())
    }

    /// Notes that the model has no such file, where the answer names the commit that has none. Any server on the way answers 404 too, and what is noted
    /// is never asked for again.
    pub(crate) fn note_absence(&self, commit: Option<String>, file: &str) {
        let Some(commit) = commit else { return };
        let pinned = self.commit.borrow().clone();
        let asked = pinned.unwrap_or_else(|| self.revision.clone());
        if asked == commit || !names::is_commit(&asked) {
            self.cache.note_absence(&commit, file);
        }
    }

    /// Returns what asks the hub.
    pub(crate) fn transport(&self) -> Result<&Transport<'r>, Problem> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport);
        }
        let transport = Transport::new(self.settings, &self.id)?;
        Ok(self.transport.get_or_init(|| transport))
    }

    pub(crate) fn say(&self, event: &Event<'_>) {
        (self.listener)(event);
    }
}

impl std::fmt::Debug for Repository<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, revision, commit, .. } = self;
        write!(f, "Repository {id}@{revision}, commit {:?}", commit.borrow())
    }
}
