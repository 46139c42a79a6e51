//! Reads JSON: one array of objects, one object after another.

use std::io::{BufRead, Read};

use serde::Deserialize as _;
use serde_json::Value;

use super::{
    jsonl::json_problem,
    limit::{Budget, Limited},
};
use crate::{
    error::{DataError, DataErrorKind},
    rows::{Columns, Row, bad, from_fields, kind},
};

/// Reads the elements of an array whose `[` comes next, each with the number of the line on which it begins. Invalid JSON ends the rows, because the
/// beginning of the next one cannot be found.
pub fn read_array<R: BufRead>(
    reader: R,
    file_name: &str,
    columns: Columns,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let (reader, budget) = Limited::new(reader);
    let mut array =
        Array { reader: Counted { reader, line: 1 }, budget, columns, begun: false, ended: false };
    let file_name = file_name.to_owned();
    std::iter::from_fn(move || {
        let item = array.next()?;
        Some(item.map_err(|error| error.at(&file_name, array.reader.line)))
    })
    .fuse()
}

struct Array<R> {
    reader: Counted<Limited<R>>,
    budget: Budget,
    columns: Columns,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Array<R> {
    fn next(&mut self) -> Option<Result<(usize, Row), DataError>> {
        if self.ended {
            return None;
        }
        self.budget.renew();
        let more = match self.separator() {
            Ok(more) => more,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        if !more {
            self.ended = true;
            return None;
        }
        let line = self.reader.line;
        let value = Value::deserialize(&mut serde_json::Deserializer::from_reader(&mut self.reader));
        Some(match value {
            Ok(Value::Object(fields)) => from_fields(fields, &self.columns)
                .map(|row| (line, row))
                .map_err(|error| DataError { line: Some(line), ..error }),
            Ok(other) => {
                let problem = format!("expected a JSON object, found {}", kind(&other));
                match other {
                    Value::Array(_) | Value::String(_) => Err(bad(problem, "each element is a row")),
                    // The bytes after a number were read to find its end.
                    _ => {
                        self.ended = true;
                        Err(unread(problem, "each element is a row; those after it were not read"))
                    }
                }
            }
            Err(error) => {
                self.ended = true;
                Err(unread(
                    format!("not valid JSON: {}", json_problem(&error)),
                    "the rows after it were not read",
                ))
            }
        })
    }

    /// Steps over `[` or `,` to the next element. Returns false at the end.
    fn separator(&mut self) -> Result<bool, DataError> {
        let expected = if self.begun { b',' } else { b'[' };
        let found = self.peek()?;
        if self.begun && found == Some(b']') {
            self.reader.consume_one();
            return match self.peek()? {
                None => Ok(false),
                Some(_) => Err(unread("something follows the array", "a .json file is one array of objects")),
            };
        }
        if found != Some(expected) {
            let found = found.map_or("the end of the file".to_owned(), |byte| format!("{:?}", byte as char));
            let problem = format!("expected {:?}, found {found}", expected as char);
            return Err(unread(problem, "a .json file is one array of objects"));
        }
        self.reader.consume_one();
        let first = !std::mem::replace(&mut self.begun, true);
        if first && self.peek()? == Some(b']') {
            return self.separator();
        }
        self.peek()?;
        Ok(true)
    }

    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> Result<Option<u8>, DataError> {
        self.reader.peek().map_err(|error| {
            DataError::new(
                DataErrorKind::Read,
                format!("reading failed: {error}"),
                "check the file and its disk",
            )
        })
    }
}

/// Creates an error for a file whose rest cannot be read.
fn unread(problem: impl Into<String>, help: &str) -> DataError {
    DataError::new(DataErrorKind::Read, problem, help)
}

/// Counts the lines that are read.
struct Counted<R> {
    reader: R,
    line: usize,
}

impl<R: BufRead> Counted<R> {
    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf()?.first() {
                None => return Ok(None),
                Some(byte) if byte.is_ascii_whitespace() => self.consume_one(),
                Some(byte) => return Ok(Some(*byte)),
            }
        }
    }

    /// Consumes the byte just peeked at.
    fn consume_one(&mut self) {
        let newline = self.reader.fill_buf().is_ok_and(|bytes| bytes.first() == Some(&b'\n'));
        self.line += usize::from(newline);
        self.reader.consume(1);
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buf)?;
        self.line += buf[..count].iter().filter(|byte| **byte == b'\n').count();
        Ok(count)
    }
}
