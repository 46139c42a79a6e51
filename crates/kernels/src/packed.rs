//! Weights in GGUF's blocks of 32 values, as stored in the file.

use lorelei_formats::gguf::{GgmlType, dequantize_into};

/// Format of a block. Every block holds 32 neighbouring values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackedKind {
    /// `d: f16`, 32 signed bytes: `d·q`.
    Q8_0,
    /// `d: f16`, 16 bytes of nibbles, the low ones first: `d·(q - 8)`.
    Q4_0,
    /// `d: f16`, `m: f16`, 16 bytes of nibbles, the low ones first: `d·q + m`.
    Q4_1,
}

/// Number of values in a block.
pub const BLOCK: usize = 32;

impl PackedKind {
    /// Returns GGUF's type of the block.
    const fn ggml_type(self) -> GgmlType {
        match self {
            PackedKind::Q8_0 => GgmlType::Q8_0,
            PackedKind::Q4_0 => GgmlType::Q4_0,
            PackedKind::Q4_1 => GgmlType::Q4_1,
        }
    }

    /// Returns the number of bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.ggml_type().block().1
    }

    /// Unpacks blocks of [`PackedKind::block_bytes`] bytes into [`BLOCK`] values each.
    ///
    /// # Panics
    ///
    /// If the bytes are not whole blocks, or `values` has another number of elements than the blocks.
    pub fn unpack(self, blocks: &[u8], values: &mut [f32]) {
        dequantize_into(self.ggml_type(), blocks, values)
            .expect("whole blocks, and a value for each of theirs");
    }
}

/// A packed matrix `[size_out, size_in]`, whose words are kept in an integer tensor. A word holds four of the file's bytes in their order, the first
/// lowest; the last word is filled up with zeros if the blocks end within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedForm {
    /// Format of a block.
    pub kind: PackedKind,
    /// Number of rows.
    pub size_out: usize,
    /// Number of columns, a whole number of blocks.
    pub size_in: usize,
}

impl PackedForm {
    /// Creates the form, or `None` if a row is not a whole number of blocks.
    pub fn new(kind: PackedKind, size_out: usize, size_in: usize) -> Option<Self> {
        (size_in > 0 && size_in.is_multiple_of(BLOCK)).then_some(Self { kind, size_out, size_in })
    }

    /// Returns the bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.size_in / BLOCK * self.kind.block_bytes()
    }

    /// Returns the bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.size_out * self.row_bytes()
    }

    /// Converts `bytes` to words, or returns `None` if there are not [`PackedForm::bytes`] of them.
    pub fn words(&self, bytes: &[u8]) -> Option<Vec<i32>> {
        let word = |bytes: &[u8]| {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            i32::from_le_bytes(word)
        };
        (bytes.len() == self.bytes()).then(|| bytes.chunks(4).map(word).collect())
    }
}
