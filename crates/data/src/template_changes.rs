//! What a chat template does to a conversation other than writing it down: it may lose a system prompt, move it, or leave out reasoning and calls.

use serde_json::Value;

use crate::chat::{Conversation, Message};

/// Numbers of rows in which the chat template changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TemplateChanges {
    /// Rows whose system prompt is not in the text.
    pub system_lost: usize,
    /// Rows whose system prompt stands behind a message that it precedes.
    pub system_moved: usize,
    /// Rows of which a message's reasoning is not in the text.
    pub reasoning_dropped: usize,
    /// Rows of which a tool call is not in the text.
    pub calls_dropped: usize,
    /// Rows of which the words of a user or an assistant are not in the text.
    pub words_dropped: usize,
}

impl TemplateChanges {
    /// Compares a conversation with its rendering.
    pub(crate) fn of(conversation: &Conversation, text: &str) -> Self {
        let messages = &conversation.messages;
        let of_role = |roles: [&'static str; 2]| {
            messages.iter().filter(move |message| roles.contains(&message.role.as_str()))
        };
        let system = of_role(["system", "developer"]).map(|message| message.content.as_str());
        let speech = of_role(["user", "assistant"]).map(answer);
        Self {
            system_lost: usize::from(!has_all(text, system)),
            system_moved: usize::from(is_moved(messages, text)),
            reasoning_dropped: usize::from(!has_all(text, messages.iter().flat_map(reasoning))),
            calls_dropped: usize::from(!has_all(
                behind_question(messages, text),
                messages.iter().flat_map(calls),
            )),
            words_dropped: usize::from(!has_all(text, speech)),
        }
    }

    /// Adds the numbers of other rows.
    pub(crate) fn add(&mut self, other: &Self) {
        self.system_lost += other.system_lost;
        self.system_moved += other.system_moved;
        self.reasoning_dropped += other.reasoning_dropped;
        self.calls_dropped += other.calls_dropped;
        self.words_dropped += other.words_dropped;
    }

    /// Returns a sentence for each kind of change that there is.
    pub fn sentences(&self) -> Vec<String> {
        let kinds = [
            (self.system_lost, "loses the system prompt"),
            (self.system_moved, "moves the system prompt behind a later message"),
            (self.reasoning_dropped, "leaves out reasoning"),
            (self.calls_dropped, "leaves out a tool call"),
            (self.words_dropped, "leaves out or rewrites words of a message"),
        ];
        let sentence = |(count, what): (usize, &str)| {
            format!("the chat template {what} in {count} {}", if count == 1 { "row" } else { "rows" })
        };
        kinds.into_iter().filter(|(count, _)| *count > 0).map(sentence).collect()
    }
}

/// Maximum number of words of a conversation that are searched in the whole text because they do not follow the words before them. More are taken
/// to be there.
const MAX_SEARCHES: usize = 256;

/// Whether the text has all these words, as they are or as JSON writes them. Each is first searched behind the one before it, and as that one was
/// written, so that the time is that of one reading.
fn has_all<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> bool {
    let (mut rest, mut is_quoted, mut searches) = (text, false, 0);
    words.map(str::trim).filter(|words| !words.is_empty()).all(|words| {
        let json = Value::from(words).to_string();
        let quoted = json.trim_matches('"');
        let (expected, other) = if is_quoted { (quoted, words) } else { (words, quoted) };
        if let Some((_, after)) = rest.split_once(expected) {
            rest = after;
            return true;
        }
        searches += 1;
        if searches > MAX_SEARCHES {
            return true;
        }
        if let Some((_, after)) = rest.split_once(other) {
            (rest, is_quoted) = (after, !is_quoted);
            return true;
        }
        text.contains(words) || text.contains(quoted)
    })
}

/// Returns the text behind the first message of a user: before it, templates list the tools, and with them the names of all that may be called.
fn behind_question<'t>(messages: &[Message], text: &'t str) -> &'t str {
    let question =
        messages.iter().find(|message| message.role == "user").map(|message| message.content.trim());
    let words = question.filter(|words| !words.is_empty());
    words.and_then(|words| text.split_once(words)).map_or(text, |(_, behind)| behind)
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

/// Returns the reasoning of an assistant's turn: a field of its own, or the beginning of its text.
fn reasoning(message: &Message) -> impl Iterator<Item = &str> {
    let of_text = message.content.split_once("</think>").map(|(reasoning, _)| reasoning);
    let of_text = of_text.map(|reasoning| reasoning.trim_start().trim_start_matches("<think>"));
    let of_text = of_text.filter(|_| message.role == "assistant");
    message.reasoning().into_iter().chain(of_text)
}

/// Returns the words of a message without the reasoning before them.
fn answer(message: &Message) -> &str {
    message.content.rsplit("</think>").next().unwrap_or_default()
}

/// Returns the names of the functions that a turn calls.
pub(crate) fn calls(message: &Message) -> impl Iterator<Item = &str> {
    let list = message.fields.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let names = list.map(|call| call.get("function").unwrap_or(call));
    names.chain(message.fields.get("function_call")).filter_map(|call| call.get("name")?.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;

    use super::{TemplateChanges, has_all};
    use crate::chat::{Conversation, Message};

    #[test]
    fn a_call_is_not_there_because_its_tool_is_listed() {
        let mut call = Message::new("assistant", "");
        call.fields.insert(
            "tool_calls".into(),
            serde_json::json!([{ "function": { "name": "weather", "arguments": {} } }]),
        );
        let conversation = Conversation::from(vec![Message::new("user", "Is it raining?"), call]);
        for (text, dropped) in [
            ("TOOLS weather USER Is it raining? BOT ", 1),
            ("TOOLS weather USER Is it raining? BOT weather()", 0),
        ] {
            assert_eq!(TemplateChanges::of(&conversation, text).calls_dropped, dropped, "{text}");
        }
    }

    #[test]
    fn all_words_are_found_wherever_they_stand() {
        let text = "one \\\"two\\\" three\nfour";
        for words in [vec!["one", "\"two\"", "three\nfour"], vec!["four", " ", "\"two\"", "one", "one"]] {
            assert!(has_all(text, words.iter().copied()), "{words:?}");
            assert!(!has_all(text, words.iter().copied().chain(["five"])));
            assert!(!has_all(text, ["five"].into_iter().chain(words)));
        }
    }

    #[test]
    fn thousands_of_words_are_found_in_no_time() {
        let words: Vec<String> = (0..20_000).map(|at| format!("{at:05}\n{}", "river ".repeat(20))).collect();
        let written = |texts: &[String]| texts.join(" / ");
        let quoted: Vec<String> = words.iter().map(|words| Value::from(words.trim()).to_string()).collect();
        let reversed: Vec<String> = words.iter().rev().cloned().collect();
        for text in [written(&words), written(&quoted), written(&reversed)] {
            let began = Instant::now();
            assert!(has_all(&text, words.iter().map(String::as_str)));
            assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        }
    }
}
