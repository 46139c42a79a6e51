//! Reading of a GGUF header from front to back, without trusting a length in it.

use crate::{FormatError, Place, ReadAt};

/// Longest header. Headers of real models take some 20 MB (a vocabulary and its merges).
const LONGEST_HEADER: u64 = 128 << 20;
const BUFFER: usize = 64 << 10;

/// A position in a file, with a buffer ahead of it.
pub(super) struct Cursor<'a, R: ?Sized> {
    reader: &'a R,
    pub file: &'a str,
    pub file_len: u64,
    position: u64,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte in the file.
    buffer_start: u64,
}

impl<'a, R: ReadAt + ?Sized> Cursor<'a, R> {
    pub fn new(reader: &'a R, file: &'a str) -> Result<Self, FormatError> {
        let file_len = reader.len().map_err(|source| FormatError::io(file, Place::File, source))?;
        Ok(Self { reader, file, file_len, position: 0, buffer: Vec::new(), buffer_start: 0 })
    }

    /// Returns the offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Creates an error at the next byte.
    pub fn corrupt(&self, problem: impl Into<String>) -> FormatError {
        FormatError::corrupt(self.file, Place::Byte(self.position), problem)
    }

    /// Fails unless there is room for `count` items of at least `each` bytes.
    pub fn expect_room(&self, count: u64, each: u64, what: &str) -> Result<(), FormatError> {
        let room = self.file_len.min(LONGEST_HEADER) - self.position;
        match count.checked_mul(each) {
            Some(len) if len <= room => Ok(()),
            _ => Err(self.corrupt(format!(
                "{count} {what} are announced, for which the header has no room ({room} bytes are left)"
            ))),
        }
    }

    /// Reads the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads the next `len` bytes.
    pub fn bytes(&mut self, len: u64) -> Result<Vec<u8>, FormatError> {
        self.expect_room(len, 1, "bytes")?;
        // At most LONGEST_HEADER, by the check above.
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a length and that number of bytes of UTF-8.
    pub fn string(&mut self) -> Result<String, FormatError> {
        let len = self.u64()?;
        let start = self.position;
        String::from_utf8(self.bytes(len)?).map_err(|error| {
            let at = start + error.utf8_error().valid_up_to() as u64;
            FormatError::corrupt(self.file, Place::Byte(at), "this text is not UTF-8")
        })
    }

    fn fill(&mut self, mut out: &mut [u8]) -> Result<(), FormatError> {
        self.expect_room(out.len() as u64, 1, "bytes")?;
        while !out.is_empty() {
            let ahead = (self.position - self.buffer_start) as usize;
            let buffered = self.buffer.get(ahead..).unwrap_or_default();
            if buffered.is_empty() {
                self.refill()?;
                continue;
            }
            let take = buffered.len().min(out.len());
            out[..take].copy_from_slice(&buffered[..take]);
            out = &mut out[take..];
            self.position += take as u64;
        }
        Ok(())
    }

    /// Fills the buffer with the following bytes. It is called only if there is at least one.
    fn refill(&mut self) -> Result<(), FormatError> {
        let ahead = (self.file_len - self.position).min(BUFFER as u64) as usize;
        self.buffer.resize(ahead, 0);
        self.buffer_start = self.position;
        self.reader
            .read_exact_at(self.position, &mut self.buffer)
            .map_err(|source| FormatError::io(self.file, Place::Byte(self.position), source))
    }
}
