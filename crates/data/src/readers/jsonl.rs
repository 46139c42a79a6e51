//! Reads JSONL: one JSON object per line.

use std::io::BufRead;

use serde_json::Value;

use super::lines::Lines;
use crate::{
    error::DataError,
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
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to() + 1;
        bad(format!("byte {at} of the line is not UTF-8"), "save the file in UTF-8")
    })?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        bad(
            format!("not valid JSON at column {}: {}", error.column(), json_problem(&error)),
            "each line must be one JSON object; name a file that is one JSON array .json",
        )
    })?;
    match value {
        Value::Object(fields) => from_fields(fields, columns),
        other => Err(bad(
            format!("expected a JSON object, found {}", kind(&other)),
            "each line must be one JSON object",
        )),
    }
}

/// Returns serde_json's message without its own line and column, which count from the start of this line.
pub(super) fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
