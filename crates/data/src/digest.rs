//! SHA-256 of a run's examples and of files, by which a resumed run knows what it began with.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Example, Target};

/// Number of examples, and their SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExamplesDigest {
    /// Number of examples.
    pub examples: usize,
    /// SHA-256 of their tokens and targets, in order, as hexadecimal digits.
    pub sha256: String,
}

/// Digest of examples that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct ExamplesHasher {
    examples: usize,
    hash: Sha256,
}

impl ExamplesHasher {
    /// Adds the next examples.
    pub fn add(&mut self, examples: &[Example]) {
        let mut bytes = Vec::new();
        for example in examples {
            bytes.clear();
            write(example, &mut bytes);
            self.hash.update(&bytes);
        }
        self.examples += examples.len();
    }

    /// Returns the digest of all examples.
    pub fn finish(self) -> ExamplesDigest {
        ExamplesDigest { examples: self.examples, sha256: hexadecimal(&self.hash.finalize()) }
    }
}

/// Appends an example as bytes, of which no other example has the same. Each list follows its length.
fn write(example: &Example, bytes: &mut Vec<u8>) {
    fn list<T: Copy, const SIZE: usize>(values: &[T], to_bytes: fn(T) -> [u8; SIZE], bytes: &mut Vec<u8>) {
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| to_bytes(*value)));
    }
    list(&example.input_ids, u32::to_le_bytes, bytes);
    list(&example.token_type_ids, u32::to_le_bytes, bytes);
    let kind = match &example.target {
        Target::Tokens(_) => 0,
        Target::Tags(_) => 1,
        Target::Class(_) => 2,
        Target::Classes(_) => 3,
        Target::Number(_) => 4,
    };
    bytes.push(kind);
    match &example.target {
        Target::Tokens(labels) | Target::Tags(labels) => list(labels, i64::to_le_bytes, bytes),
        Target::Class(class) => bytes.extend(class.to_le_bytes()),
        Target::Classes(classes) => list(classes, f32::to_le_bytes, bytes),
        Target::Number(number) => bytes.extend(number.to_le_bytes()),
    }
}

/// Returns the SHA-256 of a file's bytes as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[Example]]) -> ExamplesDigest {
        let mut hasher = ExamplesHasher::default();
        pieces.iter().for_each(|piece| hasher.add(piece));
        hasher.finish()
    }

    #[test]
    fn a_digest_depends_on_every_part_of_every_example_and_not_on_the_pieces() {
        let examples = [
            Example::tokens(vec![1, 2], vec![-100, 2]),
            Example { token_type_ids: vec![0, 0], ..Example::tokens(vec![1, 2], vec![-100, 2]) },
            Example::tokens(vec![1, 2], vec![1, 2]),
            Example { input_ids: vec![1, 2], target: Target::Tags(vec![1, 2]), ..Example::default() },
            Example { input_ids: vec![1, 2], target: Target::Class(0), ..Example::default() },
            Example { input_ids: vec![1, 2], target: Target::Classes(vec![0.0]), ..Example::default() },
            Example { input_ids: vec![1, 2], target: Target::Number(0.0), ..Example::default() },
        ];
        assert_eq!(digest(&[&examples]), digest(&[&examples[..3], &[], &examples[3..]]));
        assert_eq!(digest(&[&examples]).examples, examples.len());
        for (at, one) in examples.iter().enumerate() {
            for other in &examples[at + 1..] {
                let (one, other) = (std::slice::from_ref(one), std::slice::from_ref(other));
                assert_ne!(digest(&[one]).sha256, digest(&[other]).sha256);
                assert_ne!(digest(&[one, other]), digest(&[other, one]));
            }
        }
    }

    #[test]
    fn the_digest_of_a_file_is_that_of_sha256sum() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
