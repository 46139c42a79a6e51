//! CSV and TSV: the first line names the columns.

use std::io::BufRead;

use serde_json::{Map, Value};

use crate::{
    error::DataError,
    rows::{Row, bad, from_fields},
};

/// Columns that hold JSON, not text.
const JSON_COLUMNS: [&str; 4] = ["messages", "input_ids", "labels", "attention_mask"];

/// Reads rows with the number of the line on which each begins. Quoted fields may hold line ends and delimiters.
pub fn read_table<R: BufRead>(
    reader: R,
    file_name: &str,
    delimiter: u8,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
    let file_name = file_name.to_owned();
    let mut columns: Option<Vec<String>> = None;
    let mut record = csv::StringRecord::new();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        if columns.is_none() {
            match table.headers() {
                Ok(names) => columns = Some(names.iter().map(|name| name.trim().to_owned()).collect()),
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
                // The reader begins where the row before ended; blank lines that it stepped over are those beyond the row's own.
                let own = 1 + record.iter().map(|cell| cell.matches('\n').count()).sum::<usize>();
                let consumed = table.position().line() as usize - line;
                let line = line + consumed.saturating_sub(own);
                let row = row(columns.as_deref().unwrap_or_default(), &record);
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

fn row(columns: &[String], record: &csv::StringRecord) -> Result<Row, DataError> {
    let mut fields = Map::new();
    for (name, text) in columns.iter().zip(record) {
        let value = match JSON_COLUMNS.contains(&name.as_str()) {
            true if text.trim().is_empty() => Value::Null,
            true => serde_json::from_str(text).map_err(|error| {
                bad(format!("column {name} is not JSON: {error}"), "write it as a JSON array, in quotes")
            })?,
            false => Value::String(text.to_owned()),
        };
        // An empty cell of a column of arrays is a row without that field.
        if !value.is_null() {
            fields.insert(name.clone(), value);
        }
    }
    from_fields(&fields)
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
        _ => bad(error.to_string(), "check the file and its disk"),
    }
}
