//! The checksums by which a hub names its files: SHA-256 for large ones (LFS), the SHA-1 of git's blob for the others.

use std::fmt;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// A file's checksum, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// Of the contents.
    Sha256(String),
    /// Of `blob <length>\0` and the contents, as git has it; of the contents alone, as some mirrors have it.
    Sha1(String),
}

impl Checksum {
    /// Returns the checksum that a file's name on the hub is, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        let is_hexadecimal = name.bytes().all(|digit| digit.is_ascii_hexdigit());
        match name.len() {
            64 if is_hexadecimal => Some(Self::Sha256(name.to_lowercase())),
            40 if is_hexadecimal => Some(Self::Sha1(name.to_lowercase())),
            _ => None,
        }
    }

    /// Begins the check of a file of `length` bytes.
    pub fn begin(&self, length: u64) -> Check {
        let hash = match self {
            Self::Sha256(_) => Hash::Sha256(Sha256::new()),
            Self::Sha1(_) => Hash::Sha1 { git: git_blob(length), contents: Sha1::new() },
        };
        Check { expected: self.clone(), hash }
    }
}

/// A check under way: all bytes of a file in their order, then [`Check::finish`].
pub struct Check {
    expected: Checksum,
    hash: Hash,
}

enum Hash {
    Sha256(Sha256),
    Sha1 { git: Sha1, contents: Sha1 },
}

impl Check {
    /// Adds the file's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha1 { git, contents } => {
                git.update(bytes);
                contents.update(bytes);
            }
        }
    }

    /// Compares the file with its checksum.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn finish(self) -> Result<(), Mismatch> {
        let (found, also, expected, algorithm) = match (self.hash, self.expected) {
            (Hash::Sha256(hash), Checksum::Sha256(expected) | Checksum::Sha1(expected)) => {
                (digits(&hash.finalize()), None, expected, "SHA-256")
            }
            (Hash::Sha1 { git, contents }, Checksum::Sha256(expected) | Checksum::Sha1(expected)) => {
                (digits(&git.finalize()), Some(digits(&contents.finalize())), expected, "SHA-1")
            }
        };
        match found == expected || also.is_some_and(|also| also == expected) {
            true => Ok(()),
            false => Err(Mismatch { algorithm, found, expected }),
        }
    }
}

/// A file that differs from its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    algorithm: &'static str,
    found: String,
    expected: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, found, expected } = self;
        write!(f, "its {algorithm} is {found}, the hub's {expected}")
    }
}

/// Returns the SHA-256 by which a hub names a large file.
pub fn sha256(contents: &[u8]) -> String {
    digits(&Sha256::digest(contents))
}

/// Returns the SHA-1 by which git, and so a hub, names a small file.
pub fn git_sha1(contents: &[u8]) -> String {
    digits(&git_blob(contents.len() as u64).chain_update(contents).finalize())
}

/// Begins the SHA-1 by which git names a file of `length` bytes; the contents are to follow.
pub(crate) fn git_blob(length: u64) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {length}\0"))
}

/// Returns a digest in hexadecimal digits.
pub(crate) fn digits(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
        let mut check = Checksum::named(name).ok_or("no checksum")?.begin(bytes.len() as u64);
        bytes.chunks(3).for_each(|piece| check.update(piece));
        check.finish().map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn the_digests_are_those_of_git_and_of_fips_180() {
        // `printf 'hello world\n' | git hash-object --stdin`, `| sha1sum`, `| sha256sum`.
        let hello = b"hello world\n";
        assert_eq!(check("3b18e512dba79e4c8300dd08aeb37f8e728b8dad", hello), Ok(()));
        assert_eq!(check("22596363B3DE40B06F981FB85D82312E8C0ED511", hello), Ok(()));
        assert_eq!(check("a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447", hello), Ok(()));
        assert_eq!(check("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b""), Ok(()));
        assert_eq!(git_sha1(hello), "3b18e512dba79e4c8300dd08aeb37f8e728b8dad");
        assert_eq!(sha256(hello), "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447");
        let damaged = check("3b18e512dba79e4c8300dd08aeb37f8e728b8dad", b"hello wOrld\n").unwrap_err();
        assert!(damaged.contains("SHA-1") && damaged.contains("3b18e512"), "{damaged}");
        for other in ["", "abc", "d41d8cd98f00b204e9800998ecf8427e", &"g".repeat(40), "65a1-1f"] {
            assert_eq!(Checksum::named(other), None, "{other}");
        }
    }
}
