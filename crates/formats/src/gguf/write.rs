//! Writing of GGUF tensor by tensor, byte for byte as gguf-py would.

use std::io::Write;

use super::{GgmlType, GgufArray, GgufValue, quantize};
use crate::{FormatError, Place};

/// Name in errors of a file that has no name yet.
const FILE: &str = "GGUF output";
const VERSION: u32 = 3;
/// Alignment of tensors, in bytes: GGUF's default, which needs no key.
const ALIGNMENT: u64 = 32;
/// Number of values that are converted at a time: whole blocks of any format.
const PIECE: usize = 1 << 16;
const ZEROS: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];

/// Name, storage format and shape of a tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensorSpec {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Row-major shape, `[out, in]` for a weight: the reverse of the file's order.
    pub shape: Vec<usize>,
    /// Storage format of the values.
    pub ggml_type: GgmlType,
}

/// A writer of a GGUF file whose header is written; the tensors follow in their order.
#[derive(Debug)]
pub struct GgufWriter<W> {
    out: W,
    /// Tensors, each with the number of its values and of its bytes.
    tensors: Vec<(GgufTensorSpec, usize, u64)>,
    current: usize,
    /// Number of values of the current tensor that are written so far.
    written: usize,
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header: the entries of `metadata` and the table of `tensors`, both in their order.
    ///
    /// # Errors
    /// When two tensors or keys have the same name, a shape is too large or its rows are no whole blocks, or `out` fails.
    pub fn new(
        mut out: W,
        metadata: &[(&str, GgufValue)],
        tensors: &[GgufTensorSpec],
    ) -> Result<Self, FormatError> {
        refuse_twice(metadata.iter().map(|(key, _)| *key), |key| Place::Key(key.to_owned()))?;
        refuse_twice(tensors.iter().map(|tensor| &*tensor.name), |name| Place::Tensor(name.to_owned()))?;
        let mut header = b"GGUF".to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_text(key, &mut header);
            put_value(value, &mut header);
        }
        let mut sized = Vec::with_capacity(tensors.len());
        let mut offset = 0u64;
        for tensor in tensors {
            let (count, bytes) = sizes(tensor)?;
            put_text(&tensor.name, &mut header);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            header.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
            header.extend((tensor.ggml_type as u32).to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = offset
                .checked_add(bytes)
                .and_then(|end| end.checked_next_multiple_of(ALIGNMENT))
                .ok_or_else(|| too_large(tensor))?;
            sized.push((tensor.clone(), count, bytes));
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&header).map_err(|source| FormatError::io(FILE, Place::Byte(0), source))?;
        Ok(Self { out, tensors: sized, current: 0, written: 0 })
    }

    /// Writes the next values of tensor `name`, row-major, in its declared format: all of them, or whole rows with the rest to follow.
    ///
    /// # Errors
    /// When another tensor is next, `name` has no room for so many values, the values are no whole rows, floats cannot be converted to its format, or
    /// the writer fails.
    pub fn write_f32(&mut self, name: &str, values: &[f32]) -> Result<(), FormatError> {
        let ggml_type = self.take_turn(name, values.len())?;
        let mut piece = Vec::new();
        for piece_values in values.chunks(PIECE) {
            piece.clear();
            quantize(ggml_type, piece_values, &mut piece)
                .ok_or_else(|| misuse(name, format!("{ggml_type} cannot be written"), "declare F32"))?;
            self.put(name, &piece)?;
        }
        self.advance(name, values.len())
    }

    /// Writes the next bytes of tensor `name`, which are in its declared format already: all of them, or whole rows with the rest to follow.
    ///
    /// # Errors
    /// The errors of [`write_f32`](Self::write_f32) but that of the format, and one when the bytes are no whole blocks.
    pub fn write_stored(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        let block = self.tensors.get(self.current).map_or((1, 1), |(tensor, ..)| tensor.ggml_type.block());
        if !bytes.len().is_multiple_of(block.1) {
            let problem = format!("{} bytes are no whole blocks of {}", bytes.len(), block.1);
            return Err(misuse(name, problem, "write whole blocks"));
        }
        let count = bytes.len() / block.1 * block.0;
        self.take_turn(name, count)?;
        self.put(name, bytes)?;
        self.advance(name, count)
    }

    /// Checks that `name` is the next tensor and that `count` more values fit; returns its storage format.
    fn take_turn(&self, name: &str, count: usize) -> Result<GgmlType, FormatError> {
        let Some((tensor, all, _)) = self.tensors.get(self.current) else {
            return Err(misuse(name, "every declared tensor is written already", "write it once"));
        };
        if tensor.name != name {
            let problem = format!("it is the turn of {:?}", tensor.name);
            return Err(misuse(name, problem, "write tensors in the order in which they were declared"));
        }
        let row = tensor.shape.last().copied().unwrap_or(1).max(1);
        if count > all - self.written || !count.is_multiple_of(row) {
            let problem = format!("{count} values are given, and {} are left", all - self.written);
            return Err(misuse(name, problem, "write whole rows, as many as the shape has"));
        }
        Ok(tensor.ggml_type)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        let failed = |source| FormatError::io(FILE, Place::Tensor(name.to_owned()), source);
        self.out.write_all(bytes).map_err(failed)
    }

    /// Counts values that are written, and fills up a tensor that is whole.
    fn advance(&mut self, name: &str, count: usize) -> Result<(), FormatError> {
        self.written += count;
        let Some((_, all, bytes)) = self.tensors.get(self.current) else { return Ok(()) };
        if self.written == *all {
            let padding = bytes.next_multiple_of(ALIGNMENT) - bytes;
            self.put(name, &ZEROS[..padding as usize])?;
            (self.current, self.written) = (self.current + 1, 0);
        }
        Ok(())
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// When a tensor has not been written completely, or the flush fails.
    pub fn finish(mut self) -> Result<W, FormatError> {
        if let Some((tensor, count, _)) = self.tensors.get(self.current) {
            let problem = format!(
                "{} of its {count} values were written, and none of the {} tensors after it",
                self.written,
                self.tensors.len() - self.current - 1
            );
            return Err(misuse(&tensor.name, problem, "write every tensor before finishing"));
        }
        self.out.flush().map_err(|source| FormatError::io(FILE, Place::File, source))?;
        Ok(self.out)
    }
}

fn refuse_twice<'n>(
    names: impl Iterator<Item = &'n str>,
    place: impl Fn(&str) -> Place,
) -> Result<(), FormatError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(FormatError::misuse(FILE, place(pair[0]), "the name is taken", "rename it")),
        None => Ok(()),
    }
}

/// Returns the number of a tensor's values and of its bytes.
fn sizes(tensor: &GgufTensorSpec) -> Result<(usize, u64), FormatError> {
    let count = tensor.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count.ok_or_else(|| too_large(tensor))?;
    let (of_block, block) = tensor.ggml_type.block();
    if count == 0 || tensor.shape.last().is_some_and(|row| row % of_block != 0) || count % of_block != 0 {
        let problem = format!("shape {:?} makes no rows of whole {} blocks", tensor.shape, tensor.ggml_type);
        return Err(misuse(&tensor.name, problem, "declare another format"));
    }
    let bytes = ((count / of_block) as u64).checked_mul(block as u64).ok_or_else(|| too_large(tensor))?;
    Ok((count, bytes))
}

fn too_large(tensor: &GgufTensorSpec) -> FormatError {
    misuse(&tensor.name, format!("shape {:?} is too large", tensor.shape), "check it")
}

fn misuse(name: &str, problem: impl Into<String>, help: &'static str) -> FormatError {
    FormatError::misuse(FILE, Place::Tensor(name.to_owned()), problem, help)
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(value: &GgufValue, out: &mut Vec<u8>) {
    macro_rules! number {
        ($kind:expr, $number:expr) => {{
            out.extend(u32::to_le_bytes($kind));
            out.extend($number.to_le_bytes());
        }};
    }
    match value {
        GgufValue::U8(v) => number!(0, v),
        GgufValue::I8(v) => number!(1, v),
        GgufValue::U16(v) => number!(2, v),
        GgufValue::I16(v) => number!(3, v),
        GgufValue::U32(v) => number!(4, v),
        GgufValue::I32(v) => number!(5, v),
        GgufValue::F32(v) => number!(6, v),
        GgufValue::Bool(v) => number!(7, u8::from(*v)),
        GgufValue::String(v) => {
            out.extend(8u32.to_le_bytes());
            put_text(v, out);
        }
        GgufValue::Array(v) => {
            out.extend(9u32.to_le_bytes());
            put_array(v, out);
        }
        GgufValue::U64(v) => number!(10, v),
        GgufValue::I64(v) => number!(11, v),
        GgufValue::F64(v) => number!(12, v),
    }
}

fn put_array(array: &GgufArray, out: &mut Vec<u8>) {
    macro_rules! numbers {
        ($kind:expr, $numbers:expr) => {{
            out.extend(u32::to_le_bytes($kind));
            out.extend(($numbers.len() as u64).to_le_bytes());
            out.extend($numbers.iter().flat_map(|number| number.to_le_bytes()));
        }};
    }
    match array {
        GgufArray::U8(v) => numbers!(0, v),
        GgufArray::I8(v) => numbers!(1, v),
        GgufArray::U16(v) => numbers!(2, v),
        GgufArray::I16(v) => numbers!(3, v),
        GgufArray::U32(v) => numbers!(4, v),
        GgufArray::I32(v) => numbers!(5, v),
        GgufArray::F32(v) => numbers!(6, v),
        GgufArray::Bool(v) => {
            out.extend(7u32.to_le_bytes());
            out.extend((v.len() as u64).to_le_bytes());
            out.extend(v.iter().map(|&flag| u8::from(flag)));
        }
        GgufArray::String(v) => {
            out.extend(8u32.to_le_bytes());
            out.extend((v.len() as u64).to_le_bytes());
            v.iter().for_each(|text| put_text(text, out));
        }
        GgufArray::Array(v) => {
            out.extend(9u32.to_le_bytes());
            out.extend((v.len() as u64).to_le_bytes());
            v.iter().for_each(|array| put_array(array, out));
        }
        GgufArray::U64(v) => numbers!(10, v),
        GgufArray::I64(v) => numbers!(11, v),
        GgufArray::F64(v) => numbers!(12, v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Gguf;

    fn spec(name: &str, shape: &[usize], ggml_type: GgmlType) -> GgufTensorSpec {
        GgufTensorSpec { name: name.to_owned(), shape: shape.to_vec(), ggml_type }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let metadata = [
            ("general.architecture", GgufValue::String("llama".to_owned())),
            ("a.number", GgufValue::U64(1 << 40)),
            ("a.flag", GgufValue::Bool(true)),
            ("a.float", GgufValue::F32(0.5)),
            ("texts", GgufValue::Array(GgufArray::String(vec!["a".to_owned(), "é".to_owned()]))),
            ("deep", GgufValue::Array(GgufArray::Array(vec![GgufArray::I32(vec![-1, 2])]))),
            ("flags", GgufValue::Array(GgufArray::Bool(vec![true, false]))),
        ];
        let types = [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0];
        let tensors: Vec<_> = types.iter().map(|&kind| spec(&kind.to_string(), &[3, 32], kind)).collect();
        let values: Vec<f32> = (0..96).map(|value| value as f32 - 48.0).collect();
        let mut writer = GgufWriter::new(Vec::new(), &metadata, &tensors).unwrap();
        for tensor in &tensors {
            // In two parts.
            writer.write_f32(&tensor.name, &values[..32]).unwrap();
            writer.write_f32(&tensor.name, &values[32..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % 32, 0);
        let file = Gguf::open(bytes, "a.gguf").unwrap();
        for (key, value) in &metadata {
            assert_eq!(file.metadata().get(*key), Some(value), "{key}");
        }
        for tensor in &tensors {
            assert_eq!(file.tensor(&tensor.name).unwrap().shape, [3, 32]);
            let read = file.read_f32(&tensor.name).unwrap();
            let off = read.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                off <= if tensor.ggml_type == GgmlType::Q8_0 { 0.25 } else { 0.0 },
                "{} {off}",
                tensor.name
            );
        }
    }

    #[test]
    fn misuse_is_refused() {
        let new = |tensors: &[GgufTensorSpec]| GgufWriter::new(Vec::new(), &[], tensors);
        for (tensors, words) in [
            (vec![spec("a", &[2], GgmlType::F32), spec("a", &[2], GgmlType::F32)], "taken"),
            (vec![spec("a", &[2, 4], GgmlType::Q8_0)], "whole Q8_0 blocks"),
            (vec![spec("a", &[usize::MAX, 2], GgmlType::F32)], "too large"),
        ] {
            let error = new(&tensors).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        // Values of its own come back; floats cannot be converted to it.
        let mut writer = new(&[spec("a", &[2, 256], GgmlType::Q4_K)]).unwrap();
        assert!(
            writer.write_f32("a", &[0.0; 256]).unwrap_err().to_string().contains("Q4_K cannot be written")
        );
        let block: Vec<u8> = (0..144).collect();
        assert!(writer.write_stored("a", &block[1..]).unwrap_err().to_string().contains("whole blocks"));
        writer.write_stored("a", &block).unwrap();
        writer.write_stored("a", &block).unwrap();
        let file = Gguf::open(writer.finish().unwrap(), "a.gguf").unwrap();
        let mut read = vec![0; 144];
        file.read_stored(file.tensor("a").unwrap(), 144, &mut read).unwrap();
        assert_eq!(read, block);
        let twice = [("k", GgufValue::U8(1)), ("k", GgufValue::U8(2))];
        assert!(GgufWriter::new(Vec::new(), &twice, &[]).is_err());
        let two = [spec("a", &[2, 2], GgmlType::F32), spec("b", &[2], GgmlType::F32)];
        let mut writer = new(&two).unwrap();
        assert!(writer.write_f32("b", &[0.0; 2]).unwrap_err().to_string().contains("turn of \"a\""));
        assert!(writer.write_f32("a", &[0.0; 3]).is_err() && writer.write_f32("a", &[0.0; 6]).is_err());
        writer.write_f32("a", &[0.0; 2]).unwrap();
        assert!(writer.finish().unwrap_err().to_string().contains("2 of its 4 values"));
    }
}
