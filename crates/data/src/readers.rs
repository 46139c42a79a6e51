//! From a file's bytes to rows: JSONL, JSON, CSV, TSV and plain text, told apart by the file's name.

mod json;
mod jsonl;
mod lines;
mod table;
mod text;

use std::io::BufRead;

pub use jsonl::read_jsonl;

use crate::{error::DataError, rows::Row};

/// File names that [`read_rows`] knows end so; what ends otherwise is read as JSONL.
pub const EXTENSIONS: [&str; 7] = ["jsonl", "ndjson", "json", "csv", "tsv", "txt", "text"];

/// Reads rows with the number of the line on which each begins, from 1.
///
/// `.csv` and `.tsv` have a first line that names the columns; in `.txt` a line is a row; `.json` is one array of objects, or
/// lines as in JSONL; everything else is JSONL. A bad row is an error and the next item is the row after it; where the file
/// itself breaks off the rows end.
pub fn read_rows<'a>(
    mut reader: impl BufRead + 'a,
    file_name: &str,
) -> Box<dyn Iterator<Item = Result<(usize, Row), DataError>> + 'a> {
    let extension = file_name.rsplit_once('.').map_or(String::new(), |(_, end)| end.to_ascii_lowercase());
    match extension.as_str() {
        "csv" => Box::new(table::read_table(reader, file_name, b',')),
        "tsv" => Box::new(table::read_table(reader, file_name, b'\t')),
        "txt" | "text" => Box::new(text::read_text(reader, file_name)),
        "json" if begins_array(&mut reader) => Box::new(json::read_array(reader, file_name)),
        _ => Box::new(read_jsonl(reader, file_name)),
    }
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
