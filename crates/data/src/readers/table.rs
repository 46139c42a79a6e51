//! Reads CSV and TSV, whose first line names the columns.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::limit::Limited;
use crate::{
    error::{DataError, DataErrorKind},
    rows::{Columns, Row, bad, from_fields},
};

/// Reads rows with the number of the line on which each begins. Quoted fields may hold line ends and delimiters.
pub fn read_table<R: BufRead>(
    reader: R,
    file_name: &str,
    delimiter: u8,
    columns: Columns,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let (reader, budget) = Limited::new(reader);
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
    let file_name = file_name.to_owned();
    let mut header: Option<Vec<String>> = None;
    let mut record = csv::StringRecord::new();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        budget.renew();
        if header.is_none() {
            match table.headers() {
                Ok(names) => header = Some(names.iter().map(|name| name.trim().to_owned()).collect()),
                Err(error) => {
                    ended = true;
                    return Some(Err(broken(&error).at(&file_name, 1)));
                }
            }
        }
        let line = table.position().line() as usize;
        match table.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                // The reader begins at the end of the row before. It stepped over the blank lines, which are those beyond the row's own.
                let own = 1 + record.iter().map(|cell| cell.matches('\n').count()).sum::<usize>();
                let consumed = table.position().line() as usize - line;
                let line = line + consumed.saturating_sub(own);
                let row = row(header.as_deref().unwrap_or_default(), &record, &columns);
                Some(row.map(|row| (line, row)).map_err(|error| error.at(&file_name, line)))
            }
            Err(error) => {
                ended = error.is_io_error();
                let line = error.position().map_or(line, |position| position.line() as usize);
                Some(Err(broken(&error).at(&file_name, line)))
            }
        }
    })
}

/// Converts a line to a row. Every cell is text, except that a label that is a number becomes a number. A cell where a list is expected is JSON.
fn row(header: &[String], record: &csv::StringRecord, columns: &Columns) -> Result<Row, DataError> {
    if let Some((name, _)) = header.iter().zip(record).find(|(_, text)| text.contains('\0')) {
        return Err(bad(format!("column {name} has a NUL byte"), "is this a text file, in UTF-8?"));
    }
    let label = columns.of("label");
    let value = |name: &str, text: &str| match label == Some(name) {
        true => number(text).unwrap_or_else(|| text.into()),
        false => text.into(),
    };
    let cells = header.iter().zip(record).map(|(name, text)| (name.clone(), value(name, text)));
    from_fields(cells.collect::<Map<_, _>>(), columns)
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number),
    }
}

fn broken(error: &csv::Error) -> DataError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => bad(
            format!("the row has {len} cells, the first line names {expected_len} columns"),
            "a cell with a comma, a quote or a line end stands in double quotes",
        ),
        csv::ErrorKind::Utf8 { err, .. } => {
            bad(format!("cell {} is not UTF-8", err.field() + 1), "save the file in UTF-8")
        }
        csv::ErrorKind::Io(error) => DataError::new(
            DataErrorKind::Read,
            format!("reading failed: {error}"),
            "check the file and its disk; a quote that is never closed makes the rest of the file one cell",
        ),
        _ => bad(error.to_string(), ""),
    }
}
