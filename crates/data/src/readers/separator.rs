//! Recognises a CSV file whose cells are separated by something else than commas.

use lorelei_recipe::{Message, message};

/// Separators beside the comma, as in Python's `csv.Sniffer`.
pub const OTHERS: [u8; 3] = [b';', b'\t', b'|'];

/// Number of bytes at the beginning of a file by which the separator is recognised.
pub const ENOUGH: usize = 1 << 16;

/// Returns the separator of a file that begins so, if it certainly is no comma: the first line has no comma outside quotes and names two columns or
/// more with the other separator. Either two of them are `known` fields, or every row has as many cells. `is_whole` is whether `beginning` is the
/// whole file.
pub fn recognised(beginning: &[u8], is_whole: bool, known: impl Fn(&str) -> bool) -> Option<u8> {
    if records(beginning, b',').next()?.len() != 1 {
        return None;
    }
    let fits = |separator: &u8| {
        let Some(header) = records(beginning, *separator).next() else { return false };
        let is_known = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| known(name.trim()));
        let mut rows: Vec<usize> = records(beginning, *separator).map(|record| record.len()).collect();
        if !is_whole {
            rows.pop();
        }
        let agree = rows.len() > 1 && rows.iter().all(|count| *count == header.len());
        header.len() > 1 && (agree || header.iter().filter(|name| is_known(name)).count() > 1)
    };
    let mut found = OTHERS.into_iter().filter(fits);
    found.next().filter(|_| found.next().is_none())
}

fn records(beginning: &[u8], separator: u8) -> impl Iterator<Item = csv::ByteRecord> {
    let mut table = csv::ReaderBuilder::new();
    table.delimiter(separator).has_headers(false).flexible(true);
    table.from_reader(beginning).into_byte_records().map_while(Result::ok)
}

/// Names a separator in a message.
pub fn named(separator: u8) -> Message {
    match separator {
        b';' => message!("semicolons"),
        b'\t' => message!("tabs"),
        b'|' => message!("vertical bars"),
        _ => message!("commas"),
    }
}
