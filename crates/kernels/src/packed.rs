//! Weights as GGUF's blocks of 32 values, as they lie in the file.

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
    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            PackedKind::Q8_0 => 34,
            PackedKind::Q4_0 => 18,
            PackedKind::Q4_1 => 20,
        }
    }

    /// The values of one block of `block_bytes` bytes.
    pub fn unpack(self, block: &[u8], values: &mut [f32; BLOCK]) {
        let half = |at: usize| half_to_f32(u16::from_le_bytes([block[at], block[at + 1]]));
        let nibble = |nibbles: &[u8], i: usize| match i {
            0..16 => f32::from(nibbles[i] & 0x0F),
            _ => f32::from(nibbles[i - 16] >> 4),
        };
        let d = half(0);
        for (i, value) in values.iter_mut().enumerate() {
            *value = match self {
                PackedKind::Q8_0 => d * f32::from(block[2 + i] as i8),
                PackedKind::Q4_0 => d * (nibble(&block[2..], i) - 8.0),
                PackedKind::Q4_1 => d * nibble(&block[4..], i) + half(2),
            };
        }
    }
}

/// An IEEE half as `f32`, exactly.
fn half_to_f32(bits: u16) -> f32 {
    let (sign, exponent, mantissa) =
        (u32::from(bits >> 15), u32::from(bits >> 10) & 31, u32::from(bits) & 1023);
    match exponent {
        0 => {
            let value = mantissa as f32 / (1u32 << 24) as f32;
            if sign == 1 { -value } else { value }
        }
        31 => f32::from_bits(sign << 31 | 0xff << 23 | mantissa << 13),
        _ => f32::from_bits(sign << 31 | (exponent + 112) << 23 | mantissa << 13),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x8000, -0.0),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
        ] {
            assert_eq!(half_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:x}");
        }
        assert!(half_to_f32(0x7e00).is_nan() && half_to_f32(0xfc00) == f32::NEG_INFINITY);
    }
}
