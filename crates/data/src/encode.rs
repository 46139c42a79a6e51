//! Converts rows to token ids with labels, and selects the learnt part of each row.

use std::ops::Range;

use lorelei_recipe::{DataSection, TruncationSide};

use crate::chat::{Conversation, Rendered};
use crate::error::{DataError, DataErrorKind};
use crate::example::{Example, IGNORE_INDEX};
use crate::labels::Labels;
use crate::rows::Row;
use crate::tokenizer::Tokenizer;

/// Maximum number of special tokens that a tokenizer puts around a text.
const MOST_AROUND: usize = 8;

/// An example that fits a row.
pub(crate) struct Fitted {
    pub(crate) example: Example,
    /// Whether something was cut off.
    pub(crate) was_cut: bool,
    /// Number of targets before the cut.
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
    /// Creates an encoder that cuts examples on the right after `max_length` tokens.
    pub fn new(tokenizer: &'t Tokenizer, max_length: usize) -> Self {
        Self::of_section(tokenizer, &DataSection { max_length, ..DataSection::default() })
    }

    /// Creates an encoder that cuts examples and masks labels as a recipe sets.
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

    /// Encodes for a classifier, which learns the label of a row.
    pub fn with_labels(self, labels: &'t Labels) -> Self {
        Self { labels: Some(labels), ..self }
    }

    /// Whether it encodes for a classifier.
    pub(crate) fn classifies(&self) -> bool {
        self.labels.is_some()
    }

    /// Encodes `row` as tokens and labels:
    ///
    /// - Text, with a label or without: the special tokens that the tokenizer adds and an end token are included. Everything is learnt. A second text
    ///   is on the next line.
    /// - Prompt and completion: both are tokenised as one text where that leaves the prompt's tokens unchanged, else separately and joined. The
    ///   completion and an end token are learnt, or everything with `completion_only_loss = false`.
    /// - Conversation: it is rendered by the chat template. The bytes that `{% generation %}` marks are learnt where the template has such blocks.
    ///   Else each assistant turn is learnt from the end of its generation prompt to the end of the turn, its end token included. Everything is
    ///   learnt with `assistant_only_loss = false`. If the first turns are a prompt, everything after them is learnt (`completion_only_loss`).
    /// - Tokens: they are taken unchanged.
    ///
    /// A token id or label outside the vocabulary and a row without tokens are errors. The caller has to check whether anything is left to learn
    /// ([`Example::num_targets`]).
    pub fn encode(&self, row: &Row) -> Result<Example, DataError> {
        Ok(self.fit(row)?.example)
    }

    /// Like [`Self::encode`], but also returns whether the row was cut.
    pub(crate) fn fit(&self, row: &Row) -> Result<Fitted, DataError> {
        if let Some(labels) = self.labels {
            let fitted = labels.encode(row, self.tokenizer, self.max_length, self.truncation_side)?;
            self.check_ids(&fitted.example)?;
            return Ok(fitted);
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
            Row::Tokens { input_ids, labels } => Example::tokens(input_ids.clone(), labels.clone()),
            Row::Words { words, .. } => self.text(&words.join(" "))?,
        };
        if example.input_ids.is_empty() {
            return Err(empty());
        }
        self.check_vocabulary(&example)?;
        Ok(example)
    }

    fn check_vocabulary(&self, example: &Example) -> Result<(), DataError> {
        self.check_ids(example)?;
        let known = 0..self.vocab_size as i64;
        let is_out = |label: i64| label != IGNORE_INDEX && !known.contains(&label);
        match example.labels().iter().enumerate().find(|(_, label)| is_out(**label)) {
            Some((at, &label)) => Err(self.outside("label", at, label)),
            None => Ok(()),
        }
    }

    /// Checks that the model has a row of its embedding for each token.
    pub(crate) fn check_ids(&self, example: &Example) -> Result<(), DataError> {
        let is_out = |(_, id): &(usize, &u32)| **id as usize >= self.vocab_size;
        match example.input_ids.iter().enumerate().find(is_out) {
            Some((at, &id)) => Err(self.outside("token id", at, i64::from(id))),
            None => Ok(()),
        }
    }

    fn outside(&self, what: &str, at: usize, value: i64) -> DataError {
        let id = u32::try_from(value).ok();
        let token =
            id.and_then(|id| self.tokenizer.decode(&[id], false).ok()).filter(|token| !token.is_empty());
        let (named, help) = match token {
            Some(token) => (
                format!(" {token:?}"),
                "the tokenizer has more tokens than the model: take a model whose embedding was resized for them, or leave \
                 the token out of the rows",
            ),
            None => (String::new(), "tokenise the file with this model's tokenizer"),
        };
        DataError::new(
            DataErrorKind::BadRow,
            format!(
                "{what} {value}{named} (token {at}) is outside the vocabulary of {} tokens",
                self.vocab_size
            ),
            help,
        )
    }

    fn append_eos(&self, ids: &mut Vec<u32>) {
        if let Some(eos) = self.tokenizer.eos_id().filter(|eos| ids.last() != Some(eos)) {
            ids.push(eos);
        }
    }

    fn text(&self, text: &str) -> Result<Example, DataError> {
        let mut ids = self.tokenizer.encode(text, true)?;
        // Special tokens around a text are no text.
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
        // An empty completion teaches the model to stop, even after a prompt that ends in the end token.
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
            // A token of only spaces may have an empty range. It stands for the bytes before it.
            let range = if offset.is_empty() { done.min(offset.start)..offset.end } else { offset.clone() };
            done = done.max(offset.end);
            labels.push(if learnt.iter().any(|span| overlap(span, &range)) {
                i64::from(id)
            } else {
                IGNORE_INDEX
            });
        }
        Ok(Example::tokens(ids, labels))
    }

    /// Returns the byte ranges of the rendered text that are learnt.
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
                // A prompt that ends in the assistant's own words is continued without a new turn.
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

    /// Returns the byte ranges of `text`, the whole rendering, that the assistant is to write.
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
    let end = turn.char_indices().map(|(at, _)| &turn[at..]).find(|end| rest.starts_with(end));
    if let Some(end) = end.filter(|end| end.len() > tail) {
        return Some(prompt.len()..prompt.len() + end.len());
    }
    // Other templates write it elsewhere: search the words and the text after them.
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
