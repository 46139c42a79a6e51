//! Random access to a `File`, read in place: the file is never in this module's memory as a whole.

use std::io::{self, ErrorKind};

use lorelei_formats::ReadAt;
use web_sys::Blob;

use crate::browser;

/// A file that the page was given, or one from its storage.
#[derive(Debug, Clone)]
pub struct BlobReader(Blob);

// SAFETY: the module is built without threads; nothing can be sent anywhere.
unsafe impl Send for BlobReader {}
// SAFETY: as above.
unsafe impl Sync for BlobReader {}

impl BlobReader {
    /// Creates a reader of `blob`.
    pub fn new(blob: impl Into<Blob>) -> Self {
        Self(blob.into())
    }
}

impl ReadAt for BlobReader {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.size() as u64)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = browser::read_blob(&self.0, offset as f64, buf.len() as f64).ok_or_else(|| {
            io::Error::other("the browser cannot read the file any more: was it moved or changed?")
        })?;
        if bytes.length() as usize != buf.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.copy_to(buf);
        Ok(())
    }
}

/// A sequential reader of a file, for functions that need a stream.
pub struct BlobStream {
    reader: BlobReader,
    at: u64,
}

impl BlobStream {
    /// Creates a stream that begins at the file's first byte.
    pub fn new(reader: BlobReader) -> Self {
        Self { reader, at: 0 }
    }
}

impl io::Read for BlobStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = ReadAt::len(&self.reader)?.saturating_sub(self.at);
        let count = left.min(buf.len() as u64) as usize;
        if count > 0 {
            self.reader.read_exact_at(self.at, &mut buf[..count])?;
            self.at += count as u64;
        }
        Ok(count)
    }
}
