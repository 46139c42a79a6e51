//! Reads CSV and TSV, whose first line names the columns.

use std::io::BufRead;

use lorelei_recipe::message;
use serde_json::{Map, Value};

use super::{
    cells::Cells,
    encoding::not_utf8,
    limit::{Budget, Limited},
    separator,
};
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
    let mut records = Records {
        table: csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(Cells::new(reader, delimiter)),
        budget,
        record: csv::ByteRecord::new(),
        returns: 0,
    };
    let file_name = file_name.to_owned();
    let mut header: Option<Vec<String>> = None;
    let mut ended = false;
    std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            let (line, record) = match records.next() {
                Ok(Some(next)) => next,
                Ok(None) => return None,
                Err(error) => {
                    ended = true;
                    return Some(Err(error.at(&file_name, 1)));
                }
            };
            match &header {
                Some(header) => {
                    let row = row(header, record, &columns);
                    return Some(row.map(|row| (line, row)).map_err(|error| error.at(&file_name, line)));
                }
                None => match names(record, &columns) {
                    Ok(names) => header = Some(names),
                    Err(error) => {
                        ended = true;
                        return Some(Err(error.at(&file_name, line)));
                    }
                },
            }
        }
    })
}

/// The records of a table, the first line among them.
struct Records<R> {
    table: csv::Reader<R>,
    budget: Budget,
    record: csv::ByteRecord,
    /// Number of the carriage returns in cells that are line ends of their own, which the `csv` crate does not count.
    returns: usize,
}

impl<R: std::io::Read> Records<R> {
    /// Returns the next record and the number of the line on which it begins.
    fn next(&mut self) -> Result<Option<(usize, &csv::ByteRecord)>, DataError> {
        self.budget.renew();
        let before = self.table.position().line() as usize;
        let line = before + self.returns;
        match self.table.read_byte_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                // The reader begins at the end of the row before. It stepped over the blank lines, which are those beyond the row's own.
                let consumed = (self.table.position().line() as usize).saturating_sub(before);
                let own = 1 + self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
                let line = line + consumed.saturating_sub(own);
                self.returns += self.record.iter().map(lone_returns).sum::<usize>();
                Ok(Some((line, &self.record)))
            }
            Err(error) => Err(DataError { line: Some(line), ..broken(&error) }),
        }
    }
}

/// Counts the carriage returns that no line feed follows.
fn lone_returns(cell: &[u8]) -> usize {
    let pairs = cell.windows(2).filter(|pair| pair == b"\r\n").count();
    cell.iter().filter(|byte| **byte == b'\r').count() - pairs
}

/// Returns the names of the columns.
///
/// # Errors
///
/// If one is not UTF-8, or is there twice and rows are read from it.
fn names(record: &csv::ByteRecord, columns: &Columns) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for cell in record {
        let name = std::str::from_utf8(cell).map_err(|_| DataError {
            kind: DataErrorKind::Read,
            ..not_utf8(message!("the name of a column"), cell)
        })?;
        let name = name.trim();
        if columns.know(name) && names.iter().any(|other| other == name) {
            let problem = message!("the first line names the column {name} twice", ?name);
            let help = message!("give one of them another name");
            return Err(DataError::new(DataErrorKind::Read, problem, help));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Converts a line to a row. Every cell is text, except that a label that is a number becomes a number. A cell where a list is expected is JSON.
fn row(header: &[String], record: &csv::ByteRecord, columns: &Columns) -> Result<Row, DataError> {
    if record.len() != header.len() {
        return Err(bad(
            message!(
                "the row has {count} cells, the first line names {expected} columns",
                count = record.len(),
                expected = header.len()
            ),
            message!("a cell with a comma, a quote or a line end stands in double quotes"),
        ));
    }
    let label = columns.of("label");
    let mut cells = Map::new();
    for (name, cell) in header.iter().zip(record) {
        let text = std::str::from_utf8(cell).map_err(|_| not_utf8(message!("column {name}", name), cell))?;
        if text.contains('\0') {
            let problem = message!("column {name} has a NUL byte", name);
            return Err(bad(problem, message!("is this a text file, in UTF-8?")));
        }
        let value = if label == Some(name) { number(text) } else { None };
        cells.insert(name.clone(), value.unwrap_or_else(|| text.into()));
    }
    from_fields(cells, columns).map_err(|error| match other_separator(header) {
        Some(separator) => {
            let separator = separator::named(separator);
            let help = message!(
                "are the cells separated by {separator}? They would be read so if every row had as many as the first line; a file \
                 of cells separated by tabs is named .tsv",
                separator
            );
            DataError { help, ..error }
        }
        None => error,
    })
}

/// Returns the separator that the only column's name has in it.
fn other_separator(header: &[String]) -> Option<u8> {
    let [only] = header else { return None };
    separator::OTHERS.into_iter().find(|separator| only.as_bytes().contains(separator))
}

/// Parses a label that is a number; null for NumPy's and pandas' missing number.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    if matches!(text, "nan" | "NaN") {
        return Some(Value::Null);
    }
    let whole = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    whole.ok().or_else(|| serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number))
}

fn broken(error: &csv::Error) -> DataError {
    match error.kind() {
        csv::ErrorKind::Io(error) => DataError::new(
            DataErrorKind::Read,
            message!("reading failed: {reason}", reason = error.to_string()),
            message!(
                "check the file and its disk; a quote that is never closed makes the rest of the file one cell"
            ),
        ),
        _ => bad(error.to_string(), ""),
    }
}
