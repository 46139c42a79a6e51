//! Rows to token ids with labels: what of each row is learnt.

use std::ops::Range;

use crate::chat::Message;
use crate::error::{DataError, DataErrorKind};
use crate::rows::Row;
use crate::tokenizer::Tokenizer;

/// The label of a token that is not learnt.
pub const IGNORE_INDEX: i64 = -100;

/// Token ids and a label for each: the id itself where it is learnt, -100 where not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// As many labels, not shifted.
    pub labels: Vec<i64>,
}

impl Example {
    /// Labels that count in the loss: those after the first (nothing predicts that one) that are not -100.
    pub fn num_targets(&self) -> usize {
        self.labels.iter().skip(1).filter(|&&label| label != IGNORE_INDEX).count()
    }

    /// Keeps the first `max_length` tokens.
    pub(crate) fn truncate(&mut self, max_length: usize) {
        self.input_ids.truncate(max_length);
        self.labels.truncate(max_length);
    }

    fn learnt_from(input_ids: Vec<u32>, start: usize) -> Self {
        let label = |(at, &id): (usize, &u32)| if at < start { IGNORE_INDEX } else { i64::from(id) };
        let labels = input_ids.iter().enumerate().map(label).collect();
        Self { input_ids, labels }
    }
}

/// Encodes rows with one tokenizer.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    max_length: usize,
    vocab_size: usize,
}

impl<'t> Encoder<'t> {
    /// An encoder that cuts examples on the right after `max_length` tokens.
    pub fn new(tokenizer: &'t Tokenizer, max_length: usize) -> Self {
        Self { tokenizer, max_length, vocab_size: tokenizer.vocab_size() }
    }

    /// Checks ids against a model's embedding of `vocab_size` rows, which may be more than the tokenizer has tokens.
    pub fn with_vocab_size(self, vocab_size: usize) -> Self {
        Self { vocab_size, ..self }
    }

    /// Tokens and labels of `row`:
    ///
    /// - text: with the special tokens that the tokenizer adds and an end token; everything is learnt.
    /// - prompt and completion: tokenised as one text where that leaves the prompt's tokens as they are, else
    ///   separately and joined; the completion and an end token are learnt.
    /// - messages: rendered by the chat template; learnt is what comes after the generation prompt of each assistant
    ///   turn up to the end of that turn, its end token included.
    /// - tokens: as they are.
    ///
    /// A token id or label outside the vocabulary and a row without tokens are errors. Whether anything is left to
    /// learn is for the caller to see ([`Example::num_targets`]).
    pub fn encode(&self, row: &Row) -> Result<Example, DataError> {
        let mut example = self.encode_whole(row)?;
        example.truncate(self.max_length);
        Ok(example)
    }

    fn encode_whole(&self, row: &Row) -> Result<Example, DataError> {
        let example = match row {
            Row::Text(text) => self.text(text)?,
            Row::PromptCompletion { prompt, completion } => self.prompt_completion(prompt, completion)?,
            Row::Messages(messages) => self.messages(messages)?,
            Row::Tokens { input_ids, labels } => {
                Example { input_ids: input_ids.clone(), labels: labels.clone() }
            }
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
        if self.tokenizer.encode(text, false)?.is_empty() {
            return Err(empty());
        }
        let mut ids = self.tokenizer.encode(text, true)?;
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
        Ok(Example::learnt_from(ids, prompt_ids.len()))
    }

    fn messages(&self, messages: &[Message]) -> Result<Example, DataError> {
        let text = self.tokenizer.apply_chat_template(messages, false)?;
        let learnt = self.assistant_spans(messages, &text)?;
        let (ids, offsets) = self.tokenizer.encode_with_offsets(&text)?;
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
        Ok(Example { input_ids: ids, labels })
    }

    /// Bytes of `text`, the whole rendering, that the assistant is to write.
    fn assistant_spans(&self, messages: &[Message], text: &str) -> Result<Vec<Range<usize>>, DataError> {
        let mut spans = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if message.role != "assistant" {
                continue;
            }
            let prompt = self.tokenizer.apply_chat_template(&messages[..index], true)?;
            let through = if index + 1 == messages.len() {
                text.to_owned()
            } else {
                self.tokenizer.apply_chat_template(&messages[..=index], false)?
            };
            spans.push(span(text, &prompt, &through, &message.content).ok_or_else(|| {
                DataError::new(
                    DataErrorKind::Template,
                    format!(
                        "the chat template writes messages[{index}] otherwise in the whole conversation than as the \
                         last turn after its generation prompt, so the assistant's words cannot be told from the rest"
                    ),
                    "use a template that renders turn by turn, or rows with prompt and completion",
                )
            })?);
        }
        Ok(spans)
    }
}

/// Where a turn stands in `text`, given the rendering up to its generation prompt and the one that ends with it.
fn span(text: &str, prompt: &str, through: &str, content: &str) -> Option<Range<usize>> {
    let turn = through.strip_prefix(prompt)?;
    let rest = text.strip_prefix(prompt)?;
    if rest.starts_with(turn) {
        return Some(prompt.len()..through.len());
    }
    // Templates that treat the last turn differently (an empty thought before it): the words, and what follows them.
    [content, content.trim()].into_iter().filter(|content| !content.is_empty()).find_map(|content| {
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

/// A file's examples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// Examples with something to learn, in file order.
    pub examples: Vec<Example>,
    /// How many rows were cut at the maximum length.
    pub truncated: usize,
    /// Lines that were left out because nothing of them would be learnt.
    pub skipped: Vec<usize>,
}

impl Encoded {
    fn add(
        &mut self,
        line: usize,
        row: &Row,
        encoder: &Encoder<'_>,
        cut_away: &mut usize,
    ) -> Result<(), DataError> {
        let mut example = encoder.encode_whole(row)?;
        let targets = example.num_targets();
        if example.input_ids.len() > encoder.max_length {
            self.truncated += 1;
            example.truncate(encoder.max_length);
        }
        if example.num_targets() > 0 {
            self.examples.push(example);
        } else {
            *cut_away += usize::from(targets > 0);
            self.skipped.push(line);
        }
        Ok(())
    }

    /// Why there is nothing to train on, if so.
    fn check(&self, file_name: &str, encoder: &Encoder<'_>, cut_away: usize) -> Result<(), DataError> {
        if !self.examples.is_empty() {
            return Ok(());
        }
        let error = match self.skipped.len() {
            0 => DataError::new(
                DataErrorKind::EmptyFile,
                "the file is empty: it has no rows",
                "give it at least one row",
            ),
            rows => DataError::new(
                DataErrorKind::NothingToLearn,
                format!(
                    "nothing to learn: in each of the {rows} rows every label is masked; {cut_away} lost what they had \
                     to learn when they were cut at {} tokens, {} had nothing to learn (no assistant turn, all labels \
                     -100, or a single token)",
                    encoder.max_length,
                    rows - cut_away
                ),
                if cut_away > 0 { "raise max_length" } else { "check the rows' roles and labels" },
            ),
        };
        Err(error.in_file(file_name))
    }
}

/// Encodes every row. The first bad row is the error, with its line; so is a file without rows, and one of which
/// nothing would be learnt.
pub fn encode_rows(
    rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
    file_name: &str,
    encoder: &Encoder<'_>,
) -> Result<Encoded, DataError> {
    let mut encoded = Encoded::default();
    let mut cut_away = 0;
    for row in rows {
        let (line, row) = row?;
        encoded.add(line, &row, encoder, &mut cut_away).map_err(|error| error.at(file_name, line))?;
    }
    encoded.check(file_name, encoder, cut_away)?;
    Ok(encoded)
}

/// As [`encode_rows`], but reads on after a bad row, so that all of them can be shown at once.
pub fn survey_rows(
    rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
    file_name: &str,
    encoder: &Encoder<'_>,
) -> (Encoded, Vec<DataError>) {
    let (mut encoded, mut errors) = (Encoded::default(), Vec::new());
    let mut cut_away = 0;
    for row in rows {
        let added = row.and_then(|(line, row)| {
            encoded.add(line, &row, encoder, &mut cut_away).map_err(|error| error.at(file_name, line))
        });
        errors.extend(added.err());
    }
    if errors.is_empty() {
        errors.extend(encoded.check(file_name, encoder, cut_away).err());
    }
    (encoded, errors)
}
