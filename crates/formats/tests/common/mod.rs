//! A small GGUF writer for the tests.
#![allow(dead_code)]

use std::time::Duration;

/// A metadata value with the number of its type.
#[derive(Clone)]
pub enum Meta {
    U32(u32),
    F32(f32),
    Bool(bool),
    Str(&'static str),
    Strs(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    /// Number of a type and bytes of the value, right or wrong.
    Raw(u32, Vec<u8>),
}

/// A tensor with its dimensions in GGUF's order (fastest first).
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
}

pub fn f32_tensor(name: &str, dims: &[u64], values: &[f32]) -> Tensor {
    let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { name: name.to_owned(), dims: dims.to_vec(), kind: 0, data }
}

pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn list(out: &mut Vec<u8>, kind: u32, count: usize) {
    out.extend(9u32.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
}

pub fn gguf(metadata: &[(&str, Meta)], tensors: &[Tensor]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        match value {
            Meta::U32(v) => {
                out.extend(4u32.to_le_bytes());
                out.extend(v.to_le_bytes());
            }
            Meta::F32(v) => {
                out.extend(6u32.to_le_bytes());
                out.extend(v.to_le_bytes());
            }
            Meta::Bool(v) => {
                out.extend(7u32.to_le_bytes());
                out.push((*v).into());
            }
            Meta::Str(v) => {
                out.extend(8u32.to_le_bytes());
                text(&mut out, v);
            }
            Meta::Strs(v) => {
                list(&mut out, 8, v.len());
                v.iter().for_each(|v| text(&mut out, v));
            }
            Meta::I32s(v) => {
                list(&mut out, 5, v.len());
                out.extend(v.iter().flat_map(|v| v.to_le_bytes()));
            }
            Meta::F32s(v) => {
                list(&mut out, 6, v.len());
                out.extend(v.iter().flat_map(|v| v.to_le_bytes()));
            }
            Meta::Raw(kind, bytes) => {
                out.extend(kind.to_le_bytes());
                out.extend(bytes);
            }
        }
    }
    let mut offset = 0u64;
    for tensor in tensors {
        text(&mut out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.extend(tensor.kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += (tensor.data.len() as u64).next_multiple_of(32);
    }
    for tensor in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&tensor.data);
    }
    out
}

/// Returns a Llama with two heads of four values, one layer and a byte-level vocabulary of 8 tokens; every value tells its row.
pub fn tiny_llama() -> (Vec<(&'static str, Meta)>, Vec<Tensor>) {
    let tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab", "Ġ", "<think>"];
    let metadata = vec![
        ("general.architecture", Meta::Str("llama")),
        ("llama.block_count", Meta::U32(1)),
        ("llama.context_length", Meta::U32(64)),
        ("llama.embedding_length", Meta::U32(8)),
        ("llama.feed_forward_length", Meta::U32(16)),
        ("llama.attention.head_count", Meta::U32(2)),
        ("llama.attention.head_count_kv", Meta::U32(1)),
        ("llama.rope.freq_base", Meta::F32(100_000.0)),
        ("llama.rope.dimension_count", Meta::U32(4)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
        ("tokenizer.ggml.model", Meta::Str("gpt2")),
        ("tokenizer.ggml.pre", Meta::Str("smollm")),
        ("tokenizer.ggml.tokens", Meta::Strs(tokens.map(str::to_owned).to_vec())),
        ("tokenizer.ggml.token_type", Meta::I32s(vec![3, 3, 3, 1, 1, 1, 1, 4])),
        ("tokenizer.ggml.merges", Meta::Strs(vec!["a b".to_owned()])),
        ("tokenizer.ggml.bos_token_id", Meta::U32(1)),
        ("tokenizer.ggml.eos_token_id", Meta::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Meta::U32(0)),
        ("tokenizer.ggml.padding_token_id", Meta::U32(2)),
        ("tokenizer.ggml.add_bos_token", Meta::Bool(false)),
        ("tokenizer.chat_template", Meta::Str("{{ messages }}")),
    ];
    let rows = |name: &str, out: u64, input: u64| {
        let values: Vec<f32> = (0..out * input).map(|i| (i / input) as f32).collect();
        f32_tensor(name, &[input, out], &values)
    };
    let tensors = vec![
        rows("token_embd.weight", 8, 8),
        rows("blk.0.attn_q.weight", 8, 8),
        rows("blk.0.attn_k.weight", 4, 8),
        rows("blk.0.attn_v.weight", 4, 8),
        rows("blk.0.attn_output.weight", 8, 8),
        rows("blk.0.ffn_gate.weight", 16, 8),
        rows("blk.0.ffn_up.weight", 16, 8),
        rows("blk.0.ffn_down.weight", 8, 16),
        f32_tensor("blk.0.attn_norm.weight", &[8], &[1.0; 8]),
        f32_tensor("blk.0.ffn_norm.weight", &[8], &[1.0; 8]),
        f32_tensor("output_norm.weight", &[8], &[1.0; 8]),
    ];
    (metadata, tensors)
}

/// Checks that ten times as much takes about ten times as long, not a hundred times.
///
/// `read` gets a number of items, at most `most`, and returns the time that reading them took.
pub fn assert_linear(what: &str, most: usize, read: impl Fn(usize) -> Duration) {
    // The least of some times is that in which nothing else was running.
    let least = |count| (0..3).map(|_| read(count)).min().unwrap_or_default();
    let (few, many) = (least(most / 10), least(most));
    // What is this quick is no square of the number, whatever else the machine did meanwhile.
    let is_quick = many < Duration::from_secs(1);
    assert!(is_quick || many < few * 40, "{what}: {few:?} for a tenth of {most}, {many:?} for all");
}
