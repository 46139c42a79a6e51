//! Reads plain text: a row is a line, a paragraph between blank lines, or a part of the whole text.

use std::io::BufRead;

use lorelei_recipe::{SampleBy, message};

use super::{
    BoxedRows,
    encoding::not_utf8,
    limit::{MAX_ROW_BYTES, TOO_LONG},
    lines::Lines,
};
use crate::{
    error::DataError,
    rows::{Row, bad},
};

/// Number of bytes after which a piece of a stream ends with the next line end.
const PIECE: usize = 1 << 16;

/// Reads the rows of a text with the numbers of the lines on which they begin. Blank lines are not rows.
pub fn read_text<'a>(reader: impl BufRead + 'a, file_name: &str, sample_by: SampleBy) -> BoxedRows<'a> {
    let file_name = file_name.to_owned();
    let mut texts = Texts { lines: Lines::new(reader), sample_by, begins: true, skips: false, bad: None };
    Box::new(std::iter::from_fn(move || {
        let item = texts.next()?;
        Some(item.map_err(|error| error.at(&file_name, texts.lines.number())))
    }))
}

struct Texts<R> {
    lines: Lines<R>,
    sample_by: SampleBy,
    begins: bool,
    /// Whether the lines up to the next blank one belong to a paragraph that is too long.
    skips: bool,
    /// Error of the line that ended a row.
    bad: Option<DataError>,
}

impl<R: BufRead> Texts<R> {
    fn next(&mut self) -> Option<Result<(usize, Row), DataError>> {
        if let Some(error) = self.bad.take() {
            return Some(Err(error));
        }
        let mut text = String::new();
        let mut start = 1;
        loop {
            let line = match self.lines.next() {
                Some(line) => line.and_then(|(number, line)| Ok((number, words(line)?))),
                None if text.is_empty() => return None,
                None => return Some(Ok((start, self.row(text)))),
            };
            let (number, line) = match line {
                Ok(line) => line,
                Err(error) if text.is_empty() => return Some(Err(error)),
                // The lines read before it are a row all the same.
                Err(error) => {
                    let number = self.lines.number();
                    self.bad = Some(DataError { line: Some(number), ..error });
                    return Some(Ok((start, self.row(text))));
                }
            };
            let blank = line.trim().is_empty();
            if self.skips {
                self.skips = !blank;
                continue;
            }
            if text.is_empty() {
                start = number;
            }
            match self.sample_by {
                SampleBy::Line if blank => {}
                SampleBy::Line => return Some(Ok((number, Row::Text(bare(line).to_owned())))),
                SampleBy::Paragraph if blank && text.is_empty() => {}
                SampleBy::Paragraph if blank => return Some(Ok((start, self.row(text)))),
                _ => {
                    text.push_str(line);
                    if self.sample_by == SampleBy::Document && text.len() >= PIECE {
                        return Some(Ok((start, self.row(text))));
                    }
                    if text.len() > MAX_ROW_BYTES {
                        self.skips = true;
                        return Some(Err(bad(
                            TOO_LONG,
                            message!("no blank line divides it; set data.sample_by to \"document\""),
                        )));
                    }
                }
            }
        }
    }

    fn row(&mut self, text: String) -> Row {
        match self.sample_by {
            SampleBy::Document => Row::Stream { text, begins: std::mem::take(&mut self.begins) },
            _ => Row::Text(bare(&text).to_owned()),
        }
    }
}

/// Strips the line end.
fn bare(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

fn words(line: &[u8]) -> Result<&str, DataError> {
    if let Some(at) = line.iter().position(|byte| *byte == 0) {
        let problem = message!("byte {at} of the line is NUL", at = at + 1);
        return Err(bad(problem, message!("is this a text file, in UTF-8?")));
    }
    std::str::from_utf8(line).map_err(|_| not_utf8(message!("the line"), line))
}
