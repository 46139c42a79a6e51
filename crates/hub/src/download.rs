//! One file's way from a hub into the cache.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use sha1::Digest as _;
use ureq::http::Uri;

use crate::{
    cache::in_folder,
    checksum::{self, Checksum},
    error::Problem,
    names::EntityTag,
    range::ContentRange,
    repository::{Event, Repository},
    transport::{Attempts, Opened, Reply},
};

/// Number of bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// A file as the hub describes it, before its contents are there.
struct Announced {
    address: Uri,
    tag: EntityTag,
    checksum: Option<Checksum>,
    size: Option<u64>,
}

/// Fetches a file into the cache. Returns its path, or `None` where the model has no such file.
pub fn fetch(repository: &Repository<'_>, file: &str) -> Result<Option<PathBuf>, Problem> {
    let address = repository.address(file)?;
    let notice = |reason: &str, wait| repository.say(&Event::Retry { file, reason, wait });
    let mut attempts = Attempts::new(repository.settings, &notice);
    let opened = match repository.transport()?.get(&address, 0, &mut attempts)? {
        Reply::File(opened) => opened,
        Reply::Absent { commit } => {
            repository.note_absence(commit, file);
            return Ok(None);
        }
        Reply::OutOfRange => return Err(Problem::Answer("HTTP 416 to a request for the whole file".into())),
    };
    let commit = repository.pin(opened.head.commit()?)?;
    let tag = opened.head.tag()?.ok_or_else(|| {
        Problem::Answer(
            "the answer has no ETag, and so no name for the file: is this the address of a hub?".into(),
        )
    })?;
    let announced =
        Announced { address, checksum: Checksum::named(&tag.value), size: opened.head.size()?, tag };
    let cache = &repository.cache;
    let mut has_waited = false;
    let lock = cache.lock(&announced.tag.value, || {
        has_waited = true;
        repository.say(&Event::Waiting { file });
    })?;
    // Another process may have fetched it in the meantime.
    if let Some(path) = cache.file(&commit, file) {
        return Ok(Some(path));
    }
    // Only a checksum says that contents are the right ones.
    if let Some(checksum) = &announced.checksum {
        let blob = cache.blob(&announced.tag.value);
        if blob.is_file() {
            match checked(&blob, Some(checksum))? {
                Ok(_) => return cache.place(&blob, &commit, file, false).map(Some),
                Err(_) => fs::remove_file(&blob).map_err(Problem::storage("written", &blob))?,
            }
        }
    }
    // An answer that waited along is too old to be read.
    let opened = (!has_waited).then_some(opened);
    let (part, may_resume) = cache.part(&announced.tag, file);
    let mut transfer = Transfer { repository, file, announced: &announced, part: &part, attempts };
    let name = transfer.whole(opened, may_resume)?;
    let blob = cache.blob(&name);
    fs::rename(&part, &blob).map_err(Problem::storage("written", &blob))?;
    let path = cache.place(&blob, &commit, file, true)?;
    drop(lock);
    repository.say(&Event::Stored { file });
    Ok(Some(path))
}

struct Transfer<'t, 'r> {
    repository: &'t Repository<'r>,
    file: &'t str,
    announced: &'t Announced,
    part: &'t Path,
    attempts: Attempts<'t>,
}

/// How the reading of an answer ended.
enum End {
    Whole,
    Broken(io::Error),
}

impl Transfer<'_, '_> {
    /// Fetches the contents into the part, and returns the name to store them by. What is damaged is fetched anew once.
    fn whole(&mut self, mut opened: Option<Box<Opened>>, may_resume: bool) -> Result<String, Problem> {
        if !may_resume {
            self.remove()?;
        }
        let mut is_second = false;
        loop {
            self.transfer(opened.take())?;
            match checked(self.part, self.announced.checksum.as_ref())? {
                Ok(name) => {
                    return Ok(self
                        .announced
                        .checksum
                        .as_ref()
                        .map_or(name, |_| self.announced.tag.value.clone()));
                }
                Err(mismatch) => {
                    self.remove()?;
                    if is_second {
                        return Err(Problem::Damaged(mismatch));
                    }
                    is_second = true;
                }
            }
        }
    }

    fn remove(&self) -> Result<(), Problem> {
        match fs::remove_file(self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Problem::storage("written", self.part)(error))
            }
            _ => Ok(()),
        }
    }

    /// Fetches what the part lacks.
    fn transfer(&mut self, first: Option<Box<Opened>>) -> Result<(), Problem> {
        in_folder(self.part)?;
        let failed = || Problem::storage("written", self.part);
        let file = File::options().create(true).truncate(false).read(true).write(true).open(self.part);
        let mut file = file.map_err(failed())?;
        let mut done = file.metadata().map_err(failed())?.len();
        if self.announced.size.is_some_and(|size| done > size) {
            file.set_len(0).map_err(failed())?;
            done = 0;
        }
        let mut opened = first.filter(|_| done == 0);
        let mut furthest = done;
        while opened.is_some() || self.announced.size != Some(done) {
            let reply = match opened.take() {
                Some(opened) => Reply::File(opened),
                None => {
                    self.repository.transport()?.get(&self.announced.address, done, &mut self.attempts)?
                }
            };
            let broken = match reply {
                Reply::File(mut opened) => {
                    if !self.goes_on(&opened, done)? {
                        file.set_len(0).map_err(failed())?;
                        done = 0;
                    }
                    // A part that does not begin where it was to begin is of no use, and one that begins anew is.
                    match opened.head.is_part && done == 0 {
                        true => {
                            io::Error::other("the hub sent another part of the file than it was asked for")
                        }
                        false => match self.copy(&mut opened, &mut file, &mut done)? {
                            End::Whole if self.announced.size.is_none_or(|size| size == done) => break,
                            End::Whole => io::ErrorKind::UnexpectedEof.into(),
                            End::Broken(error) => error,
                        },
                    }
                }
                Reply::OutOfRange => {
                    file.set_len(0).map_err(failed())?;
                    done = 0;
                    io::Error::other("the hub has another file than the one that was begun")
                }
                Reply::Absent { .. } => {
                    return Err(Problem::Answer("the hub had the file, and has it no more".into()));
                }
            };
            if done > furthest {
                self.attempts.renew();
            }
            furthest = furthest.max(done);
            let total = self.announced.size.map(|size| format!(" of {size}")).unwrap_or_default();
            let reason = format!(
                "the transfer broke at {done}{total} bytes ({broken}): run this again to go on from there"
            );
            self.attempts.again(None, &reason).map_err(Problem::Unreachable)?;
        }
        file.sync_all().map_err(failed())
    }

    /// Whether an answer goes on at `done`; otherwise it begins anew. An answer for another file is an error.
    fn goes_on(&self, opened: &Opened, done: u64) -> Result<bool, Problem> {
        let head = &opened.head;
        if head.tag()?.is_some_and(|tag| tag.value != self.announced.tag.value) {
            return Err(Problem::Answer(
                "the file has changed on the hub in the meantime: run this again".into(),
            ));
        }
        if !head.is_part {
            return Ok(done == 0);
        }
        let goes_on = |range: ContentRange| range.goes_on(done, self.announced.size);
        Ok(done > 0 && head.range.is_some_and(goes_on))
    }

    fn copy(&self, opened: &mut Opened, file: &mut File, done: &mut u64) -> Result<End, Problem> {
        let limit = self.announced.size.unwrap_or(self.repository.settings.longest_unannounced);
        let failed = || Problem::storage("written", self.part);
        file.seek(SeekFrom::Start(*done)).map_err(failed())?;
        let mut buffer = vec![0; PIECE];
        loop {
            self.repository.say(&Event::Progress {
                file: self.file,
                done: *done,
                total: self.announced.size,
            });
            let count = match opened.body.read(&mut buffer) {
                Ok(0) => return Ok(End::Whole),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(End::Broken(error)),
            };
            if *done + count as u64 > limit {
                self.remove()?;
                let announced = match self.announced.size {
                    Some(size) => format!("more than the {size} bytes that it announced"),
                    None => format!("no size, and more than {limit} bytes"),
                };
                return Err(Problem::Answer(format!("the hub sends {announced}: the file is refused")));
            }
            let piece = buffer.get(..count).unwrap_or_default();
            file.write_all(piece).map_err(failed())?;
            *done += count as u64;
        }
    }
}

/// Compares a file with its checksum. Returns the name that git has for the contents of a file without one, or how the file differs.
fn checked(path: &Path, checksum: Option<&Checksum>) -> Result<Result<String, String>, Problem> {
    let failed = || Problem::storage("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let (mut check, mut name) = (checksum.map(|checksum| checksum.begin(length)), checksum::git_blob(length));
    let mut buffer = vec![0; PIECE];
    loop {
        let count = file.read(&mut buffer).map_err(failed())?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        match &mut check {
            Some(check) => check.update(piece),
            None => name.update(piece),
        }
    }
    Ok(match check {
        Some(check) => check.finish().map(|()| String::new()).map_err(|mismatch| mismatch.to_string()),
        None => Ok(checksum::digits(&name.finalize())),
    })
}
