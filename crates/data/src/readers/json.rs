//! Reads JSON: one array of objects, one object after another.

use std::io::{self, BufRead};

use lorelei_recipe::{Message, message};
use serde_json::{Map, Value};

use super::{
    encoding::not_utf8,
    limit::{MAX_ROW_BYTES, TOO_LONG},
};
use crate::{
    error::{DataError, DataErrorKind},
    json_value::{self, Invalid},
    rows::{Columns, Row, bad, from_fields, kind},
};

/// Reads the elements of an array whose `[` comes next, each with the number of the line on which it begins. Invalid JSON ends the rows, because the
/// beginning of the next one cannot be found.
pub fn read_array<R: BufRead>(
    reader: R,
    file_name: &str,
    columns: Columns,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let mut array = Array {
        reader: Counted { reader, line: 1, after_return: false },
        columns,
        bytes: Vec::new(),
        begun: false,
        ended: false,
    };
    let file_name = file_name.to_owned();
    std::iter::from_fn(move || {
        let item = array.next()?;
        Some(item.map_err(|error| error.at(&file_name, array.reader.line)))
    })
    .fuse()
}

struct Array<R> {
    reader: Counted<R>,
    columns: Columns,
    /// The element that was read last.
    bytes: Vec<u8>,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Array<R> {
    fn next(&mut self) -> Option<Result<(usize, Row), DataError>> {
        if self.ended {
            return None;
        }
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
        let element = self.element(line);
        self.ended = element.as_ref().is_err_and(|error| error.kind == DataErrorKind::Read);
        let row = element.and_then(|fields| from_fields(fields, &self.columns));
        Some(
            row.map(|row| (line, row))
                .map_err(|error| DataError { line: error.line.or(Some(line)), ..error }),
        )
    }

    /// Reads the next element, which begins on `line`.
    ///
    /// # Errors
    ///
    /// If it is no object, or of kind [`DataErrorKind::Read`] if it is no JSON: the beginning of the next element is not known then.
    fn element(&mut self, line: usize) -> Result<Map<String, Value>, DataError> {
        self.reader.value(&mut self.bytes).map_err(|error| unreadable(&error))?;
        let text =
            std::str::from_utf8(&self.bytes).map_err(|_| not_utf8(message!("the row"), &self.bytes))?;
        if text.is_empty() {
            let found = named(self.peek()?);
            return Err(unread(message!("not valid JSON: expected an object, found {found}", found), REST));
        }
        let value = json_value::parse(text).map_err(|invalid| {
            let line = Some(line + lines_before(text, &invalid));
            let problem = message!("not valid JSON: {problem}", problem = invalid.problem);
            DataError { line, ..unread(problem, REST) }
        })?;
        match value {
            Value::Object(fields) => Ok(fields),
            other => {
                let problem = message!("expected a JSON object, found {found}", found = kind(&other));
                Err(bad(problem, message!("each element is a row")))
            }
        }
    }

    /// Steps over `[` or `,` to the next element. Returns false at the end.
    fn separator(&mut self) -> Result<bool, DataError> {
        let expected = if self.begun { b',' } else { b'[' };
        let found = self.peek()?;
        if self.begun && found == Some(b']') {
            self.reader.consume_one();
            return match self.peek()? {
                None => Ok(false),
                Some(_) => Err(unread(message!("something follows the array"), ONE_ARRAY)),
            };
        }
        if found != Some(expected) {
            let (expected, found) = (expected as char, named(found));
            return Err(unread(message!("expected {expected}, found {found}", ?expected, found), ONE_ARRAY));
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
        self.reader.peek().map_err(|error| unreadable(&error))
    }
}

/// The way out of an error that ends the rows.
const REST: Message = message!("the rows after it were not read");

const ONE_ARRAY: Message = message!("a .json file is one array of objects");

/// Names the next byte of a file for a message.
fn named(byte: Option<u8>) -> Message {
    byte.map_or(message!("the end of the file"), |byte| format!("{:?}", byte as char).into())
}

/// Creates an error for a file whose rest cannot be read.
fn unread(problem: impl Into<Message>, help: Message) -> DataError {
    DataError::new(DataErrorKind::Read, problem, help)
}

fn unreadable(error: &io::Error) -> DataError {
    match error.to_string() {
        reason if TOO_LONG == reason.as_str() => unread(TOO_LONG, REST),
        reason => {
            unread(message!("reading failed: {reason}", reason), message!("check the file and its disk"))
        }
    }
}

/// Counts the line ends before a fault, whatever ends the lines.
fn lines_before(text: &str, fault: &Invalid) -> usize {
    let mut lines = text.split_inclusive('\n');
    let whole: usize = lines.by_ref().take(fault.line - 1).map(str::len).sum();
    let before = text.get(..whole + fault.column - 1).unwrap_or(text);
    before.matches('\n').count() + before.matches('\r').count() - before.matches("\r\n").count()
}

/// Counts the lines that are read.
struct Counted<R> {
    reader: R,
    line: usize,
    /// Whether the last byte was a carriage return: a line feed after it is part of the same line end.
    after_return: bool,
}

impl<R: BufRead> Counted<R> {
    fn peek(&mut self) -> io::Result<Option<u8>> {
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
        if let Ok([byte, ..]) = self.reader.fill_buf() {
            let byte = *byte;
            self.count(byte);
            self.reader.consume(1);
        }
    }

    fn count(&mut self, byte: u8) {
        self.line += usize::from(byte == b'\r' || (byte == b'\n' && !self.after_return));
        self.after_return = byte == b'\r';
    }

    /// Reads the bytes of the value that comes next: to the bracket or quote that closes it, or to what ends a number or word.
    fn value(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        let mut scan = Scan::default();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = scan.end(buffer);
            let count = end.unwrap_or(buffer.len());
            let from = bytes.len();
            if from + count > MAX_ROW_BYTES {
                return Err(io::Error::other(TOO_LONG.as_str().to_owned()));
            }
            bytes.extend_from_slice(&buffer[..count]);
            self.reader.consume(count);
            for byte in &bytes[from..] {
                self.count(*byte);
            }
            if end.is_some() || count == 0 {
                return Ok(());
            }
        }
    }
}

/// A place within a value.
#[derive(Default)]
struct Scan {
    /// Number of open brackets.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_begun: bool,
}

impl Scan {
    /// Returns the number of these bytes that belong to the value, if it ends among them.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' | b'[' | b'{' if self.depth == 0 && self.has_begun => return Some(at),
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' if self.depth > 1 => self.depth -= 1,
                b']' | b'}' => return Some(at + self.depth),
                b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return Some(at),
                _ => {}
            }
            self.has_begun = true;
        }
        None
    }
}
