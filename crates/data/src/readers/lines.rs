//! Lines of bytes with their numbers.

use std::io::{self, BufRead};

use lorelei_recipe::message;

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
                Some(Err(bad(TOO_LONG, message!("split it, or see whether line ends are missing"))))
            }
            Err(error) => {
                self.failed = true;
                let problem = message!("reading failed: {reason}", reason = error.to_string());
                let help = message!("check the file and its disk");
                Some(Err(DataError::new(DataErrorKind::Read, problem, help)))
            }
        }
    }

    /// Reads through the next line end: a line feed, a carriage return, or both. Returns `None` at the end of the file, and false if the line is too
    /// long.
    fn read(&mut self) -> io::Result<Option<bool>> {
        let (mut length, mut ended) = (0u64, false);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            // After a carriage return only a line feed belongs to the line.
            let count = match ended {
                true => usize::from(bytes.first() == Some(&b'\n')),
                false => {
                    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    ended = end.is_some();
                    end.map_or(bytes.len(), |end| end + 1)
                }
            };
            let is_over = count == 0 || (ended && bytes.get(count - 1) == Some(&b'\n'));
            length += count as u64;
            let fits = length <= MAX_ROW_BYTES as u64;
            if fits {
                self.line.extend_from_slice(&bytes[..count]);
            }
            self.reader.consume(count);
            if is_over {
                return Ok((length > 0).then_some(fits));
            }
            if length > MAX_SKIPPED {
                return Err(io::Error::other("a line does not end within 256 MiB"));
            }
        }
    }
}

/// Maximum length of a line that is skipped because it is too long. A longer one is no line: a device such as `/dev/zero` never ends.
const MAX_SKIPPED: u64 = 256 << 20;

/// The byte order mark of UTF-8.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";
