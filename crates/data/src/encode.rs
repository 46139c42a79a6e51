//! Rows to token ids with labels: what of each row is learnt.

use std::ops::Range;

use lorelei_recipe::{DataSection, TruncationSide};

use crate::chat::{Conversation, Rendered};
use crate::error::{DataError, DataErrorKind};
use crate::labels::Labels;
use crate::rows::Row;
use crate::tokenizer::Tokenizer;

/// The label of a token that is not learnt.
pub const IGNORE_INDEX: i64 = -100;

/// Special tokens that a tokenizer puts around a text, at most.
const MOST_AROUND: usize = 8;

/// Token ids and a label for each: the id itself where it is learnt, -100 where not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// As many labels, not shifted.
    pub labels: Vec<i64>,
    /// Of a pair of texts, as many numbers that say which of the two a token is of, where the tokenizer tells (BERT's does); else empty.
    pub token_type_ids: Vec<u32>,
    /// Of a text with a number, that; of one with several classes, 1 or 0 for each class; else empty.
    pub values: Vec<f32>,
}

impl Example {
    /// Labels that count in the loss: those after the first (nothing predicts that one) that are not -100.
    pub fn num_targets(&self) -> usize {
        self.labels.iter().skip(1).filter(|&&label| label != IGNORE_INDEX).count()
    }

    /// Keeps `max_length` tokens: the first, or the last.
    pub(crate) fn truncate(&mut self, max_length: usize, side: TruncationSide) {
        if side == TruncationSide::Left {
            let surplus = self.input_ids.len().saturating_sub(max_length);
            self.input_ids.drain(..surplus);
            self.labels.drain(..surplus);
            self.token_type_ids.drain(..surplus.min(self.token_type_ids.len()));
        }
        self.input_ids.truncate(max_length);
        self.labels.truncate(max_length);
        self.token_type_ids.truncate(max_length);
    }

    /// All tokens from `start` on are learnt.
    pub(crate) fn learnt_from(input_ids: Vec<u32>, start: usize) -> Self {
        let label = |(at, &id): (usize, &u32)| if at < start { IGNORE_INDEX } else { i64::from(id) };
        let labels = input_ids.iter().enumerate().map(label).collect();
        Self { input_ids, labels, ..Self::default() }
    }
}

/// An example that fits a row.
pub(crate) struct Fitted {
    pub(crate) example: Example,
    /// Whether something was cut off.
    pub(crate) was_cut: bool,
    /// Labels that counted before.
    pub(crate) num_targets: usize,
}

/// Encodes rows with one tokenizer.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'t> {
    pub(crate) tokenizer: &'t Tokenizer,
    pub(crate) max_length: usize,
    pub(crate) truncation_side: TruncationSide,
    assistant_only_loss: bool,
    completion_only_loss: bool,
    vocab_size: usize,
    labels: Option<&'t Labels>,
}

impl<'t> Encoder<'t> {
    /// An encoder that cuts examples on the right after `max_length` tokens.
    pub fn new(tokenizer: &'t Tokenizer, max_length: usize) -> Self {
        Self::of_section(tokenizer, &DataSection { max_length, ..DataSection::default() })
    }

    /// An encoder that cuts examples and masks labels as a recipe says.
    pub fn of_section(tokenizer: &'t Tokenizer, section: &DataSection) -> Self {
        Self {
            tokenizer,
            max_length: section.max_length,
            truncation_side: section.truncation_side,
            assistant_only_loss: section.assistant_only_loss,
            completion_only_loss: section.completion_only_loss,
            vocab_size: tokenizer.vocab_size(),
            labels: None,
        }
    }

    /// Checks ids against a model's embedding of `vocab_size` rows, which may be more than the tokenizer has tokens.
    pub fn with_vocab_size(self, vocab_size: usize) -> Self {
        Self { vocab_size, ..self }
    }

    /// With labels, encodes for a classifier: what is learnt is the label of a row.
    pub fn with_labels(self, labels: impl Into<Option<&'t Labels>>) -> Self {
        Self { labels: labels.into(), ..self }
    }

    /// Whether it encodes for a classifier.
    pub(crate) fn classifies(&self) -> bool {
        self.labels.is_some()
    }

    /// Tokens and labels of `row`:
    ///
    /// - text, with a label or without: with the special tokens that the tokenizer adds and an end token; everything is learnt.
    ///   A second text is on the next line.
    /// - prompt and completion: tokenised as one text where that leaves the prompt's tokens as they are, else
    ///   separately and joined; the completion and an end token are learnt, or all with `completion_only_loss = false`.
    /// - a conversation: rendered by the chat template; learnt is what `{% generation %}` marks where the template has it, else
    ///   what comes after the generation prompt of each assistant turn up to the end of that turn, its end token
    ///   included; all with `assistant_only_loss = false`. Of one whose first turns are a prompt, all that comes after
    ///   them is learnt (`completion_only_loss`).
    /// - tokens: as they are.
    ///
    /// A token id or label outside the vocabulary and a row without tokens are errors. Whether anything is left to
    /// learn is for the caller to see ([`Example::num_targets`]).
    pub fn encode(&self, row: &Row) -> Result<Example, DataError> {
        Ok(self.fit(row)?.example)
    }

    /// As [`Self::encode`], and what became of the row.
    pub(crate) fn fit(&self, row: &Row) -> Result<Fitted, DataError> {
        if let Some(labels) = self.labels {
            return labels.encode(row, self.tokenizer, self.max_length, self.truncation_side);
        }
        let mut example = self.encode_whole(row)?;
        let num_targets = example.num_targets();
        let was_cut = example.input_ids.len() > self.max_length;
        example.truncate(self.max_length, self.truncation_side);
        Ok(Fitted { example, was_cut, num_targets })
    }

    fn encode_whole(&self, row: &Row) -> Result<Example, DataError> {
        let example = match row {
            Row::Text(text) | Row::Stream { text, .. } | Row::Labelled { text, text_pair: None, .. } => {
                self.text(text)?
            }
            Row::Labelled { text, text_pair: Some(pair), .. } => self.text(&format!("{text}\n{pair}"))?,
            Row::PromptCompletion { prompt, completion } => self.prompt_completion(prompt, completion)?,
            Row::Conversation(conversation) => self.conversation(conversation)?,
            Row::Tokens { input_ids, labels } => {
                Example { input_ids: input_ids.clone(), labels: labels.clone(), ..Example::default() }
            }
            Row::Words { words, .. } => self.text(&words.join(" "))?,
        };
        if example.input_ids.is_empty() {
            return Err(empty());
        }
        self.check_vocabulary(&example)?;
        Ok(example)
    }

    fn check_vocabulary(&self, example: &Example) -> Result<(), DataError> {
        let size = self.vocab_size;
        let refuse = |what: &str, at: usize, value: i64| {
            DataError::new(
                DataErrorKind::BadRow,
                format!("{what} {value} (token {at}) is outside the vocabulary of {size} tokens"),
                "tokenise the file with this model's tokenizer",
            )
        };
        if let Some((at, &id)) = example.input_ids.iter().enumerate().find(|(_, id)| **id as usize >= size) {
            return Err(refuse("token id", at, i64::from(id)));
        }
        let out = |label: i64| label != IGNORE_INDEX && !(0..size as i64).contains(&label);
        match example.labels.iter().enumerate().find(|(_, label)| out(**label)) {
            Some((at, &label)) => Err(refuse("label", at, label)),
            None => Ok(()),
        }
    }

    fn append_eos(&self, ids: &mut Vec<u32>) {
        if let Some(eos) = self.tokenizer.eos_id().filter(|eos| ids.last() != Some(eos)) {
            ids.push(eos);
        }
    }

    fn text(&self, text: &str) -> Result<Example, DataError> {
        let mut ids = self.tokenizer.encode(text, true)?;
        // What stands around a text is no text.
        if ids.len() <= MOST_AROUND && self.tokenizer.encode(text, false)?.is_empty() {
            return Err(empty());
        }
        self.append_eos(&mut ids);
        Ok(Example::learnt_from(ids, 0))
    }

    fn prompt_completion(&self, prompt: &str, completion: &str) -> Result<Example, DataError> {
        if prompt.is_empty() && completion.is_empty() {
            return Err(empty());
        }
        let mut prompt_ids = self.tokenizer.encode(prompt, true)?;
        let eos = self.tokenizer.eos_id();
        // A tokenizer that ends each text would end the prompt too.
        let ends_itself = self.tokenizer.eos_token().is_some_and(|token| prompt.ends_with(token));
        if eos.is_some() && prompt_ids.last().copied() == eos && !ends_itself {
            prompt_ids.pop();
        }
        let mut ids = self.tokenizer.encode(&format!("{prompt}{completion}"), true)?;
        if !ids.starts_with(&prompt_ids) {
            ids.clone_from(&prompt_ids);
            ids.extend(self.tokenizer.encode(completion, false)?);
        }
        // An empty completion teaches to stop, even after a prompt that ends in the end token.
        if ids.len() == prompt_ids.len() {
            ids.extend(eos);
        }
        self.append_eos(&mut ids);
        Ok(Example::learnt_from(ids, if self.completion_only_loss { prompt_ids.len() } else { 0 }))
    }

    fn conversation(&self, conversation: &Conversation) -> Result<Example, DataError> {
        let rendered = self.tokenizer.render(conversation, conversation.messages.len(), false)?;
        let learnt = self.learnt_spans(conversation, &rendered)?;
        let (ids, offsets) = self.tokenizer.encode_with_offsets(&rendered.text)?;
        let mut labels = Vec::with_capacity(ids.len());
        let mut done = 0;
        for (&id, offset) in ids.iter().zip(&offsets) {
            // A token of only spaces may come with an empty range; it stands for what lies before it.
            let range = if offset.is_empty() { done.min(offset.start)..offset.end } else { offset.clone() };
            done = done.max(offset.end);
            labels.push(if learnt.iter().any(|span| overlap(span, &range)) {
                i64::from(id)
            } else {
                IGNORE_INDEX
            });
        }
        Ok(Example { input_ids: ids, labels, ..Example::default() })
    }

    /// Bytes of the rendered text that are learnt.
    fn learnt_spans(
        &self,
        conversation: &Conversation,
        rendered: &Rendered,
    ) -> Result<Vec<Range<usize>>, DataError> {
        let all = rendered.text.len();
        match conversation.given {
            0 if !self.assistant_only_loss => Ok(std::iter::once(0..all).collect()),
            0 => match &rendered.generated {
                Some(generated) => Ok(generated.clone()),
                None => self.assistant_spans(conversation, &rendered.text),
            },
            _ if !self.completion_only_loss => Ok(std::iter::once(0..all).collect()),
            given => {
                // Where the prompt ends in the assistant's own words, those are gone on with.
                let last = conversation.messages.get(given - 1);
                let goes_on = last.is_some_and(|message| message.role == "assistant");
                let prompt = self.tokenizer.render(conversation, given, !goes_on)?.text;
                if !rendered.text.starts_with(&prompt) {
                    return Err(hidden("the completion", "the prompt"));
                }
                Ok(std::iter::once(prompt.len()..all).collect())
            }
        }
    }

    /// Bytes of `text`, the whole rendering, that the assistant is to write.
    fn assistant_spans(
        &self,
        conversation: &Conversation,
        text: &str,
    ) -> Result<Vec<Range<usize>>, DataError> {
        let mut spans = Vec::new();
        for (index, message) in conversation.messages.iter().enumerate() {
            if message.role != "assistant" {
                continue;
            }
            let render = |turns, prompt| Ok(self.tokenizer.render(conversation, turns, prompt)?.text);
            let prompt: String = render(index, true)?;
            let through = if index + 1 == conversation.messages.len() {
                text.to_owned()
            } else {
                render(index + 1, false)?
            };
            let span = span(text, &prompt, &through, &message.content);
            spans.push(span.ok_or_else(|| hidden(&format!("messages[{index}]"), "its generation prompt"))?);
        }
        Ok(spans)
    }
}

fn hidden(what: &str, after: &str) -> DataError {
    DataError::new(
        DataErrorKind::Template,
        format!(
            "the chat template writes {what} otherwise in the whole conversation than as the last turn after {after}, \
             so the assistant's words cannot be told from the rest"
        ),
        "use a template with {% generation %} or one that renders turn by turn, or rows with prompt and completion",
    )
}

/// Where a turn stands in `text`, given the rendering up to its generation prompt and the one that ends with it.
fn span(text: &str, prompt: &str, through: &str, content: &str) -> Option<Range<usize>> {
    let turn = through.strip_prefix(prompt)?;
    let rest = text.strip_prefix(prompt)?;
    if rest.starts_with(turn) {
        return Some(prompt.len()..through.len());
    }
    // Templates that write more in the last turn, a thought before its words: what is left of it here is its end.
    let contents = [content, content.trim()].into_iter().filter(|content| !content.is_empty());
    let tail = match content.is_empty() {
        // Only a call of a tool.
        true => 0,
        false => {
            contents.clone().find_map(|content| Some(turn.len() - turn.rfind(content)? - content.len()))?
        }
    };
    let end = turn.char_indices().map(|(at, _)| &turn[at..]).find(|end| rest.starts_with(end));
    if let Some(end) = end.filter(|end| end.len() > tail) {
        return Some(prompt.len()..prompt.len() + end.len());
    }
    // Or write it elsewhere: the words, and what follows them.
    contents.into_iter().find_map(|content| {
        let after = turn.rfind(content)? + content.len();
        let tail = &turn[after..];
        let found = rest.find(&format!("{content}{tail}"))?;
        Some(prompt.len()..prompt.len() + found + content.len() + tail.len())
    })
}

fn overlap(span: &Range<usize>, token: &Range<usize>) -> bool {
    token.start < span.end && (token.end > span.start || (token.is_empty() && token.start >= span.start))
}

fn empty() -> DataError {
    DataError::new(DataErrorKind::EmptyRow, "the row has no tokens", "fill it or delete the line")
}
