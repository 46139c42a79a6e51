//! Checks Arrow's messages before the library reads them, because it allocates as many bytes as a compressed buffer declares.

use std::io::{self, Read};

use arrow_ipc::{CompressionType, MessageHeader, RecordBatch, root_as_message};

/// Bytes that a message begins with, before the length of its metadata.
pub const CONTINUATION: [u8; 4] = [0xff; 4];

/// Largest ratio of a buffer's length to its compressed length in LZ4.
const MOST_LZ4: u64 = 255;

/// Passes a stream's bytes on, one checked message at a time.
pub struct Checked<R> {
    reader: R,
    message: Vec<u8>,
    at: usize,
    /// Set after the end of the stream: the bytes that a file has behind it are no messages.
    is_over: bool,
}

impl<R: Read> Checked<R> {
    /// Creates a reader of messages. `reader` has to be at the beginning of a message.
    pub fn new(reader: R) -> Self {
        Self { reader, message: Vec::new(), at: 0, is_over: false }
    }

    /// Reads the next message whole. Nothing is allocated for bytes that have not arrived.
    fn fill(&mut self) -> io::Result<()> {
        self.message.clear();
        self.at = 0;
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let breaks_off = || wrong("it breaks off".to_owned());
        let mut have = self.take(4)?;
        if have == 4 && self.message == CONTINUATION {
            have = self.take(4)?;
        }
        // A stream may end without the length 0 that says so, but not within a length.
        let length = match self.message.last_chunk().filter(|_| have == 4) {
            Some(bytes) => i32::from_le_bytes(*bytes),
            None if self.message.is_empty() => 0,
            None => return Err(breaks_off()),
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length > 0) else {
            self.is_over = true;
            return Ok(());
        };
        let described = self.message.len();
        if self.take(length)? < length {
            return Err(breaks_off());
        }
        let body = root_as_message(&self.message[described..])
            .map_err(|error| wrong(error.to_string()))?
            .bodyLength();
        let length =
            usize::try_from(body).map_err(|_| wrong(format!("a message says that it has {body} bytes")))?;
        let from = self.message.len();
        if self.take(length)? < length {
            return Err(breaks_off());
        }
        let (before, body) = self.message.split_at(from);
        let message = root_as_message(&before[described..]).map_err(|error| wrong(error.to_string()))?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                message.header_as_dictionary_batch().and_then(|batch| batch.data())
            }
            _ => None,
        };
        match batch.is_none_or(|batch| is_sound(&batch, body)) {
            true => Ok(()),
            false => Err(wrong("it says that it holds more than there is room for".to_owned())),
        }
    }

    /// Reads `count` bytes, or as many as there are. Returns their number.
    fn take(&mut self, count: usize) -> io::Result<usize> {
        (&mut self.reader).take(count as u64).read_to_end(&mut self.message)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.message.len() {
            if self.is_over {
                return self.reader.read(buf);
            }
            self.fill()?;
        }
        let count = (&self.message[self.at..]).read(buf)?;
        self.at += count;
        Ok(count)
    }
}

/// Whether the body of a batch can hold what the batch declares. Each entry of a column takes at least a bit (a column of nothing but nulls has no
/// bytes, and so no bound of its own). Each buffer lies within the body. The first eight bytes of each compressed buffer are its length, or -1 where
/// it is not compressed; the length is at most [`MOST_LZ4`] times that of the buffer.
fn is_sound(batch: &RecordBatch<'_>, body: &[u8]) -> bool {
    let is_lz4 = batch.compression().is_some_and(|found| found.codec() == CompressionType::LZ4_FRAME);
    let bits = (8 * (body.len() as u64 + 8)).saturating_mul(if is_lz4 { MOST_LZ4 } else { 1 });
    let is_short = |length: i64| u64::try_from(length).is_ok_and(|length| length <= bits);
    let nodes = batch.nodes().is_none_or(|nodes| nodes.iter().all(|node| is_short(node.length())));
    if !nodes || !is_short(batch.length()) {
        return false;
    }
    batch.buffers().is_none_or(|buffers| {
        buffers.iter().all(|buffer| {
            let from = usize::try_from(buffer.offset()).ok();
            let bytes = from
                .zip(usize::try_from(buffer.length()).ok())
                .and_then(|(from, length)| body.get(from..from.checked_add(length)?));
            let Some(bytes) = bytes else { return false };
            match bytes.first_chunk() {
                _ if !is_lz4 => true,
                None => bytes.is_empty(),
                Some(length) => match i64::from_le_bytes(*length) {
                    -1 => true,
                    length => {
                        u64::try_from(length).is_ok_and(|length| length <= bytes.len() as u64 * MOST_LZ4)
                    }
                },
            }
        })
    })
}
