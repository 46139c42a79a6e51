//! The built page, embedded in the program, so that one binary is enough. It is empty if the program was built before the page.

use std::{borrow::Cow, io::Read as _};

use flate2::read::GzDecoder;

/// The page's files by their path, such as `index.html`. A compressed file is present only under its name plus an ending from [`ENCODINGS`].
pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Folder into which `cargo xtask web` builds the page in the source tree of this program.
pub const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist");

/// Compressions that a file may be stored with, the smaller first: the name in `Accept-Encoding`, and the ending of the file's name.
pub const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// A file as HTTP sends it.
pub struct Sent {
    /// Bytes of the file, in that encoding.
    pub bytes: Cow<'static, [u8]>,
    /// The value of `Content-Encoding`.
    pub encoding: Option<&'static str>,
}

/// Reads the file at `path` through `read`, in the smallest encoding that `accept`, the value of `Accept-Encoding`, allows. Returns `None` if there
/// is no such file.
pub fn sent(path: &str, accept: &str, read: impl Fn(&str) -> Option<Cow<'static, [u8]>>) -> Option<Sent> {
    let accepted = |word: &str| {
        accept.split(',').any(|entry| {
            let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            // A quality of 0 is a refusal.
            let quality = parameters.trim().strip_prefix("q=").and_then(|value| value.parse::<f32>().ok());
            name.trim().eq_ignore_ascii_case(word) && quality != Some(0.0)
        })
    };
    for (word, end) in ENCODINGS.into_iter().filter(|(word, _)| accepted(word)) {
        if let Some(bytes) = read(&format!("{path}{end}")) {
            return Some(Sent { bytes, encoding: Some(word) });
        }
    }
    if let Some(bytes) = read(path) {
        return Some(Sent { bytes, encoding: None });
    }
    let mut bytes = Vec::new();
    GzDecoder::new(read(&format!("{path}.gz"))?.as_ref()).read_to_end(&mut bytes).ok()?;
    Some(Sent { bytes: bytes.into(), encoding: None })
}

/// Returns a file inside this program, by its path.
pub fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, bytes)| Cow::Borrowed(*bytes))
}

/// Returns the MIME type that a browser expects for a file of that name.
pub fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn read(path: &str) -> Option<Cow<'static, [u8]>> {
        let gzip = || {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(b"module").ok()?;
            gzip.finish().ok()
        };
        match path {
            "a.wasm.gz" => gzip().map(Cow::Owned),
            "a.wasm.br" => Some(Cow::Borrowed(b"brotli")),
            "index.html" => Some(Cow::Borrowed(b"html")),
            _ => None,
        }
    }

    #[test]
    fn a_file_is_sent_in_the_smallest_encoding_that_is_accepted() {
        for (accept, encoding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip;q=1.0, BR;q=0", Some("gzip")),
            ("br;q=0.000,gzip", Some("gzip")),
            ("identity", None),
            ("", None),
        ] {
            let sent = sent("a.wasm", accept, read).unwrap();
            assert_eq!(sent.encoding, encoding, "{accept}");
            assert!(encoding.is_some() || *sent.bytes == *b"module", "{accept}");
        }
        assert_eq!(sent("index.html", "br", read).unwrap().encoding, None);
        assert!(sent("none", "br, gzip", read).is_none());
    }
}
