//! What a chat template does to a conversation other than writing it down: it may lose a system prompt, move it, or leave out thoughts and calls.

use serde_json::Value;

use crate::chat::{Conversation, Message};

/// Numbers of rows in which the chat template changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TemplateChanges {
    /// Rows whose system prompt is not in the text.
    pub system_lost: usize,
    /// Rows whose system prompt stands behind a message that it precedes.
    pub system_moved: usize,
    /// Rows of which a message's thought is not in the text.
    pub thoughts_dropped: usize,
    /// Rows of which a tool call is not in the text.
    pub calls_dropped: usize,
    /// Rows of which the words of a user or an assistant are not in the text.
    pub words_dropped: usize,
}

impl TemplateChanges {
    /// Compares a conversation with its rendering.
    pub(crate) fn of(conversation: &Conversation, text: &str) -> Self {
        let messages = &conversation.messages;
        let has = |words: &str| words.trim().is_empty() || holds(text, words.trim());
        let any = |is_lost: &dyn Fn(&Message) -> bool| usize::from(messages.iter().any(is_lost));
        let is_system = |message: &Message| matches!(message.role.as_str(), "system" | "developer");
        Self {
            system_lost: any(&|message| is_system(message) && !has(&message.content)),
            system_moved: usize::from(is_moved(messages, text)),
            thoughts_dropped: any(&|message| !thoughts(message).all(has)),
            calls_dropped: any(&|message| !calls(message).all(has)),
            words_dropped: usize::from(!has_words(messages, text)),
        }
    }

    /// Adds the numbers of other rows.
    pub(crate) fn add(&mut self, other: &Self) {
        self.system_lost += other.system_lost;
        self.system_moved += other.system_moved;
        self.thoughts_dropped += other.thoughts_dropped;
        self.calls_dropped += other.calls_dropped;
        self.words_dropped += other.words_dropped;
    }

    /// Returns a sentence for each kind of change that there is.
    pub fn sentences(&self) -> Vec<String> {
        let kinds = [
            (self.system_lost, "loses the system prompt"),
            (self.system_moved, "moves the system prompt behind a later message"),
            (self.thoughts_dropped, "leaves out a thought"),
            (self.calls_dropped, "leaves out a tool call"),
            (self.words_dropped, "leaves out or rewrites words of a message"),
        ];
        let sentence = |(count, what): (usize, &str)| {
            format!("the chat template {what} in {count} {}", if count == 1 { "row" } else { "rows" })
        };
        kinds.into_iter().filter(|(count, _)| *count > 0).map(sentence).collect()
    }
}

/// Whether the text has the words of every user and assistant. Each is first searched behind the one before it, so that the time is that of one
/// reading.
fn has_words(messages: &[Message], text: &str) -> bool {
    let is_speech = |message: &&Message| matches!(message.role.as_str(), "user" | "assistant");
    let mut rest = text;
    messages.iter().filter(is_speech).map(|message| words(message).trim()).all(|words| {
        match rest.split_once(words) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => holds(text, words),
        }
    })
}

/// Whether the text has some words, as they are or as JSON writes them.
fn holds(text: &str, words: &str) -> bool {
    text.contains(words) || {
        let quoted = Value::from(words).to_string();
        text.contains(quoted.trim_matches('"'))
    }
}

/// Whether the first system prompt stands behind the words of a message that follows it.
fn is_moved(messages: &[Message], text: &str) -> bool {
    let [system, next, ..] = messages else { return false };
    let place = |message: &Message| match message.content.trim() {
        "" => None,
        words => text.find(words),
    };
    system.role == "system"
        && next.role != "system"
        && !next.content.contains(system.content.trim())
        && place(system).zip(place(next)).is_some_and(|(system, next)| system > next)
}

/// Returns the thoughts of an assistant's turn: a field of its own, or the beginning of its text.
fn thoughts(message: &Message) -> impl Iterator<Item = &str> {
    let of_text = message.content.split_once("</think>").map(|(thought, _)| thought);
    let of_text = of_text.map(|thought| thought.trim_start().trim_start_matches("<think>"));
    let of_text = of_text.filter(|_| message.role == "assistant");
    message.reasoning().into_iter().chain(of_text)
}

/// Returns the words of a message without the thought before them.
fn words(message: &Message) -> &str {
    message.content.rsplit("</think>").next().unwrap_or_default()
}

/// Returns the names of the functions that a turn calls.
pub(crate) fn calls(message: &Message) -> impl Iterator<Item = &str> {
    let list = message.fields.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let names = list.map(|call| call.get("function").unwrap_or(call));
    names.chain(message.fields.get("function_call")).filter_map(|call| call.get("name")?.as_str())
}
