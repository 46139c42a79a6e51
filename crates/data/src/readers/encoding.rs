//! Decodes text that is not UTF-8 where its encoding is certain, and says what is wrong where it is not.

use std::io::{self, BufRead, BufReader, Read};

use lorelei_recipe::{Message, message};

use super::{compressed::with_beginning, lines::BOM};
use crate::{
    error::{DataError, DataErrorKind},
    rows::bad,
};

/// Number of code units of UTF-16 that are decoded at a time.
const AT_A_TIME: usize = 1 << 12;

/// Returns the text of a file in UTF-8, without a byte order mark. UTF-16 is recognised by its mark.
///
/// # Errors
///
/// If the file begins as no text does.
pub fn open<'a>(reader: Box<dyn BufRead + 'a>) -> Result<Box<dyn BufRead + 'a>, DataError> {
    let mut reader = with_beginning(reader, 4);
    let Ok(first) = reader.fill_buf() else { return Ok(reader) };
    let is_utf_16 = match first {
        [0xff, 0xfe, 0, 0, ..] => {
            return Err(unread(message!("the file is UTF-32"), message!("save it in UTF-8")));
        }
        [0, ..] => {
            let help = message!(
                "is it UTF-16 without a byte order mark? Save it in UTF-8; a device such as /dev/zero is no file of rows"
            );
            return Err(unread(message!("the file begins with a NUL byte, as no text does"), help));
        }
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    if first.starts_with(BOM) {
        reader.consume(BOM.len());
    }
    Ok(match is_utf_16 {
        None => reader,
        Some(unit) => {
            reader.consume(2);
            let text = Utf16 { source: reader, unit, high: None, text: Vec::new(), at: 0 };
            Box::new(BufReader::with_capacity(1 << 16, text))
        }
    })
}

fn unread(problem: Message, help: Message) -> DataError {
    DataError::new(DataErrorKind::Read, problem, help)
}

/// Decodes UTF-16.
struct Utf16<R> {
    source: R,
    /// Reads a code unit in the file's byte order.
    unit: fn([u8; 2]) -> u16,
    /// The first half of a pair whose second half comes next.
    high: Option<u16>,
    /// The text that was decoded.
    text: Vec<u8>,
    /// The number of its bytes that were read.
    at: usize,
}

impl<R: BufRead> Utf16<R> {
    /// Decodes the next part of the file; none is left at its end.
    fn fill(&mut self) -> io::Result<()> {
        let wrong =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("it is no UTF-16: {what}"));
        let mut bytes = Vec::new();
        self.source.by_ref().take(2 * AT_A_TIME as u64).read_to_end(&mut bytes)?;
        let (units, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(wrong("it ends within a character"));
        }
        let is_over = units.is_empty();
        let mut units: Vec<u16> =
            self.high.take().into_iter().chain(units.iter().map(|bytes| (self.unit)(*bytes))).collect();
        if !is_over {
            self.high = units.pop_if(|unit| (0xd800..0xdc00).contains(unit));
        }
        let text: Result<String, _> = char::decode_utf16(units).collect();
        self.text = text.map_err(|_| wrong("half of a pair of surrogates stands alone"))?.into_bytes();
        self.at = 0;
        Ok(())
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            self.fill()?;
            // A part of the file may be the first half of a pair, and nothing else.
            if self.text.is_empty() && self.high.is_some() {
                self.fill()?;
            }
        }
        let count = self.text.get(self.at..).unwrap_or_default().read(buf)?;
        self.at += count;
        Ok(count)
    }
}

/// Creates the error for bytes that are not UTF-8: shows them in the encoding in which they make sense, and the way out.
pub fn not_utf8(what: Message, bytes: &[u8]) -> DataError {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let byte = bytes.get(valid).copied().unwrap_or_default();
    // The words around the byte, in Latin-1, which is Windows-1252 but for quotes and dashes.
    let is_part =
        |byte: &u8| !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b",;\"{}[]".contains(byte);
    let before =
        bytes.get(..valid).unwrap_or_default().iter().rev().take(20).take_while(|byte| is_part(byte)).count();
    let word = bytes.get(valid - before..).unwrap_or_default();
    let word: String =
        word.iter().take(40).take_while(|byte| is_part(byte)).map(|byte| char::from(*byte)).collect();
    let looks = match word.chars().all(|letter| letter.is_alphanumeric() || letter.is_ascii_punctuation()) {
        true => message!(", in Latin-1 or Windows-1252 part of {word}", ?word),
        false => Message::default(),
    };
    let problem = message!(
        "byte {at} of {what} is not UTF-8: {byte}{looks}",
        at = valid + 1,
        what,
        byte = format!("0x{byte:02X}"),
        looks
    );
    bad(problem, message!("save the file in UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"))
}
