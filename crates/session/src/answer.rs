//! A model's answer to a prompt, as text that grows token by token.

use lorelei_data::Tokenizer;
use lorelei_models::{Generation, Model, Sampling};

use crate::Result;

/// Returns the ids of the tokens that end an answer: the tokenizer's [`Tokenizer::stop_ids`]. Where the model's files name none, they are those that
/// the architecture has by default.
pub fn end_ids(model: &Model, tokenizer: &Tokenizer) -> Vec<u32> {
    match tokenizer.stop_ids() {
        [] => model.config().eos_token_id.clone(),
        ids => ids.to_vec(),
    }
}

/// An answer that is being generated.
#[derive(Debug)]
pub struct Answer<'a> {
    generation: Generation<'a>,
    tokenizer: &'a Tokenizer,
    /// Tokens that end the answer.
    ends: Vec<u32>,
    /// Texts that end the answer, and are not part of it.
    stop: &'a [String],
    ids: Vec<u32>,
    text: String,
    ended: bool,
}

impl<'a> Answer<'a> {
    /// Begins the answer of `model` to `prompt`. The answer ends at an end token of the model or the tokenizer, or at one of the texts in `stop`.
    ///
    /// # Errors
    ///
    /// If the prompt is empty, or the model does not generate.
    pub fn new(
        model: &'a Model,
        tokenizer: &'a Tokenizer,
        prompt: &[u32],
        sampling: Sampling,
        stop: &'a [String],
    ) -> Result<Self> {
        let ends = end_ids(model, tokenizer);
        let generation = Generation::new(model, prompt, sampling)?;
        Ok(Self { generation, tokenizer, ends, stop, ids: Vec::new(), text: String::new(), ended: false })
    }

    /// Generates one more token. Returns false if the answer has ended.
    ///
    /// # Errors
    ///
    /// If the prompt does not fit the model, or the device fails.
    pub async fn grow(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let next = self.generation.next().await?.filter(|id| !self.ends.contains(id));
        let Some(id) = next else {
            self.ended = true;
            return Ok(false);
        };
        self.ids.push(id);
        self.text = self.tokenizer.decode(&self.ids, true)?;
        if let Some(end) = self.stop.iter().filter_map(|stop| self.text.find(stop.as_str())).min() {
            self.text.truncate(end);
            self.ended = true;
        }
        Ok(!self.ended)
    }

    /// Number of tokens that were sampled.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The generated text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the part of the text that no longer changes. While the answer grows, it excludes an ending that may still change: half a
    /// character, or the beginning of a text in `stop`.
    pub fn settled(&self) -> &str {
        if self.ended {
            return &self.text;
        }
        let half = self.text.len() - self.text.trim_end_matches('\u{fffd}').len();
        let beginnings = self.stop.iter().flat_map(|stop| {
            let ends = stop.char_indices().map(|(end, _)| &stop[..end]);
            ends.filter(|part| self.text.ends_with(part)).map(str::len)
        });
        &self.text[..self.text.len() - beginnings.max().unwrap_or(0).max(half)]
    }
}
