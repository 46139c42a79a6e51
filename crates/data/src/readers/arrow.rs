//! Arrow's IPC format, as a file (`.arrow`, Feather 2) or a stream (what `datasets` keeps on disk): record batches, given back as
//! rows. The number of a row stands for its line.

use std::{
    io::{self, BufRead, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_json::LineDelimitedWriter;
use arrow_schema::ArrowError;
use serde_json::{Map, Value};

use super::{
    Rows,
    arrow_messages::{CONTINUATION, Checked},
    limit::{MAX_ROW_BYTES, TOO_LONG},
};
use crate::{
    error::{DataError, DataErrorKind},
    rows::{Columns, bad, from_fields},
};

/// What a file begins and ends with. Between them stand a stream, padded to eight bytes, and an index.
const MAGIC: &[u8] = b"ARROW1";

/// Rows of a batch that are turned into JSON at a time.
const AT_A_TIME: usize = 16;

/// Whether a stream of bytes is one of the two.
pub fn begins(reader: &mut impl BufRead) -> bool {
    reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(MAGIC) || bytes.starts_with(&CONTINUATION))
}

/// Reads the rows, a record batch at a time: so much of the file is held in memory.
pub fn read<'a>(mut reader: impl BufRead + 'a, file_name: &str, columns: Columns) -> Rows<'a> {
    let file_name = file_name.to_owned();
    let is_file = reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(MAGIC));
    if is_file && let Err(error) = reader.read_exact(&mut [0; 8]) {
        return Box::new(std::iter::once(Err(broken(error.into()).in_file(&file_name))));
    }
    let mut batches = match guarded(|| StreamReader::try_new(Checked::new(reader), None)) {
        Ok(batches) => Some(batches),
        Err(error) => return Box::new(std::iter::once(Err(broken(error).in_file(&file_name)))),
    };
    let mut batch: Option<RecordBatch> = None;
    let mut rows = Vec::<Vec<u8>>::new().into_iter();
    let mut number = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(line) = rows.next() {
                number += 1;
                let row = row(&line, &columns).map_err(|error| error.at(&file_name, number));
                return Some(row.map(|row| (number, row)));
            }
            let next = match batch.take().filter(|batch| batch.num_rows() > 0) {
                Some(whole) => {
                    let count = whole.num_rows().min(AT_A_TIME);
                    batch = Some(whole.slice(count, whole.num_rows() - count));
                    guarded(|| lines(&whole.slice(0, count))).map(|lines| rows = lines.into_iter())
                }
                None => {
                    let reader = batches.as_mut()?;
                    match guarded(|| reader.next().transpose()) {
                        Ok(Some(next)) => {
                            batch = Some(next);
                            continue;
                        }
                        Ok(None) if is_file => match ends(reader.get_mut()) {
                            Ok(true) => {
                                batches = None;
                                return None;
                            }
                            Ok(false) => Err(ArrowError::ParseError("its end is missing".to_owned())),
                            Err(error) => Err(error.into()),
                        },
                        Ok(None) => return None,
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = next {
                batches = None;
                batch = None;
                return Some(Err(broken(error).at(&file_name, number + 1)));
            }
        }
    }))
}

/// Whether what is left of a file ends as one does.
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

/// Rows as JSON, a line each. Columns without a value are left out.
fn lines(batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ArrowError> {
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(batch)?;
    writer.finish()?;
    Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

fn row(line: &[u8], columns: &Columns) -> Result<crate::rows::Row, DataError> {
    if line.len() > MAX_ROW_BYTES {
        return Err(bad(TOO_LONG.to_owned(), "divide it"));
    }
    let fields: Map<String, Value> = serde_json::from_slice(line)
        .map_err(|error| bad(format!("a value cannot be read: {error}"), "write the file again"))?;
    from_fields(fields, columns)
}

/// A damaged file can make the reader panic: natively that is an error as any other.
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
        true => "write it with LZ4 or without compression",
        false => "is the file whole?",
    };
    DataError::new(DataErrorKind::Read, format!("the Arrow file cannot be read: {problem}"), help)
}
