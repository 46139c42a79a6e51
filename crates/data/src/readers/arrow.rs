//! Reads Arrow's IPC format, as a file (`.arrow`, Feather 2) or a stream (the format in which `datasets` stores data): record batches, returned as
//! rows. The number of a row takes the place of its line.

use std::{
    io::{self, BufRead, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;

use lorelei_recipe::message;

use super::{
    BoxedRows,
    arrow_messages::{CONTINUATION, Checked},
    arrow_value,
    limit::{MAX_ROW_BYTES, TOO_LONG},
};
use crate::{
    error::{DataError, DataErrorKind},
    rows::{Columns, bad, from_fields},
};

/// Bytes that a file begins and ends with. Between them are a stream, padded to eight bytes, and an index.
const MAGIC: &[u8] = b"ARROW1";

/// Whether a stream of bytes is an Arrow file or an Arrow stream.
pub fn begins(reader: &mut impl BufRead) -> bool {
    reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(MAGIC) || bytes.starts_with(&CONTINUATION))
}

/// Reads the rows, a record batch at a time. Only one batch of the file is held in memory.
pub fn read<'a>(mut reader: impl BufRead + 'a, file_name: &str, columns: Columns) -> BoxedRows<'a> {
    let file_name = file_name.to_owned();
    let is_file = reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(MAGIC));
    if is_file && let Err(error) = reader.read_exact(&mut [0; 8]) {
        return Box::new(std::iter::once(Err(broken(error.into()).in_file(&file_name))));
    }
    let mut batches = match guarded(|| StreamReader::try_new(Checked::new(reader), None)) {
        Ok(batches) => Some(batches),
        Err(error) => return Box::new(std::iter::once(Err(broken(error).in_file(&file_name)))),
    };
    let mut batch: Option<(RecordBatch, usize)> = None;
    let mut number = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            let reader = batches.as_mut()?;
            let next = match batch.as_mut().filter(|(rows, at)| *at < rows.num_rows()) {
                Some((rows, at)) => {
                    guarded(|| Ok(arrow_value::row(rows, *at, MAX_ROW_BYTES))).map(|fields| {
                        *at += 1;
                        number += 1;
                        let fields = fields.ok_or_else(|| bad(TOO_LONG, message!("divide it")));
                        let row = fields.and_then(|fields| from_fields(fields, &columns));
                        Some(row.map(|row| (number, row)).map_err(|error| error.at(&file_name, number)))
                    })
                }
                None => match guarded(|| reader.next().transpose()) {
                    Ok(Some(next)) => {
                        batch = Some((next, 0));
                        continue;
                    }
                    Ok(None) if is_file => match ends(reader.get_mut()) {
                        Ok(true) => Ok(None),
                        Ok(false) => Err(ArrowError::ParseError("its end is missing".to_owned())),
                        Err(error) => Err(error.into()),
                    },
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                },
            };
            if !matches!(next, Ok(Some(_))) {
                batches = None;
            }
            return next.unwrap_or_else(|error| Some(Err(broken(error).at(&file_name, number + 1))));
        }
    }))
}

/// Whether the rest of a file ends with the magic bytes.
fn ends(reader: &mut impl Read) -> io::Result<bool> {
    let mut last = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(last.ends_with(MAGIC));
        }
        last.extend_from_slice(&buffer[..count]);
        last.drain(..last.len().saturating_sub(MAGIC.len()));
    }
}

/// Runs a read, and on native targets turns a panic of the reader, which a damaged file can cause, into an error.
fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    let panicked = |_| Err(ArrowError::ParseError("the file is damaged".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

fn broken(error: ArrowError) -> DataError {
    let problem = match error {
        ArrowError::ParseError(what)
        | ArrowError::InvalidArgumentError(what)
        | ArrowError::IpcError(what) => what,
        ArrowError::IoError(what, _) => what,
        other => other.to_string(),
    };
    let help = match problem.contains("zstd") {
        true => message!("write it with LZ4 or without compression"),
        false => message!("is the file whole?"),
    };
    let problem = message!("the {format} file cannot be read: {reason}", format = "Arrow", reason = problem);
    DataError::new(DataErrorKind::Read, problem, help)
}
