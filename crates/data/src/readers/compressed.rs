//! Decompresses gzip and zstd, which are recognised by their first bytes whatever the file's name is.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Returns `reader`, decompressed where it is compressed. A file that cannot be read is returned unchanged, so that its reader reports the error.
pub fn open<'a>(reader: Box<dyn BufRead + 'a>) -> Box<dyn BufRead + 'a> {
    let mut reader = with_beginning(reader, MOST);
    let Ok(first) = reader.fill_buf() else { return reader };
    if first.starts_with(GZIP) {
        return Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader)));
    }
    if first.starts_with(ZSTD) {
        let zstd = Zstd { source: reader, frame: FrameDecoder::new(), begun: false };
        return Box::new(BufReader::with_capacity(1 << 16, zstd));
    }
    reader
}

/// Maximum number of bytes by which a format is recognised.
const MOST: usize = 4;

/// Returns the same file with its first bytes, `count` or all that it has, in one piece. A reader that fails fails again at the same place.
pub fn with_beginning<'a>(mut reader: Box<dyn BufRead + 'a>, count: usize) -> Box<dyn BufRead + 'a> {
    if reader.fill_buf().is_ok_and(|first| first.len() >= count) {
        return reader;
    }
    let mut beginning = Vec::new();
    match reader.by_ref().take(count.max(1 << 13) as u64).read_to_end(&mut beginning) {
        Ok(_) => Box::new(io::Cursor::new(beginning).chain(reader)),
        Err(error) => Box::new(io::Cursor::new(beginning).chain(BufReader::new(Broken(error)))),
    }
}

/// Fails with the error of another reader.
struct Broken(io::Error);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(self.0.kind(), self.0.to_string()))
    }
}

/// Reads the frames of a zstd file one after the other: parallel compressors write several.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    begun: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame. Returns false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                // Decoders skip this frame.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.frame.can_collect() > 0 {
                return self.frame.read(buf);
            }
            if self.begun && !self.frame.is_finished() {
                let some = ruzstd::decoding::BlockDecodingStrategy::UptoBytes(buf.len().max(1));
                self.frame.decode_blocks(&mut self.source, some).map_err(broken)?;
            } else if self.begun && self.wrong_checksum() {
                return Err(io::Error::other("the zstd frame's checksum is wrong"));
            } else if self.next_frame()? {
                self.begun = true;
            } else {
                return Ok(0);
            }
        }
    }
}

impl<R> Zstd<R> {
    fn wrong_checksum(&self) -> bool {
        match (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum()) {
            (Some(written), Some(counted)) => written != counted,
            _ => false,
        }
    }
}

fn broken(error: FrameDecoderError) -> io::Error {
    io::Error::other(format!("zstd: {error}"))
}
