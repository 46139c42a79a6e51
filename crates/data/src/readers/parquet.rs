//! Reads Parquet: columns of values, returned as rows. The number of a row takes the place of its line.

use std::{
    io::{BufRead, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::{reader::ChunkReader, serialized_reader::SerializedFileReader},
    record::{Field, reader::RowIter},
};
use serde_json::{Map, Value};

use lorelei_recipe::{DataSection, message};

use super::{BoxedRows, Rows};
use crate::{
    error::{DataError, DataErrorKind},
    rows::{Columns, from_fields},
};

const MAGIC: &[u8] = b"PAR1";

/// Maximum size of a Parquet file that is read from a stream. Its index is at its end, so all of it must be in memory.
const MAX_IN_MEMORY: usize = 1 << 30;

/// Whether these first bytes are those of a Parquet file.
pub fn is_parquet(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(MAGIC)
}

/// Whether a stream is a Parquet file.
pub fn begins(reader: &mut impl BufRead) -> bool {
    reader.fill_buf().is_ok_and(is_parquet)
}

/// Reads the rows of a Parquet file in place, a row group's pages at a time. Pages may be compressed with Snappy, gzip or LZ4. Pages in zstd and
/// Brotli are an error: there is no small decoder in Rust for them here.
pub fn read_parquet(
    source: impl ChunkReader + 'static,
    file_name: &str,
    section: &DataSection,
) -> Rows<'static> {
    read(source, file_name, Columns(section.columns.clone())).into()
}

/// Reads a stream into memory, and returns its rows.
pub fn read_stream<'a>(reader: impl BufRead + 'a, file_name: &str, columns: Columns) -> BoxedRows<'a> {
    let mut bytes = Vec::new();
    let whole = reader.take(MAX_IN_MEMORY as u64 + 1).read_to_end(&mut bytes);
    let problem = match whole {
        Ok(_) if bytes.len() <= MAX_IN_MEMORY => return read(Bytes::from(bytes), file_name, columns),
        Ok(_) => message!("the Parquet file is larger than 1 GiB"),
        Err(error) => message!("reading failed: {reason}", reason = error.to_string()),
    };
    let help = message!("train from the command line, with the file not compressed again, or divide it");
    Box::new(std::iter::once(Err(DataError::new(DataErrorKind::Read, problem, help).in_file(file_name))))
}

fn read(source: impl ChunkReader + 'static, file_name: &str, columns: Columns) -> BoxedRows<'static> {
    let file_name = file_name.to_owned();
    let opened =
        guarded(|| SerializedFileReader::new(source).map(|reader| RowIter::from_file_into(Box::new(reader))));
    let mut rows = match opened {
        Ok(rows) => Some(rows),
        Err(error) => return Box::new(std::iter::once(Err(broken(&error).in_file(&file_name)))),
    };
    let mut number = 0;
    Box::new(std::iter::from_fn(move || {
        let next = guarded(|| rows.as_mut().and_then(Iterator::next).transpose());
        number += 1;
        match next {
            Ok(None) => None,
            Ok(Some(row)) => {
                let fields =
                    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect();
                let row = from_fields(fields, &columns).map_err(|error| error.at(&file_name, number));
                Some(row.map(|row| (number, row)))
            }
            Err(error) => {
                rows = None;
                Some(Err(broken(&error).at(&file_name, number)))
            }
        }
    }))
}

/// Runs a read, and on native targets turns a panic of the reader, which a damaged file can cause, into an error.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let panicked = |_| Err(ParquetError::General("the file is damaged".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

fn broken(error: &ParquetError) -> DataError {
    let problem = match error {
        ParquetError::NYI(what) | ParquetError::General(what) | ParquetError::EOF(what) => what.clone(),
        other => other.to_string(),
    };
    let codec = ["zstd", "brotli", "lzo"].into_iter().any(|codec| problem.to_lowercase().contains(codec));
    let help = match codec {
        true => message!("write it with Snappy, gzip, LZ4 or without compression"),
        false => message!("is the file whole?"),
    };
    let problem =
        message!("the {format} file cannot be read: {reason}", format = "Parquet", reason = problem);
    DataError::new(DataErrorKind::Read, problem, help)
}

/// Converts a value to JSON. In a table inside a row, columns without a value are left out: the format has no other way to express that one entry has
/// a field and another lacks it.
fn value(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => value.to_f64().into(),
        Field::Float(value) => value.into(),
        Field::Double(value) => value.into(),
        Field::Str(text) => text.into(),
        // Some writers do not mark a column as text.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => Value::Null,
        },
        Field::Group(row) => {
            let fields = row.into_columns().into_iter().map(|(name, field)| (name, value(field)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let entry = |(key, item): &(Field, Field)| {
                (key.to_string().trim_matches('"').to_owned(), value(item.clone()))
            };
            Value::Object(map.entries().iter().map(entry).collect::<Map<_, _>>())
        }
        other => other.to_string().into(),
    }
}
