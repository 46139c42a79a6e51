//! The built page, inside the program, so that one binary is enough. Empty where the program was built before the page.

use std::{borrow::Cow, io::Read as _};

use flate2::read::GzDecoder;

/// The page's files by their path, such as `index.html`. A compressed file stands only under its name plus an ending
/// from [`ENCODINGS`].
pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Where `cargo xtask web` builds it in the source tree that this program was built from.
pub const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist");

/// How a file may be kept compressed: the word for it in `Accept-Encoding`, and what its name then ends with. The smaller first.
pub const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// A file as HTTP sends it.
pub struct Sent {
    /// Its bytes, in that encoding.
    pub bytes: Cow<'static, [u8]>,
    /// The value of `Content-Encoding`.
    pub encoding: Option<&'static str>,
}

/// Reads the file at `path` through `read`, in the smallest encoding that `accept`, the value of `Accept-Encoding`, allows. None where there is
/// no such file.
pub fn sent(path: &str, accept: &str, read: impl Fn(&str) -> Option<Cow<'static, [u8]>>) -> Option<Sent> {
    let accepted = |word: &str| {
        accept.split(',').any(|entry| {
            let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            // A quality of nought is a refusal.
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

/// A file inside this program, by its path.
pub fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, bytes)| Cow::Borrowed(*bytes))
}

/// The MIME type that a browser wants for a file of that name.
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
