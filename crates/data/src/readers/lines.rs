//! Lines of bytes with their numbers.

use std::io::BufRead;

use crate::error::{DataError, DataErrorKind};

/// Lines from 1, without a byte order mark before the first; they keep their line ends.
pub struct Lines<R> {
    reader: R,
    number: usize,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    /// Of a file from its beginning.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0, failed: false }
    }

    /// The line read last.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next; a reader that fails ends them.
    pub fn next(&mut self) -> Option<Result<(usize, Vec<u8>), DataError>> {
        if self.failed {
            return None;
        }
        self.number += 1;
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if self.number == 1 && line.starts_with(BOM) {
                    line.drain(..BOM.len());
                }
                Some(Ok((self.number, line)))
            }
            Err(error) => {
                self.failed = true;
                let problem = format!("reading failed: {error}");
                Some(Err(DataError::new(DataErrorKind::Read, problem, "check the file and its disk")))
            }
        }
    }
}

/// The byte order mark of UTF-8.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";
