//! Conversations as a model's chat template writes them, for exports that recognise the template.

use lorelei_data::{Message, Tokenizer};

/// Formats a conversation of roles and contents, with the beginning of an answer, by the model's chat template. The token at the beginning of a text is
/// left out. Returns `None` if the template refuses the conversation.
pub fn chat_text(tokenizer: &Tokenizer, turns: &[(&str, &str)]) -> Option<String> {
    let turns: Vec<Message> = turns.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    let text = tokenizer.apply_chat_template(&turns, true).ok()?;
    let bos = tokenizer.bos_token().unwrap_or_default();
    Some(text.strip_prefix(bos).map_or_else(|| text.clone(), str::to_owned))
}
