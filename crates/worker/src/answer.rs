//! Answers to a prompt, without and with the adapter.

use lorelei_data::Labels;
use lorelei_models::{Model, Sampling};
use lorelei_protocol::{GenerationConfig, Reply};
use lorelei_recipe::{DataSection, Message};
use lorelei_session::{Answer, LoadedModel, Result, SessionError, classify};

use crate::{browser, port, run::Trained, state};

/// Tokens between two messages to the page.
const CHUNK: usize = 4;

/// Answers `prompt`, sending the page the text while the answers grow.
pub async fn generate(prompt: String, generation: GenerationConfig) -> Result<()> {
    let loaded = state::with(|state| state.model.clone()).ok_or(SessionError::NoModel)?;
    // The parts of a run without its files, which are large.
    let of_run = |run: &Trained| (run.model.clone(), run.labels.clone(), run.recipe.data.clone());
    let trained = state::with(|state| state.trained.as_ref().map(of_run));
    if let Some((model, Some(labels), section)) = &trained {
        return verdict(prompt, model, &loaded, labels, section).await;
    }
    if !loaded.model.config().has_lm_head() {
        return Err(SessionError::WritesNoText);
    }
    let adapted = trained.map(|(model, ..)| model);
    let ids = loaded.tokenizer.encode_prompt(&prompt)?;
    let sampling = sampling(&generation)?;
    let begin = |model| Answer::new(model, &loaded.tokenizer, &ids, sampling.clone(), &generation.stop);
    let mut base = begin(&loaded.model)?;
    let mut adapted = adapted.as_ref().map(begin).transpose()?;
    loop {
        let mut growing = grow(&mut base, generation.max_new_tokens).await?;
        if let Some(adapted) = &mut adapted {
            growing |= grow(adapted, generation.max_new_tokens).await?;
        }
        let shown = |answer: &Answer<'_>| if growing { answer.settled() } else { answer.text() }.to_owned();
        port::post(&Reply::Generated {
            prompt: prompt.clone(),
            without_adapter: shown(&base),
            with_adapter: adapted.as_ref().map(shown),
            finished: !growing,
        });
        if !growing {
            return Ok(());
        }
        browser::tick().await;
    }
}

/// Returns the settings of the sampling, if their numbers are in range.
fn sampling(generation: &GenerationConfig) -> Result<Sampling> {
    let GenerationConfig { temperature, top_k, top_p, repetition_penalty, seed, .. } = *generation;
    let sampling = Sampling { temperature, top_k, top_p, repetition_penalty, seed };
    let wrong =
        |(name, expected): (&str, Message)| SessionError::Sampling { name: name.to_owned(), expected };
    sampling.check().map_err(wrong)?;
    Ok(sampling)
}

/// Adds a few tokens. Returns `false` where the answer is complete.
async fn grow(answer: &mut Answer<'_>, max_new_tokens: usize) -> Result<bool> {
    for _ in 0..CHUNK {
        if answer.tokens() >= max_new_tokens || !answer.grow().await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends the page the trained classifier's verdict on a text, or on two texts that are separated by a tab.
async fn verdict(
    prompt: String,
    model: &Model,
    loaded: &LoadedModel,
    labels: &Labels,
    section: &DataSection,
) -> Result<()> {
    let (text, pair) = match prompt.split_once('\t') {
        Some((text, pair)) => (text, Some(pair)),
        None => (prompt.as_str(), None),
    };
    let (length, side) = (section.max_length, section.truncation_side);
    let verdict = classify(model, &loaded.tokenizer, labels, text, pair, length, side).await;
    port::post(&Reply::Classified { prompt, verdict: verdict? });
    Ok(())
}
