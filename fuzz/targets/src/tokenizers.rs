//! A tokenizer's files, and chat templates.

use lorelei_data::{Message, Tokenizer, TokenizerFiles};

use crate::{parts, text};

/// Reads `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json` and `config.json`, and encodes a text.
pub fn tokenizer(input: &[u8]) {
    let [tokenizer, config, map, generation, model] = parts(input);
    let [config, map, generation, model] = [config, map, generation, model].map(text);
    let builtin = lorelei_builtin::model("builtin:tiny").map(|model| model.tokenizer.as_bytes());
    // Most of a tokenizer is its vocabulary: without one, the embedded model's is taken.
    let tokenizer = if tokenizer.is_empty() { builtin.unwrap_or_default() } else { tokenizer };
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let [config, map, generation, model] = [&config, &map, &generation, &model].map(|text| some(text));
    let opened = Tokenizer::open(&TokenizerFiles {
        tokenizer,
        tokenizer_config: config.as_deref(),
        special_tokens_map: map.as_deref(),
        generation_config: generation.as_deref(),
        config: model.as_deref(),
        ..TokenizerFiles::default()
    });
    if let Ok(tokenizer) = opened {
        if let Ok(ids) = tokenizer.encode("Ab é 1\n", true) {
            let _ = tokenizer.decode(&ids, false);
        }
        let _ = (tokenizer.vocab_size(), tokenizer.add_bos_token(), tokenizer.stop_ids(), tokenizer.pad_id());
        let _ = (tokenizer.bos_id(), tokenizer.eos_id());
        let _ = tokenizer.encode_prompt("Hi");
    }
}

/// Renders a conversation with a chat template.
pub fn chat_template(input: &[u8]) {
    let Some(model) = lorelei_builtin::model("builtin:tiny") else { return };
    let template = text(input);
    let opened = Tokenizer::from_files(model.tokenizer.as_bytes(), None, Some(&template));
    let Ok(tokenizer) = opened else { return };
    let turns = [
        ("system", "be"),
        ("user", "hi"),
        ("assistant", "<think>a</think>b"),
        ("user", "é"),
        ("assistant", ""),
    ];
    let messages = turns.map(|(role, content)| Message::new(role, content));
    for add_generation_prompt in [false, true] {
        let _ = tokenizer.apply_chat_template(&messages, add_generation_prompt);
    }
    let rows = br#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "no"}, {"role": "assistant", "content": "yes"}]}"#;
    let encoder = lorelei_data::Encoder::new(&tokenizer, 256);
    for (_, row) in lorelei_data::read_jsonl(&rows[..], "rows").flatten() {
        let _ = encoder.encode(&row);
    }
}
