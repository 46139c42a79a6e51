//! Finds what is learnt in a rendered conversation: the text that the assistant is to write after the template's generation prompt.
//!
//! Where the template writes the turns one after the other ([`Rendered::turns`]), an assistant's turn is learnt from the end of the generation
//! prompt to the end of the turn. That takes one rendering of the conversation, and one of its beginning for each role that precedes an assistant.
//! Else a turn is what a rendering up to it adds to one of the messages before it, which takes two renderings a turn.

use std::{collections::HashSet, ops::Range};

use lorelei_recipe::message;

use crate::chat::{Conversation, Message, Rendered};
use crate::error::{DataError, DataErrorKind};
use crate::tokenizer::Tokenizer;

/// Maximum number of turns of a conversation that are found by renderings up to them. Their cost grows with its square.
const MAX_RENDERED_TURNS: usize = 256;

/// Maximum number of messages in all those renderings.
const MAX_RENDERED_MESSAGES: usize = 1 << 18;

/// Maximum number of generation prompts that are rendered for a conversation: one for each role before an assistant's turn.
const MAX_PROMPTS: usize = 8;

/// Text of the turn that shows how a template begins one. No template writes it by itself.
const PROBE: &str = "\u{FDDF}";

/// Finder of the learnt bytes of one conversation.
pub(crate) struct AssistantSpans<'c> {
    tokenizer: &'c Tokenizer,
    conversation: &'c Conversation,
    rendered: &'c Rendered,
    /// The generation prompt after each role that was asked for; `None` where the template refuses to write one.
    prompts: Vec<(&'c str, Option<String>)>,
    /// The length of what the template writes of that prompt at the beginning of a turn, for each role before it that was asked for.
    headers: Vec<(&'c str, Option<usize>)>,
    /// Number of turns that were found by rendering up to them.
    rendered_turns: usize,
    /// Number of messages in those renderings.
    rendered_messages: usize,
    /// Byte at which the last turn of the text begins.
    last_start: Option<usize>,
}

impl<'c> AssistantSpans<'c> {
    pub(crate) fn new(
        tokenizer: &'c Tokenizer,
        conversation: &'c Conversation,
        rendered: &'c Rendered,
    ) -> Self {
        let last_start = rendered.turns.iter().flatten().map(|turn| turn.start).max();
        Self {
            tokenizer,
            conversation,
            rendered,
            prompts: Vec::new(),
            headers: Vec::new(),
            rendered_turns: 0,
            rendered_messages: 0,
            last_start,
        }
    }

    /// Returns the bytes of the assistant's turns, without those that are masked.
    ///
    /// # Errors
    ///
    /// If the template does not show where a turn begins or ends.
    pub(crate) fn of_assistant(mut self) -> Result<Vec<Range<usize>>, DataError> {
        let messages = self.conversation.messages.iter().enumerate();
        let is_learnt = |(_, message): &(usize, &Message)| message.role == "assistant" && !message.masked;
        messages.filter(is_learnt).map(|(index, _)| self.turn(index)).collect()
    }

    /// Returns the bytes that `{% generation %}` marks, without those of masked turns.
    ///
    /// # Errors
    ///
    /// If a turn is masked and the template does not show which text is its.
    pub(crate) fn generated(self, generated: &[Range<usize>]) -> Result<Vec<Range<usize>>, DataError> {
        self.without_masked(generated.to_vec())
    }

    /// Returns all bytes from `start` on, without those of masked turns.
    ///
    /// # Errors
    ///
    /// If a turn is masked and the template does not show which text is its.
    pub(crate) fn all_from(self, start: usize) -> Result<Vec<Range<usize>>, DataError> {
        let end = self.rendered.text.len();
        self.without_masked(std::iter::once(start..end).collect())
    }

    /// Returns the bytes after the first messages, which are a prompt.
    ///
    /// # Errors
    ///
    /// If the template does not show where the prompt ends.
    pub(crate) fn after_prompt(mut self) -> Result<Vec<Range<usize>>, DataError> {
        let given = self.conversation.given;
        // A prompt that ends in the assistant's own words is continued without a new turn.
        let goes_on = given > 0 && self.is_assistant(given - 1);
        let prompt = self.tokenizer.render(self.conversation, given, !goes_on);
        let start = match prompt {
            Ok(prompt) if self.rendered.text.starts_with(&prompt) => prompt.len(),
            rendered => {
                let turn = self.rendered.turns.get(given).cloned().flatten();
                let start = match turn {
                    Some(turn) if self.is_assistant(given) && !goes_on => self.begin(given, &turn),
                    Some(turn) => Some(turn.start),
                    None => None,
                };
                // A template that refuses the prompt says why.
                start.ok_or_else(|| {
                    rendered.err().unwrap_or_else(|| self.hidden(message!("the completion"), given))
                })?
            }
        };
        self.all_from(start)
    }

    fn is_assistant(&self, index: usize) -> bool {
        self.conversation.messages.get(index).is_some_and(|message| message.role == "assistant")
    }

    /// Removes the turns that are masked.
    fn without_masked(&self, spans: Vec<Range<usize>>) -> Result<Vec<Range<usize>>, DataError> {
        let mut masked: Vec<Range<usize>> = Vec::new();
        for (index, message) in self.conversation.messages.iter().enumerate() {
            if !message.masked || index < self.conversation.given {
                continue;
            }
            let turn = self.rendered.turns.get(index).cloned().flatten();
            // A turn without text teaches nothing.
            let Some(turn) = turn.map(|turn| self.extended(turn)) else {
                if message.content.is_empty() || !self.rendered.text.contains(message.content.trim()) {
                    continue;
                }
                return Err(
                    self.hidden(message!("messages[{index}], which is not to be learnt,", index), index)
                );
            };
            masked.push(turn);
        }
        masked.sort_by_key(|turn| turn.start);
        Ok(spans.into_iter().flat_map(|span| outside(span, &masked)).collect())
    }

    /// Returns a turn with the end token that the template writes behind the last one.
    fn extended(&self, turn: Range<usize>) -> Range<usize> {
        let is_last = self.last_start.is_none_or(|start| start < turn.end);
        let is_end = || {
            let rest = self.rendered.text[turn.end..].trim();
            rest.is_empty() || self.tokenizer.is_special(rest)
        };
        turn.start..if is_last && is_end() { self.rendered.text.len() } else { turn.end }
    }

    /// Returns the bytes that are learnt of an assistant's turn.
    fn turn(&mut self, index: usize) -> Result<Range<usize>, DataError> {
        let Some(turn) = self.rendered.turns[index].clone() else { return self.rendered_turn(index) };
        // A template may write what a tool answers into the turn that calls it.
        if let Some(answer) = self.conversation.messages.get(index + 1)
            && answer.role != "assistant"
            && !answer.content.trim().is_empty()
            && self.rendered.turns[index + 1].is_none()
        {
            let found = self.rendered_turn(index);
            if found.is_ok() || shares_a_word(&self.rendered.text[turn.clone()], &answer.content) {
                return found;
            }
        }
        let turn = self.extended(turn);
        match self.begin(index, &turn) {
            Some(begin) => Ok(begin..turn.end),
            None => Err(self.hidden(format!("messages[{index}]").into(), index)),
        }
    }

    /// Returns the byte at which the assistant begins to write in its turn. That is where the turn leaves the generation prompt: the template may open
    /// a thought in the prompt, and write the turn without one.
    fn begin(&mut self, index: usize, turn: &Range<usize>) -> Option<usize> {
        let text = &self.rendered.text[turn.clone()];
        let prompt = self.prompt(index)?;
        let content = content_at(text, &self.conversation.messages[index]);
        let is_header = |end: usize| content.is_none_or(|content| end <= content);
        // A template may write a default system prompt before the first turn, whoever has it.
        if let Some(at) = text.find(&prompt)
            && (at == 0 || (index == 0 && is_header(at + prompt.len())))
        {
            return Some(turn.start + at + prompt.len());
        }
        let shared = self.whole_tokens(&prompt, common_prefix(&prompt, text));
        let shared = match content {
            Some(content) => shared.min(content),
            None => shared.min(self.header(index, &prompt)?),
        };
        Some(turn.start + shared)
    }

    /// Returns the generation prompt before a turn.
    fn prompt(&mut self, index: usize) -> Option<String> {
        let messages = &self.conversation.messages;
        // Before the first turn, that of a later one is taken: templates seldom render a conversation without messages.
        let index = match index {
            0 => (1..messages.len()).find(|at| messages[*at].role == "assistant").unwrap_or(0),
            index => index,
        };
        let role = index.checked_sub(1).map_or("", |before| messages[before].role.as_str());
        if let Some((_, prompt)) = self.prompts.iter().find(|(known, _)| *known == role) {
            return prompt.clone();
        }
        if self.prompts.len() >= MAX_PROMPTS {
            return None;
        }
        let prompt = self.rendered_prompt(index);
        self.prompts.push((role, prompt.clone()));
        prompt
    }

    fn rendered_prompt(&self, index: usize) -> Option<String> {
        let turns = if index == 0 { self.conversation.messages.len() } else { index };
        let with = self.tokenizer.render(self.conversation, turns, true).ok()?;
        // The prompt follows what precedes the turn; of a template that moves text about, what precedes it in a conversation that ends there.
        let before = match index {
            0 => Some(self.rendered.text.len()),
            index => self.rendered.turns[index].as_ref().map(|turn| turn.start),
        };
        if let Some(prompt) = before.and_then(|before| with.strip_prefix(&self.rendered.text[..before])) {
            return Some(prompt.to_owned());
        }
        let without = self.tokenizer.render(self.conversation, turns, false).ok()?;
        let shared = common_prefix(&without, &with);
        let shared = self.whole_tokens(&without, shared).min(self.whole_tokens(&with, shared));
        Some(with[shared..].to_owned())
    }

    /// Returns the length of the part of `prompt` with which the template begins a turn, whatever the turn says.
    fn header(&mut self, index: usize, prompt: &str) -> Option<usize> {
        let role = index.checked_sub(1).map_or("", |before| self.conversation.messages[before].role.as_str());
        if let Some((_, header)) = self.headers.iter().find(|(known, _)| *known == role) {
            return *header;
        }
        let header = self.rendered_header(index, prompt);
        self.headers.push((role, header));
        header
    }

    fn rendered_header(&self, index: usize, prompt: &str) -> Option<usize> {
        let mut messages: Vec<Message> = self.conversation.messages.iter().take(index).cloned().collect();
        messages.push(Message::new("assistant", PROBE));
        let probe = Conversation { messages, ..self.conversation.clone() };
        let rendered = self.tokenizer.render_marked(&probe).ok()?;
        let turn = rendered.turns.last().cloned().flatten()?;
        let text = &rendered.text[turn];
        Some(self.whole_tokens(prompt, common_prefix(prompt, text)))
    }

    /// Moves `end` in `text` to the beginning of a special token, or of anything in angle brackets, that it would cut.
    fn whole_tokens(&self, text: &str, end: usize) -> usize {
        let end = self.tokenizer.special_token_at(text, end).unwrap_or(end);
        let open = text[..end].rfind('<').filter(|open| !text[*open..end].contains('>'));
        open.filter(|_| text[end..].contains('>')).unwrap_or(end)
    }

    /// Returns the bytes of an assistant's turn by what a rendering up to it adds to one of the messages before it.
    fn rendered_turn(&mut self, index: usize) -> Result<Range<usize>, DataError> {
        self.rendered_turns += 1;
        self.rendered_messages += 2 * index + 1;
        if self.rendered_turns > MAX_RENDERED_TURNS || self.rendered_messages > MAX_RENDERED_MESSAGES {
            return Err(self.hidden(format!("messages[{index}]").into(), index));
        }
        let (messages, text) = (&self.conversation.messages, &self.rendered.text);
        let render = |turns, prompt| self.tokenizer.render(self.conversation, turns, prompt).ok();
        let prompt = render(index, true);
        let through = match index + 1 == messages.len() {
            true => Some(text.clone()),
            false => render(index + 1, false),
        };
        let renderings = prompt.zip(through);
        let span =
            renderings.and_then(|(prompt, through)| span(text, &prompt, &through, &messages[index].content));
        span.ok_or_else(|| self.hidden(format!("messages[{index}]").into(), index))
    }

    fn hidden(&self, what: lorelei_recipe::Message, index: usize) -> DataError {
        let setting = match self.conversation.given {
            0 => "assistant_only_loss",
            _ => "completion_only_loss",
        };
        let first = self.conversation.messages.first();
        let lost = first.is_some_and(|first| {
            first.role == "system" && index > 0 && !self.rendered.text.contains(first.content.trim())
        });
        let lost =
            if lost { message!("loses the system prompt and ") } else { lorelei_recipe::Message::default() };
        DataError::new(
            DataErrorKind::Template,
            message!(
                "the chat template {lost}writes {what} in a way that does not show where the turn begins and ends, so that the \
                 assistant's words cannot be told from the rest",
                lost,
                what
            ),
            message!(
                "set data.{setting} = false to learn whole conversations, use a template with {tag} or one \
                 that writes turn by turn, or rows with prompt and completion",
                setting,
                tag = "{% generation %}"
            ),
        )
    }
}

/// Returns the parts of a span outside the turns, which are in order.
fn outside(span: Range<usize>, turns: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut parts, mut start) = (Vec::new(), span.start);
    let first = turns.partition_point(|turn| turn.end <= span.start);
    for turn in turns.iter().skip(first).take_while(|turn| turn.start < span.end) {
        if start < turn.start {
            parts.push(start..turn.start);
        }
        start = start.max(turn.end);
    }
    if start < span.end {
        parts.push(start..span.end);
    }
    parts
}

/// Returns the place of a message's words in its turn: its thought or its text, or what follows the thought that its text has.
fn content_at(turn: &str, message: &Message) -> Option<usize> {
    let find = |words: &str| match words.trim() {
        "" => None,
        words => turn.find(words),
    };
    let answer = message.content.rsplit("</think>").next().unwrap_or_default();
    let text = find(&message.content).or_else(|| find(answer));
    [message.reasoning().and_then(find), text].into_iter().flatten().min()
}

fn common_prefix(one: &str, other: &str) -> usize {
    let letters = one.chars().zip(other.chars());
    letters.take_while(|(one, other)| one == other).map(|(letter, _)| letter.len_utf8()).sum()
}

/// Whether two texts have a word in common.
fn shares_a_word(one: &str, other: &str) -> bool {
    let words =
        |text| str::split(text, |letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let known: HashSet<&str> = words(one).collect();
    words(other).any(|word| known.contains(word))
}

/// Returns the number of bytes of the longest end of `text` with which `next` begins, by the prefix function of `next` (Knuth, Morris and Pratt,
/// 1977). The time grows with the length of `text`, however often its letters repeat.
fn overlap(text: &str, next: &str) -> usize {
    let next = &next.as_bytes()[..next.len().min(text.len())];
    // For each beginning of `next`, the length of its longest proper end that is a beginning of `next`.
    let mut borders = vec![0; next.len()];
    let longer = |borders: &[usize], mut length: usize, byte: u8| {
        while length > 0 && next.get(length) != Some(&byte) {
            length = borders[length - 1];
        }
        length + usize::from(next.get(length) == Some(&byte))
    };
    for at in 1..next.len() {
        borders[at] = longer(&borders, borders[at - 1], next[at]);
    }
    text.bytes().fold(0, |length, byte| longer(&borders, length, byte))
}

/// Finds a turn in `text`. `prompt` is the rendering up to the turn's generation prompt, `through` the rendering that ends with the turn.
fn span(text: &str, prompt: &str, through: &str, content: &str) -> Option<Range<usize>> {
    let turn = through.strip_prefix(prompt)?;
    let rest = text.strip_prefix(prompt)?;
    if rest.starts_with(turn) {
        return Some(prompt.len()..through.len());
    }
    // Some templates write more in the last turn, such as a thought before its words. The rest of it that is found here is its end.
    let contents = [content, content.trim()].into_iter().filter(|content| !content.is_empty());
    let tail = match content.is_empty() {
        // The turn is only a tool call.
        true => 0,
        false => {
            contents.clone().find_map(|content| Some(turn.len() - turn.rfind(content)? - content.len()))?
        }
    };
    let overlap = overlap(turn, rest);
    if overlap > tail {
        return Some(prompt.len()..prompt.len() + overlap);
    }
    // Other templates write it elsewhere: search the words and the text after them.
    contents.into_iter().find_map(|content| {
        let after = turn.rfind(content)? + content.len();
        let tail = &turn[after..];
        let found = rest.find(&format!("{content}{tail}"))?;
        Some(prompt.len()..prompt.len() + found + content.len() + tail.len())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{AssistantSpans, overlap};
    use crate::{
        chat::{Conversation, Message},
        tokenizer::Tokenizer,
    };

    #[test]
    fn many_turns_take_no_time() {
        let json = serde_json::json!({
            "version": "1.0",
            "added_tokens": [{"id": 1, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "model": {"type": "BPE", "vocab": {"a": 0, "<|im_end|>": 1}, "merges": []},
        });
        let json = json.to_string();
        let tokenizer = Tokenizer::from_files(json.as_bytes(), None, None).unwrap();
        let words = "The river is the capital of the town. ".repeat(3);
        let turn =
            |at: usize| Message::new(if at.is_multiple_of(2) { "user" } else { "assistant" }, words.as_str());
        let conversation = Conversation::from((0..20_000).map(turn).collect::<Vec<_>>());
        let rendered = tokenizer.render_marked(&conversation).unwrap();
        let began = Instant::now();
        let spans = AssistantSpans::new(&tokenizer, &conversation, &rendered).of_assistant().unwrap();
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
        assert_eq!(spans.len(), 10_000);
    }

    #[test]
    fn the_overlap_is_the_longest_end_that_is_a_beginning() {
        let by_definition = |text: &str, next: &str| {
            let mut ends = text.char_indices().map(|(at, _)| &text[at..]);
            ends.find(|end| next.starts_with(end)).map_or(0, str::len)
        };
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("seed {seed}");
        let mut state = seed | 1;
        let mut text = || {
            let mut draw = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let letters = draw(9);
            (0..letters).map(|_| ['a', 'b', '\u{e9}', '\u{ea}'][draw(4) as usize % 4]).collect::<String>()
        };
        for _ in 0..20_000 {
            let (one, other) = (text(), text());
            assert_eq!(overlap(&one, &other), by_definition(&one, &other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_repeated_letter_takes_no_time() {
        let text = format!("{}b", "a".repeat(1_000_000));
        let next = format!("{}c", "a".repeat(1_000_000));
        let began = Instant::now();
        assert_eq!(overlap(&text, &next), 0);
        assert_eq!(overlap(&text[..1_000_000], &next), 1_000_000);
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }
}
