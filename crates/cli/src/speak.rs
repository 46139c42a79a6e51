//! A model's answer, written as it comes.

use std::{io::Write as _, time::Instant};

use lorelei_data::Tokenizer;
use lorelei_models::{Generation, Model, Sampling};
use miette::Result;

use crate::report;

/// How answers are made.
#[derive(clap::Args)]
pub struct SpeakArguments {
    /// Longest answer, in tokens.
    #[arg(long, default_value_t = 256)]
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token each time.
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f64,
    /// With a temperature: draw from so many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 50)]
    pub top_k: usize,
    /// With a temperature: draw from the likeliest tokens whose chances add up to this.
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f64,
    /// Above 1, words that were said already are less likely.
    #[arg(long, default_value_t = 1.0)]
    pub repetition_penalty: f64,
    /// Draws the tokens.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// A text that ends an answer, and is no part of it; may be given several times.
    #[arg(long)]
    pub stop: Vec<String>,
}

/// An answer, and how it came.
pub struct Answer {
    /// What was said.
    pub text: String,
    /// Tokens that were drawn.
    pub tokens: usize,
    /// Tokens a second, the reading of the prompt not counted.
    pub tokens_per_second: f64,
}

impl SpeakArguments {
    /// Refuses numbers that mean nothing.
    ///
    /// # Errors
    ///
    /// If there are any.
    pub fn sampling(&self) -> Result<Sampling> {
        let wrong = |what: &str, wanted: &str| Err(miette::miette!("--{what} must be {wanted}"));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", "0 or a number above it");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top-p", "above 0 and at most 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return wrong("repetition-penalty", "a number above 0");
        }
        Ok(Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        })
    }

    /// Writes what `model` says behind `prompt` to the standard output, as it comes.
    ///
    /// # Errors
    ///
    /// If the prompt does not fit the model, or the device fails.
    pub fn speak(&self, model: &Model, tokenizer: &Tokenizer, prompt: &[u32]) -> Result<Answer> {
        let mut generation = Generation::new(model, prompt, self.sampling()?).map_err(report)?;
        let mut ends: Vec<u32> = model.config().eos_token_id.clone();
        ends.extend(tokenizer.eos_id());
        let (mut ids, mut text, mut shown) = (Vec::new(), String::new(), 0);
        let mut began = Instant::now();
        while ids.len() < self.max_new_tokens {
            let Some(id) = pollster::block_on(generation.next()).map_err(report)? else { break };
            if ids.is_empty() {
                // From here on a token costs a token, not the prompt.
                began = Instant::now();
            }
            if ends.contains(&id) {
                break;
            }
            ids.push(id);
            text = tokenizer.decode(&ids, true).map_err(report)?;
            let end = self.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
            let stopped = end.is_some();
            text.truncate(end.unwrap_or(text.len()));
            shown = show(&text, shown, if stopped { 0 } else { self.held_back(&text) });
            if stopped {
                break;
            }
        }
        show(&text, shown, 0);
        say!();
        let tokens = ids.len();
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        Ok(Answer { text, tokens, tokens_per_second: tokens.saturating_sub(1) as f64 / seconds })
    }

    /// How much of the end of a text that still grows may turn out to be something else: half a character, or the beginning of a stop.
    fn held_back(&self, text: &str) -> usize {
        let half = text.len() - text.trim_end_matches('\u{fffd}').len();
        let beginnings = self.stop.iter().flat_map(|stop| {
            let ends = stop.char_indices().map(|(end, _)| &stop[..end]);
            ends.filter(|part| text.ends_with(part)).map(str::len)
        });
        beginnings.max().unwrap_or(0).max(half)
    }
}

/// Writes the part of `text` that is new, but for its last `held` bytes; returns how much has been written of it.
fn show(text: &str, shown: usize, held: usize) -> usize {
    let end = text.len() - held;
    if let Some(new) = text.get(shown..end) {
        let mut out = std::io::stdout();
        let _ = out.write_all(new.as_bytes()).and_then(|()| out.flush());
        return end;
    }
    shown
}
