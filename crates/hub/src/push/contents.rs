//! What is uploaded: files, and their checksums.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek as _, SeekFrom},
    path::PathBuf,
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use crate::{checksum, error::Problem, names};

/// Size of the largest file that goes into a commit itself, in bytes. Hugging Face has larger ones than 10 MB in its storage.
const LARGEST_REGULAR: u64 = 64 << 20;
/// Number of bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// A file to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFile {
    /// Its name in the repository.
    pub name: String,
    /// What it contains.
    pub contents: Contents,
}

/// What a file to upload contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// The bytes of a file on this machine.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A file to upload whose checksum is known.
pub struct Opened<'f> {
    pub name: &'f str,
    pub size: u64,
    pub sha256: String,
    /// The first 512 bytes.
    pub sample: Vec<u8>,
    source: Source<'f>,
}

enum Source<'f> {
    /// The file as it was opened: what replaces it later is another one.
    File {
        file: File,
        path: &'f PathBuf,
        modified: Option<SystemTime>,
    },
    Bytes(&'f [u8]),
}

impl<'f> Opened<'f> {
    /// Opens a file and computes its checksum.
    pub fn open(file: &'f UploadFile) -> Result<Self, Problem> {
        let name = names::file_name(&file.name)?;
        if name.split('/').any(|part| part.starts_with('.')) {
            return Err(Problem::Answer(format!("{name} is a hidden file, and those are not uploaded")));
        }
        let (source, size) = match &file.contents {
            Contents::Bytes(bytes) => (Source::Bytes(bytes), bytes.len() as u64),
            Contents::Path(path) => {
                let opened = || {
                    let file = File::open(path)?;
                    let metadata = file.metadata()?;
                    Ok((Source::File { file, path, modified: metadata.modified().ok() }, metadata.len()))
                };
                opened().map_err(Problem::storage("read", path))?
            }
        };
        let mut opened = Self { name, size, sha256: String::new(), sample: Vec::new(), source };
        opened.read_once()?;
        Ok(opened)
    }

    fn read_once(&mut self) -> Result<(), Problem> {
        let (mut hash, mut sample, mut buffer) = (Sha256::new(), Vec::new(), vec![0; PIECE]);
        let read = || {
            let mut reader = self.part(0, self.size)?;
            loop {
                let count = reader.read(&mut buffer)?;
                let piece = buffer.get(..count).unwrap_or_default();
                if piece.is_empty() {
                    return Ok(());
                }
                hash.update(piece);
                let wanted = 512 - sample.len();
                sample.extend(piece.iter().take(wanted));
            }
        };
        let read: io::Result<()> = { read }();
        read.map_err(|error| self.unreadable(error))?;
        (self.sha256, self.sample) = (checksum::digits(&hash.finalize()), sample);
        Ok(())
    }

    /// Returns a reader of `length` bytes from `from` on.
    pub fn part(&self, from: u64, length: u64) -> io::Result<Box<dyn Read + '_>> {
        match &self.source {
            Source::File { file, .. } => {
                let mut file = file;
                file.seek(SeekFrom::Start(from))?;
                Ok(Box::new(file.take(length)))
            }
            Source::Bytes(bytes) => {
                let mut cursor = Cursor::new(*bytes);
                cursor.set_position(from);
                Ok(Box::new(cursor.take(length)))
            }
        }
    }

    /// Returns the contents of a file that goes into the commit itself.
    pub fn whole(&self) -> Result<Vec<u8>, Problem> {
        if self.size > LARGEST_REGULAR {
            return Err(Problem::Answer(format!(
                "the hub wants {} in the commit itself, and its {} bytes are too many for that: does it have a storage for large files?",
                self.name, self.size
            )));
        }
        let mut bytes = Vec::new();
        let read = self.part(0, self.size).and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map_err(|error| self.unreadable(error))?;
        Ok(bytes)
    }

    /// Checks that the file is as it was when its checksum was computed.
    pub fn is_unchanged(&self) -> Result<(), Problem> {
        let Source::File { file, modified, .. } = &self.source else { return Ok(()) };
        let now = file.metadata().map_err(|error| self.unreadable(error))?;
        match now.len() == self.size && now.modified().ok() == *modified {
            true => Ok(()),
            false => Err(Problem::Answer(format!(
                "{} was changed while it was uploaded: nothing is committed. Run this again when nothing writes there",
                self.name
            ))),
        }
    }

    fn unreadable(&self, error: io::Error) -> Problem {
        match &self.source {
            Source::File { path, .. } => Problem::storage("read", path)(error),
            Source::Bytes(_) => Problem::Answer(format!("{} cannot be read: {error}", self.name)),
        }
    }
}
