//! From a file's bytes to rows: JSONL, JSON, CSV, TSV, plain text, Parquet and Arrow, told apart by the file's name, each as it is
//! or inside gzip or zstd.

mod arrow;
mod arrow_messages;
mod arrow_value;
mod compressed;
mod json;
mod jsonl;
mod limit;
mod lines;
mod parquet;
mod table;
mod text;

use std::io::BufRead;

use lorelei_recipe::DataSection;

pub use parquet::{is_parquet, read_parquet};

use crate::{
    error::DataError,
    rows::{Columns, Row},
};

/// File names that [`read_rows`] knows end so; what ends otherwise is read as JSONL.
pub const EXTENSIONS: [&str; 11] =
    ["jsonl", "ndjson", "json", "csv", "tsv", "txt", "text", "parquet", "arrow", "ipc", "feather"];

/// What a name may have after that: the file is compressed.
pub const COMPRESSED: [&str; 3] = ["gz", "zst", "zstd"];

/// The rows of a file, each with the number of the line on which it begins.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(usize, Row), DataError>> + 'a>;

/// Reads rows with the number of the line on which each begins, from 1.
///
/// `.csv` and `.tsv` have a first line that names the columns; what a row of `.txt` is says `section.sample_by`; `.json` is one array
/// of objects, or lines as in JSONL; Arrow and Parquet are found by their first bytes, and Parquet is then read into memory whole
/// ([`read_parquet`] reads it in place); everything else is JSONL. gzip and zstd are found by their first bytes too.
/// `section.columns` says which column is which field. A bad row is an error and the next item is the row after it; where the file itself breaks off the
/// rows end with an error of kind [`crate::DataErrorKind::Read`]. No row may be longer than 64 MiB.
pub fn read_rows<'a>(reader: impl BufRead + 'a, file_name: &str, section: &DataSection) -> Rows<'a> {
    let columns = Columns(section.columns.clone());
    let mut reader = match compressed::open(Box::new(reader)) {
        Ok(reader) => reader,
        Err(error) => return Box::new(std::iter::once(Err(error.at(file_name, 1)))),
    };
    match format(file_name).as_str() {
        _ if parquet::begins(&mut reader) => parquet::read_stream(reader, file_name, columns),
        _ if arrow::begins(&mut reader) => arrow::read(reader, file_name, columns),
        "csv" => Box::new(table::read_table(reader, file_name, b',', columns)),
        "tsv" => Box::new(table::read_table(reader, file_name, b'\t', columns)),
        "txt" | "text" => text::read_text(reader, file_name, section.sample_by),
        "json" if begins_array(&mut reader) => Box::new(json::read_array(reader, file_name, columns)),
        _ => Box::new(jsonl::read(reader, file_name, columns)),
    }
}

/// As [`read_rows`] of JSONL whose fields have their usual names.
pub fn read_jsonl<'a>(reader: impl BufRead + 'a, file_name: &str) -> Rows<'a> {
    Box::new(jsonl::read(reader, file_name, Columns::default()))
}

/// Whether a file of that name is one that [`read_rows`] knows by its name.
pub fn is_known(file_name: &str) -> bool {
    EXTENSIONS.contains(&format(file_name).as_str())
}

/// The end of a name, without that of a compression.
fn format(file_name: &str) -> String {
    let name = file_name.to_ascii_lowercase();
    let name = match name.rsplit_once('.') {
        Some((name, end)) if COMPRESSED.contains(&end) => name,
        _ => &name,
    };
    name.rsplit_once('.').map_or_else(String::new, |(_, end)| end.to_owned())
}

/// Whether the first sign of a file is `[`; a byte order mark before it is stepped over. A file that cannot be read, or begins
/// with more white space than a buffer holds, is left to the reader of lines, which says what is wrong.
fn begins_array(reader: &mut impl BufRead) -> bool {
    if reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(lines::BOM)) {
        reader.consume(lines::BOM.len());
    }
    let Ok(bytes) = reader.fill_buf() else { return false };
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}
