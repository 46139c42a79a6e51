//! Weights as GGUF's blocks of 32 values, as they lie in the file.

use lorelei_formats::gguf::{GgmlType, dequantize_into};

/// How a block is made up. Every block holds 32 neighbouring values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackedKind {
    /// `d: f16`, 32 signed bytes: `d·q`.
    Q8_0,
    /// `d: f16`, 16 bytes of nibbles, the low ones first: `d·(q - 8)`.
    Q4_0,
    /// `d: f16`, `m: f16`, 16 bytes of nibbles, the low ones first: `d·q + m`.
    Q4_1,
}

/// Values of a block.
pub const BLOCK: usize = 32;

impl PackedKind {
    /// What GGUF calls it.
    const fn ggml_type(self) -> GgmlType {
        match self {
            PackedKind::Q8_0 => GgmlType::Q8_0,
            PackedKind::Q4_0 => GgmlType::Q4_0,
            PackedKind::Q4_1 => GgmlType::Q4_1,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.ggml_type().block().1
    }

    /// Unpacks blocks of [`PackedKind::block_bytes`] bytes into [`BLOCK`] values each.
    ///
    /// # Panics
    ///
    /// If they are not whole blocks, or there are not as many values.
    pub fn unpack(self, blocks: &[u8], values: &mut [f32]) {
        dequantize_into(self.ggml_type(), blocks, values)
            .expect("whole blocks, and a value for each of theirs");
    }
}

/// A packed matrix `[size_out, size_in]`, whose words are kept in an integer tensor: the file's bytes in their order, four a word, the
/// first lowest, with zeros after the last block where they end within a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedForm {
    /// How a block is made up.
    pub kind: PackedKind,
    /// Rows.
    pub size_out: usize,
    /// Columns: whole blocks.
    pub size_in: usize,
}

impl PackedForm {
    /// None where a row is not a whole number of blocks.
    pub fn new(kind: PackedKind, size_out: usize, size_in: usize) -> Option<Self> {
        (size_in > 0 && size_in.is_multiple_of(BLOCK)).then_some(Self { kind, size_out, size_in })
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.size_in / BLOCK * self.kind.block_bytes()
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.size_out * self.row_bytes()
    }

    /// The words of `bytes`; none where there are not [`PackedForm::bytes`] of them.
    pub fn words(&self, bytes: &[u8]) -> Option<Vec<i32>> {
        let word = |bytes: &[u8]| {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            i32::from_le_bytes(word)
        };
        (bytes.len() == self.bytes()).then(|| bytes.chunks(4).map(word).collect())
    }
}
