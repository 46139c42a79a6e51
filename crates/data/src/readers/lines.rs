//! Lines of bytes with their numbers.

use std::io::BufRead;

use super::limit::{MAX_ROW_BYTES, TOO_LONG};
use crate::{
    error::{DataError, DataErrorKind},
    rows::bad,
};

/// Lines, numbered from 1, without a byte order mark before the first. They keep their line ends.
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: usize,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    /// Creates a reader of lines. `reader` has to be at the beginning of a file.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, failed: false }
    }

    /// Number of the line read last.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns the next line. A line that is too long is an error, and is skipped without being stored. A reader that fails ends the lines.
    pub fn next(&mut self) -> Option<Result<(usize, &[u8]), DataError>> {
        if self.failed {
            return None;
        }
        self.number += 1;
        self.line.clear();
        match self.read() {
            Ok(None) => None,
            Ok(Some(true)) => {
                let bom = self.number == 1 && self.line.starts_with(BOM);
                Some(Ok((self.number, &self.line[if bom { BOM.len() } else { 0 }..])))
            }
            Ok(Some(false)) => {
                self.line = Vec::new();
                Some(Err(bad(TOO_LONG, "split it, or see whether line ends are missing")))
            }
            Err(error) => {
                self.failed = true;
                let problem = format!("reading failed: {error}");
                Some(Err(DataError::new(DataErrorKind::Read, problem, "check the file and its disk")))
            }
        }
    }

    /// Reads through the next line end. Returns `None` at the end of the file, and false if the line is too long.
    fn read(&mut self) -> std::io::Result<Option<bool>> {
        let (mut any, mut fits) = (false, true);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                return Ok(any.then_some(fits));
            }
            any = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(bytes.len(), |end| end + 1);
            fits &= self.line.len() + count <= MAX_ROW_BYTES;
            if fits {
                self.line.extend_from_slice(&bytes[..count]);
            }
            self.reader.consume(count);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }
}

/// The byte order mark of UTF-8.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";
