//! Converts rows to token ids with labels, and selects the learnt part of each row.

use std::ops::Range;

use lorelei_recipe::{DataSection, Message, TruncationSide, message};

use crate::assistant_spans::AssistantSpans;
use crate::chat::{Conversation, Rendered};
use crate::error::{DataError, DataErrorKind};
use crate::example::{Example, IGNORE_INDEX};
use crate::labels::Labels;
use crate::rows::Row;
use crate::template_changes::TemplateChanges;
use crate::tokenizer::{Tokenizer, check_size};

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

/// A row's example, and what is to be said of it.
pub(crate) struct EncodedRow {
    pub(crate) fitted: Fitted,
    /// Whether the row is text that is learnt up to its last token, or a turn's, and no end token is learnt there.
    pub(crate) lacks_end: bool,
    /// Changes that the chat template made to the row's conversation.
    pub(crate) changes: TemplateChanges,
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
    ///   Turns with `weight = 0` or `train = false` are never learnt.
    /// - Tokens: they are taken unchanged.
    ///
    /// A token id or label outside the vocabulary and a row without tokens are errors. The caller has to check whether anything is left to learn
    /// ([`Example::num_targets`]).
    pub fn encode(&self, row: &Row) -> Result<Example, DataError> {
        Ok(self.fit(row)?.fitted.example)
    }

    /// Like [`Self::encode`], but also returns whether the row was cut.
    pub(crate) fn fit(&self, row: &Row) -> Result<EncodedRow, DataError> {
        if let Row::Words { .. } = row {
            check_size(row.size(), self.max_length)?;
        }
        if let Some(labels) = self.labels {
            let fitted = labels.encode(row, self.tokenizer, self.max_length, self.truncation_side)?;
            self.check_ids(&fitted.example)?;
            return Ok(EncodedRow { fitted, lacks_end: false, changes: TemplateChanges::default() });
        }
        let (mut example, changes) = self.encode_whole(row)?;
        let num_targets = example.num_targets();
        let was_cut = example.input_ids.len() > self.max_length;
        example.truncate(self.max_length, self.truncation_side);
        let lacks_end = self.lacks_end(&example);
        Ok(EncodedRow { fitted: Fitted { example, was_cut, num_targets }, lacks_end, changes })
    }

    /// Whether the last stretch that is learnt has no token that ends an answer.
    fn lacks_end(&self, example: &Example) -> bool {
        let ends = self.tokenizer.stop_ids();
        let labels = example.labels().iter().rev();
        let mut stretch = labels
            .skip_while(|label| **label == IGNORE_INDEX)
            .take_while(|label| **label != IGNORE_INDEX)
            .peekable();
        stretch.peek().is_some() && !stretch.any(|label| ends.iter().any(|end| i64::from(*end) == *label))
    }

    fn encode_whole(&self, row: &Row) -> Result<(Example, TemplateChanges), DataError> {
        let mut changes = TemplateChanges::default();
        let example = match row {
            Row::Text(text) | Row::Stream { text, .. } | Row::Labelled { text, text_pair: None, .. } => {
                self.text(text)?
            }
            Row::Labelled { text, text_pair: Some(pair), .. } => self.text(&format!("{text}\n{pair}"))?,
            Row::PromptCompletion { prompt, completion } => self.prompt_completion(prompt, completion)?,
            Row::Conversation(conversation) => {
                let rendered = self.tokenizer.render_marked(conversation)?;
                changes = TemplateChanges::of(conversation, &rendered.text);
                self.conversation(conversation, &rendered)?
            }
            Row::Tokens { input_ids, labels } => Example::tokens(input_ids.clone(), labels.clone()),
            Row::Words { words, .. } => self.text(&words.join(" "))?,
        };
        if example.input_ids.is_empty() {
            return Err(empty());
        }
        self.check_vocabulary(&example)?;
        Ok((example, changes))
    }

    fn check_vocabulary(&self, example: &Example) -> Result<(), DataError> {
        self.check_ids(example)?;
        let known = 0..self.vocab_size as i64;
        let is_out = |label: i64| label != IGNORE_INDEX && !known.contains(&label);
        match example.labels().iter().enumerate().find(|(_, label)| is_out(**label)) {
            Some((at, &label)) => Err(self.outside(message!("label"), at, label)),
            None => Ok(()),
        }
    }

    /// Checks that the model has a row of its embedding for each token.
    pub(crate) fn check_ids(&self, example: &Example) -> Result<(), DataError> {
        let is_out = |(_, id): &(usize, &u32)| **id as usize >= self.vocab_size;
        match example.input_ids.iter().enumerate().find(is_out) {
            Some((at, &id)) => Err(self.outside(message!("token id"), at, i64::from(id))),
            None => Ok(()),
        }
    }

    fn outside(&self, what: Message, at: usize, value: i64) -> DataError {
        let id = u32::try_from(value).ok();
        let token =
            id.and_then(|id| self.tokenizer.decode(&[id], false).ok()).filter(|token| !token.is_empty());
        let (named, help) = match token {
            Some(token) => (
                format!(" {token:?}"),
                message!(
                    "the tokenizer has more tokens than the model: take a model whose embedding was resized for them, or \
                     leave the token out of the rows"
                ),
            ),
            None => (String::new(), message!("tokenise the file with this model's tokenizer")),
        };
        DataError::new(
            DataErrorKind::BadRow,
            message!(
                "{what} {value}{named} (token {at}) is outside the vocabulary of {size} tokens",
                what,
                value,
                named,
                at,
                size = self.vocab_size
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
        let mut ids = self.tokenizer.encode_kept(text, self.max_length, self.truncation_side)?;
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
        check_size(prompt.len() + completion.len(), self.max_length)?;
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

    fn conversation(&self, conversation: &Conversation, rendered: &Rendered) -> Result<Example, DataError> {
        check_size(rendered.text.len(), self.max_length)?;
        let learnt = self.learnt_spans(conversation, rendered)?;
        let (ids, offsets) = self.tokenizer.encode_with_offsets(&rendered.text)?;
        let mut labels = Vec::with_capacity(ids.len());
        let mut done = 0;
        for (&id, offset) in ids.iter().zip(&offsets) {
            // A token of only spaces may have an empty range. It stands for the bytes before it.
            let range = if offset.is_empty() { done.min(offset.start)..offset.end } else { offset.clone() };
            done = done.max(offset.end);
            // The spans are in order.
            let first = learnt.partition_point(|span| span.end <= range.start);
            let is_learnt = learnt.get(first).is_some_and(|span| overlap(span, &range));
            labels.push(if is_learnt { i64::from(id) } else { IGNORE_INDEX });
        }
        Ok(Example::tokens(ids, labels))
    }

    /// Returns the byte ranges of the rendered text that are learnt, in order.
    fn learnt_spans(
        &self,
        conversation: &Conversation,
        rendered: &Rendered,
    ) -> Result<Vec<Range<usize>>, DataError> {
        let spans = AssistantSpans::new(self.tokenizer, conversation, rendered);
        let mut spans = match (conversation.given, &rendered.generated) {
            (0, _) if !self.assistant_only_loss => spans.all_from(0),
            (0, Some(generated)) => spans.generated(generated),
            (0, None) => spans.of_assistant(),
            _ if !self.completion_only_loss => spans.all_from(0),
            _ => spans.after_prompt(),
        }?;
        spans.sort_by_key(|span| (span.start, span.end));
        Ok(spans)
    }
}

fn overlap(span: &Range<usize>, token: &Range<usize>) -> bool {
    token.start < span.end && (token.end > span.start || (token.is_empty() && token.start >= span.start))
}

fn empty() -> DataError {
    let problem = message!("the row has no tokens");
    DataError::new(DataErrorKind::EmptyRow, problem, message!("fill it or delete the line"))
}
