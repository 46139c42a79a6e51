//! Passes the bytes of a CSV file on with a line feed at the end of each row, and bounds the number of cells.

use std::io::{self, Read};

/// Maximum number of cells of a row: that of spreadsheets.
const MOST_CELLS: usize = 1 << 14;

/// Error message for a file that ends within quotes: all rows after the quote would be one cell.
const NEVER_CLOSED: &str = "a quote is never closed";

/// Reader of a CSV file whose rows end with a line feed, a carriage return, or both. All of them become line feeds, which the `csv` crate counts. Line
/// ends within quotes are left as they are.
pub struct Cells<R> {
    reader: R,
    delimiter: u8,
    place: Place,
    /// Number of the row's cells so far.
    cells: usize,
    /// Whether the last byte was a carriage return that ended a row: a line feed after it is part of the same line end.
    after_return: bool,
    /// Whether the file ends here without a line end: it is given one, so that the last row is counted as the others are.
    lacks_end: bool,
}

/// A place within a cell, as the `csv` crate distinguishes them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Bare,
    Quoted,
    /// After a quote within quotes, which is the last or the first of two.
    Quote,
}

impl<R> Cells<R> {
    /// Wraps `reader`, which has to be at the beginning of a file.
    pub fn new(reader: R, delimiter: u8) -> Self {
        Self { reader, delimiter, place: Place::Start, cells: 0, after_return: false, lacks_end: false }
    }

    /// Passes on the first `count` bytes of `buf`. Returns their number without those that were left out.
    fn pass(&mut self, buf: &mut [u8], count: usize) -> io::Result<usize> {
        let mut kept = 0;
        for at in 0..count {
            let mut byte = buf[at];
            let is_second = std::mem::take(&mut self.after_return) && byte == b'\n';
            if is_second {
                continue;
            }
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Quoted, _) => Place::Quoted,
                (Place::Start, b'"') | (Place::Quote, b'"') => Place::Quoted,
                (_, b'\r' | b'\n') => {
                    self.after_return = byte == b'\r';
                    self.cells = 0;
                    byte = b'\n';
                    Place::Start
                }
                (_, byte) if byte == self.delimiter => {
                    self.cells += 1;
                    Place::Start
                }
                _ => Place::Bare,
            };
            if self.cells >= MOST_CELLS {
                return Err(io::Error::other(format!("a row has more than {MOST_CELLS} cells")));
            }
            self.lacks_end = byte != b'\n';
            buf[kept] = byte;
            kept += 1;
        }
        Ok(kept)
    }
}

impl<R: Read> Read for Cells<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.reader.read(buf)?;
            let kept = self.pass(buf, count)?;
            if count == 0 && self.place == Place::Quoted {
                return Err(io::Error::other(NEVER_CLOSED));
            }
            if count == 0
                && std::mem::take(&mut self.lacks_end)
                && let Some(first) = buf.first_mut()
            {
                *first = b'\n';
                return Ok(1);
            }
            // Nothing is the end of the file only where nothing was read.
            if kept > 0 || count == 0 {
                return Ok(kept);
            }
        }
    }
}
