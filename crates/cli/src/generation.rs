//! A model's answer, written to the terminal while it is generated.

use std::{io::Write as _, time::Instant};

use lorelei_data::Tokenizer;
use lorelei_models::{Model, Sampling};
use lorelei_session::Answer;
use miette::{Result, miette};

use crate::report;

/// Settings of the generation of answers.
#[derive(clap::Args)]
pub struct GenerationArguments {
    /// Longest answer, in tokens.
    #[arg(long, default_value_t = 256, allow_negative_numbers = true)]
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token each time.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// With a temperature: draw from so many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 50, allow_negative_numbers = true)]
    pub top_k: usize,
    /// With a temperature: draw from the likeliest tokens whose probabilities add up to this.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub top_p: f64,
    /// Above 1, words that were said already are less likely.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub repetition_penalty: f64,
    /// Draws the tokens.
    #[arg(long, default_value_t = 42, allow_negative_numbers = true)]
    pub seed: u64,
    /// A text that ends an answer, and is no part of it; may be given several times.
    #[arg(long, value_parser = stop_text)]
    pub stop: Vec<String>,
}

/// An answer and the speed of its generation.
pub struct Generated {
    /// The answer's text.
    pub text: String,
    /// Number of tokens that were drawn.
    pub tokens: usize,
    /// Tokens a second, without the reading of the prompt.
    pub tokens_per_second: f64,
}

impl GenerationArguments {
    /// Returns the settings of the sampling, if their numbers are in range.
    ///
    /// # Errors
    ///
    /// If a number is out of its range.
    pub fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        let wrong = |(what, wanted): (&str, lorelei_recipe::Message)| {
            miette!("--{} must be {wanted}", what.replace('_', "-"))
        };
        sampling.check().map_err(wrong)?;
        Ok(sampling)
    }

    /// Writes the continuation of `prompt` by `model` to the standard output, while it is generated.
    ///
    /// # Errors
    ///
    /// If the prompt does not fit the model, or the device fails.
    pub fn generate(&self, model: &Model, tokenizer: &Tokenizer, prompt: &[u32]) -> Result<Generated> {
        let answer = Answer::new(model, tokenizer, prompt, self.sampling()?, &self.stop);
        let mut answer = answer.map_err(report)?;
        let (mut shown, mut began) = (0, Instant::now());
        while answer.tokens() < self.max_new_tokens {
            let grows = pollster::block_on(answer.grow()).map_err(report)?;
            if answer.tokens() <= 1 {
                // The time of the first token includes the reading of the prompt: the speed is measured from here on.
                began = Instant::now();
            }
            if !grows {
                break;
            }
            shown = show(answer.settled(), shown);
        }
        show(answer.text(), shown);
        say!();
        let (text, tokens) = (answer.text().to_owned(), answer.tokens());
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        Ok(Generated { text, tokens, tokens_per_second: tokens.saturating_sub(1) as f64 / seconds })
    }
}

/// Reads a text that ends an answer.
fn stop_text(text: &str) -> Result<String, &'static str> {
    match text.is_empty() {
        true => Err("every answer has an empty text at its beginning, and would end there"),
        false => Ok(text.to_owned()),
    }
}

/// Writes the new part of `text`. Returns the length of `text` that has been written.
fn show(text: &str, shown: usize) -> usize {
    match text.get(shown..) {
        Some(new) => {
            let mut out = std::io::stdout();
            let _ = out.write_all(new.as_bytes()).and_then(|()| out.flush());
            text.len()
        }
        None => shown,
    }
}
