//! A small tokenizer, trained here, in place of a model's.
#![allow(dead_code)]

use lorelei_data::{Message, Tokenizer, train_byte_level_bpe};

/// The template of SmolLM2 Instruct.
pub const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

pub const SPECIAL: [&str; 4] = ["<pad>", "<|im_start|>", "<|im_end|>", "<s>"];

pub fn tokenizer_json() -> String {
    let texts = ["the capital of the river is the town", "user assistant system the the capital\n", "12 345"];
    let texts = texts.iter().cycle().take(30).map(|text| text.to_string());
    train_byte_level_bpe(texts, 320, &SPECIAL, None).unwrap()
}

pub fn tokenizer(config: &str, template: Option<&str>) -> Tokenizer {
    Tokenizer::from_files(tokenizer_json().as_bytes(), Some(config), template).unwrap()
}

pub fn smol() -> Tokenizer {
    let config = r#"{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}"#;
    tokenizer(config, Some(SMOLLM2))
}

pub fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

pub fn user(content: &str) -> Message {
    message("user", content)
}

pub fn assistant(content: &str) -> Message {
    message("assistant", content)
}

/// Numbers that follow from a seed (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}
