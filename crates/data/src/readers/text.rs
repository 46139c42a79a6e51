//! Plain text: a line is a row.

use std::io::BufRead;

use super::lines::Lines;
use crate::{
    error::DataError,
    rows::{Row, bad},
};

/// Reads lines as [`Row::Text`] with their numbers, without their ends; blank ones are skipped.
pub fn read_text<R: BufRead>(
    reader: R,
    file_name: &str,
) -> impl Iterator<Item = Result<(usize, Row), DataError>> + use<R> {
    let mut lines = Lines::new(reader);
    let file_name = file_name.to_owned();
    std::iter::from_fn(move || {
        loop {
            let (number, line) = match lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error.at(&file_name, lines.number()))),
            };
            let Ok(text) = std::str::from_utf8(&line) else {
                let error = bad("the line is not UTF-8", "save the file in UTF-8");
                return Some(Err(error.at(&file_name, number)));
            };
            let text = text.trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() {
                return Some(Ok((number, Row::Text(text.to_owned()))));
            }
        }
    })
}
