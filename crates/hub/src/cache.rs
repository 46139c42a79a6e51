//! The cache on the disk, in the layout of `huggingface_hub`: `models--owner--name/{refs,blobs,snapshots,.no_exist}` and `.locks`.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use crate::{
    checksum::{self, Checksum},
    error::Problem,
    names::{self, EntityTag},
    settings::Settings,
};

/// Time between two looks at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// Number of times that a lock is taken anew because its file is another one by then. On a file system that numbers its files anew, it always is.
const LOCK_ROUNDS: usize = 10;

/// A model's part of the cache. All names are checked before they get here ([`names`]).
#[derive(Debug)]
pub struct RepoCache {
    folder: PathBuf,
    locks: PathBuf,
    symlinks: bool,
}

impl RepoCache {
    pub fn new(settings: &Settings, owner: &str, name: &str) -> Self {
        let folder = format!("models--{owner}--{name}");
        Self {
            locks: settings.cache.join(".locks").join(&folder),
            folder: settings.cache.join(folder),
            symlinks: settings.symlinks,
        }
    }

    /// Returns the commit of a revision of which files are there.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        let reference = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        // A commit is a revision too, and other tools keep it without a reference to it.
        let commit = reference.as_deref().unwrap_or(revision);
        let commit = names::commit(commit).ok()?;
        let mut files = fs::read_dir(self.snapshot(commit)).ok()?;
        files.next().map(|_| commit.to_owned())
    }

    /// Returns the folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Returns a file that is there.
    pub fn file(&self, commit: &str, file: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(file)).filter(|path| path.is_file())
    }

    /// Whether the hub has said that a commit has no such file.
    pub fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.absence(commit, file).is_file()
    }

    /// Notes that a commit has no such file. Where it cannot be noted, the hub is asked again another time.
    pub fn note_absence(&self, commit: &str, file: &str) {
        let path = self.absence(commit, file);
        let _ = in_folder(&path)
            .and_then(|()| File::create(&path).map(drop).map_err(Problem::storage("written", &path)));
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(file)
    }

    /// Notes the commit of a branch or tag.
    pub fn note_commit(&self, revision: &str, commit: &str) -> Result<(), Problem> {
        let path = self.folder.join("refs").join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|noted| noted == commit) {
            return Ok(());
        }
        in_folder(&path)?;
        let aside = aside(&path);
        fs::write(&aside, commit)
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(Problem::storage("written", &path))
    }

    /// Returns the place of a file's contents by their name on the hub.
    pub fn blob(&self, name: &str) -> PathBuf {
        self.folder.join("blobs").join(name)
    }

    /// Returns the place of contents that are not all there yet, and whether a part that is there may be continued. A tag that is no checksum may belong
    /// to several files, and a weak one to several contents.
    pub fn part(&self, tag: &EntityTag, file: &str) -> (PathBuf, bool) {
        match Checksum::named(&tag.value) {
            Some(_) => (self.blob(&format!("{}.incomplete", tag.value)), true),
            None => {
                let mut hash = checksum::git_blob(file.len() as u64);
                sha1::Digest::update(&mut hash, file);
                let hash = checksum::digits(&sha1::Digest::finalize(hash)[..4]);
                (self.blob(&format!("{}.{hash}.incomplete", tag.value)), !tag.is_weak)
            }
        }
    }

    /// Puts stored contents where a commit has them: as a link, or as the file itself where there are no links. `is_new` says that no other commit links
    /// to them.
    pub fn place(&self, blob: &Path, commit: &str, file: &str, is_new: bool) -> Result<PathBuf, Problem> {
        let path = self.snapshot(commit).join(file);
        in_folder(&path)?;
        let aside = aside(&path);
        let name = blob.file_name().unwrap_or_default();
        let up: PathBuf = (0..file.split('/').count() + 1).map(|_| "..").collect();
        let linked = match self.symlinks {
            true => symlink(&up.join("blobs").join(name), &aside),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        let placed = linked.and_then(|()| fs::rename(&aside, &path)).or_else(|_| match is_new {
            true => fs::rename(blob, &path),
            false => fs::copy(blob, &aside).and_then(|_| fs::rename(&aside, &path)),
        });
        if let Err(error) = placed {
            let _ = fs::remove_file(&aside);
            return Err(Problem::storage("written", &path)(error));
        }
        Ok(path)
    }

    /// Waits for the lock of contents that several processes may fetch, which `huggingface_hub` takes too. `waiting` is called once where another process
    /// has it. Returns `None` where the file system has no locks.
    pub fn lock(&self, name: &str, waiting: impl FnMut()) -> Result<Option<File>, Problem> {
        let path = self.locks.join(format!("{name}.lock"));
        in_folder(&path)?;
        locked(&path, is_at, waiting)
    }
}

/// Waits for the lock of the file at `path`. `is_at` says whether the locked file is still the one there; one that never is is taken as it is.
fn locked(
    path: &Path,
    is_at: impl Fn(&File, &Path) -> bool,
    mut waiting: impl FnMut(),
) -> Result<Option<File>, Problem> {
    let (mut has_waited, mut rounds) = (false, 0);
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(Problem::storage("written", path))?;
        match file.try_lock() {
            Ok(()) if rounds == LOCK_ROUNDS || is_at(&file, path) => return Ok(Some(file)),
            // Another process has removed the file in between; the lock would lock nobody out.
            Ok(()) => rounds += 1,
            Err(TryLockError::WouldBlock) => {
                if !has_waited {
                    waiting();
                }
                has_waited = true;
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
        drop(file);
        thread::sleep(LOCK_POLL);
    }
}

/// Creates the folder of a file.
pub fn in_folder(path: &Path) -> Result<(), Problem> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(Problem::storage("written", folder))
}

/// Returns a name beside `path` that no other process or thread uses.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:?}.tmp", process::id(), thread::current().id()).replace(['(', ')'], ""));
    path.with_file_name(name)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the open file is still the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Instant};

    use super::*;

    /// Takes a lock whose file is another one for the first `rounds` times. Returns how often that was looked at.
    fn looks(rounds: usize) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let looks = Cell::new(0);
        let is_at = |_: &File, _: &Path| {
            looks.set(looks.get() + 1);
            looks.get() > rounds
        };
        let begun = Instant::now();
        let lock = locked(&folder.path().join("x.lock"), is_at, || panic!("nobody else has it")).unwrap();
        assert!(lock.is_some());
        assert!(begun.elapsed() >= LOCK_POLL * rounds.min(LOCK_ROUNDS) as u32, "it does not wait in between");
        looks.get()
    }

    #[test]
    fn a_lock_whose_file_is_never_the_same_is_not_waited_for_without_end() {
        assert_eq!(looks(0), 1);
        assert_eq!(looks(2), 3);
        assert_eq!(looks(usize::MAX), LOCK_ROUNDS);
    }
}
