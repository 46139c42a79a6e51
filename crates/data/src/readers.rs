//! Reads a file's bytes as rows of JSONL, JSON, CSV, TSV, plain text, Parquet or Arrow, recognised by the file's name. Each may be compressed with
//! gzip or zstd.

mod arrow;
mod arrow_messages;
mod arrow_value;
mod cells;
mod compressed;
mod encoding;
mod json;
mod jsonl;
mod limit;
mod lines;
mod parquet;
mod separator;
mod table;
mod text;

use std::io::BufRead;

use lorelei_recipe::{DataSection, Message, message};

pub use parquet::{is_parquet, read_parquet};

use crate::{
    error::DataError,
    rows::{Columns, Row},
};

/// Endings of the file names that [`read_rows`] knows. A file with another ending is read as JSONL.
pub const EXTENSIONS: [&str; 11] = lorelei_recipe::DATA_FILE_ENDINGS;

/// Endings that a compressed file's name may have after that.
pub const COMPRESSED: [&str; 3] = lorelei_recipe::COMPRESSED_ENDINGS;

/// Rows with the numbers of the lines on which they begin.
type BoxedRows<'a> = Box<dyn Iterator<Item = Result<(usize, Row), DataError>> + 'a>;

/// The rows of a file, each with the number of the line on which it begins.
pub struct Rows<'a> {
    rows: BoxedRows<'a>,
    remark: Option<Message>,
}

impl Rows<'_> {
    /// Returns what the user has to know of how the file is read, if it is read otherwise than its name says.
    pub fn remark(&self) -> Option<&Message> {
        self.remark.as_ref()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(usize, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

impl<'a> From<BoxedRows<'a>> for Rows<'a> {
    fn from(rows: BoxedRows<'a>) -> Self {
        Self { rows, remark: None }
    }
}

/// Reads rows with the number of the line on which each begins, from 1.
///
/// `.csv` and `.tsv` have a first line that names the columns; a `.csv` that is certainly separated by semicolons, tabs or vertical bars is read so,
/// with a [remark](Rows::remark). `section.sample_by` sets the rows of a `.txt`. `.json` is one array of objects, or lines as in JSONL. Arrow and
/// Parquet are recognised by their first bytes, and Parquet is then read into memory whole ([`read_parquet`] reads it in place). Everything else is
/// JSONL. gzip, zstd and UTF-16 are recognised by their first bytes, too. `section.columns` maps columns to fields. A bad row is an error, and the next
/// item is the row after it. If the file itself breaks off, the rows end with an error of kind [`crate::DataErrorKind::Read`]. No row may be longer
/// than 64 MiB.
pub fn read_rows<'a>(reader: impl BufRead + 'a, file_name: &str, section: &DataSection) -> Rows<'a> {
    let columns = Columns(section.columns.clone());
    let mut reader = compressed::open(Box::new(reader));
    if parquet::begins(&mut reader) {
        return parquet::read_stream(reader, file_name, columns).into();
    }
    if arrow::begins(&mut reader) {
        return arrow::read(reader, file_name, columns).into();
    }
    let mut reader = match encoding::open(reader) {
        Ok(reader) => reader,
        Err(error) => {
            return Rows::from(Box::new(std::iter::once(Err(error.in_file(file_name)))) as BoxedRows<'_>);
        }
    };
    let rows: BoxedRows<'a> = match format(file_name).as_str() {
        "csv" => return read_csv(reader, file_name, columns),
        "tsv" => Box::new(table::read_table(reader, file_name, b'\t', columns)),
        "txt" | "text" => text::read_text(reader, file_name, section.sample_by),
        "json" if begins_array(&mut reader) => Box::new(json::read_array(reader, file_name, columns)),
        _ => Box::new(jsonl::read(reader, file_name, columns)),
    };
    rows.into()
}

/// Reads a `.csv`, whose cells are separated by commas unless its beginning certainly shows something else.
fn read_csv<'a>(reader: Box<dyn BufRead + 'a>, file_name: &str, columns: Columns) -> Rows<'a> {
    let mut reader = compressed::with_beginning(reader, separator::ENOUGH);
    let beginning = reader.fill_buf().unwrap_or_default();
    let is_whole = beginning.len() < separator::ENOUGH;
    let other = separator::recognised(beginning, is_whole, |name| columns.know(name));
    let remark = other.map(|other| {
        message!(
            "{file}: the cells are separated by {separator}, not by commas, and are read so",
            file = file_name,
            separator = separator::named(other)
        )
    });
    Rows { rows: Box::new(table::read_table(reader, file_name, other.unwrap_or(b','), columns)), remark }
}

/// Like [`read_rows`], for JSONL whose fields have their usual names.
pub fn read_jsonl<'a>(reader: impl BufRead + 'a, file_name: &str) -> Rows<'a> {
    let rows: BoxedRows<'a> = Box::new(jsonl::read(reader, file_name, Columns::default()));
    rows.into()
}

/// Whether [`read_rows`] knows the ending of that file name.
pub fn is_known(file_name: &str) -> bool {
    EXTENSIONS.contains(&format(file_name).as_str())
}

/// Returns the ending of a name, without that of a compression.
fn format(file_name: &str) -> String {
    let name = file_name.to_ascii_lowercase();
    let name = match name.rsplit_once('.') {
        Some((name, end)) if COMPRESSED.contains(&end) => name,
        _ => &name,
    };
    name.rsplit_once('.').map_or_else(String::new, |(_, end)| end.to_owned())
}

/// Whether the first character of a file is `[`. A file that cannot be read, or that begins with more white space than a buffer holds, is left to the
/// reader of lines, which reports the error.
fn begins_array(reader: &mut impl BufRead) -> bool {
    let Ok(bytes) = reader.fill_buf() else { return false };
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}
