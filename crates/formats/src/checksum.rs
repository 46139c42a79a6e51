//! The SHA-256 by which a hub names the large files that it stores.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::ReadAt;

/// Number of bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Computes the SHA-256 of all bytes of `reader`, in hexadecimal digits.
///
/// # Errors
/// When the bytes cannot be read.
pub fn sha256(reader: &impl ReadAt) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), Vec::new());
    let (length, mut done) = (reader.len()?, 0);
    while done < length {
        buffer.resize((length - done).min(PIECE as u64) as usize, 0);
        reader.read_exact_at(done, &mut buffer)?;
        hash.update(&buffer);
        done += buffer.len() as u64;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a name is that of a SHA-256; the names of small files are shorter.
pub fn is_sha256(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_fips_180() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc".to_vec()).unwrap(), abc);
        assert!(is_sha256(abc) && !is_sha256("abc") && !is_sha256(&"z".repeat(64)));
        let long = vec![b'a'; 1_000_000 + PIECE];
        assert_eq!(sha256(&long).unwrap(), sha256(&long[..].to_vec()).unwrap());
        assert_ne!(sha256(&long).unwrap(), sha256(&long[1..].to_vec()).unwrap());
    }
}
