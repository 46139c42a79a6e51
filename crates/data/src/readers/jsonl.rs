//! Reads JSONL: one JSON object per line.

use std::io::BufRead;

use lorelei_recipe::message;
use serde_json::Value;

use super::{encoding::not_utf8, lines::Lines};
use crate::{
    error::DataError,
    json_value::{self, Invalid},
    rows::{Columns, Row, bad, from_fields, kind},
};

/// Reads rows with the number of their line, from 1. Blank lines are skipped; a byte order mark and Windows line ends are accepted. A bad line is an
/// error, and the next item is the line after it. A reader that fails ends the rows.
pub fn read<R: BufRead>(
    reader: R,
    file_name: &str,
    columns: Columns,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let mut lines = Lines::new(reader);
    let file_name = file_name.to_owned();
    std::iter::from_fn(move || {
        loop {
            let (number, line) = match lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error.at(&file_name, lines.number()))),
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let row = parse(line, &columns).map_err(|error| error.at(&file_name, number));
            return Some(row.map(|row| (number, row)));
        }
    })
}

fn parse(line: &[u8], columns: &Columns) -> Result<Row, DataError> {
    let text = std::str::from_utf8(line).map_err(|_| not_utf8(message!("the line"), line))?;
    let value = json_value::parse(text).map_err(|Invalid { column, problem, .. }| {
        bad(
            message!("not valid JSON at column {column}: {problem}", column, problem),
            message!("each line must be one JSON object; name a file that is one JSON array .json"),
        )
    })?;
    match value {
        Value::Object(fields) => from_fields(fields, columns),
        other => Err(bad(
            message!("expected a JSON object, found {found}", found = kind(&other)),
            message!("each line must be one JSON object"),
        )),
    }
}
