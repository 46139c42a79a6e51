//! A prompt, answered without and with the adapter.

use lorelei_data::Labels;
use lorelei_models::{Model, Sampling};
use lorelei_protocol::{Reply, Speech};
use lorelei_recipe::DataSection;
use lorelei_train::{Answer, classify};

use crate::{browser, desk, model::Loaded, port, run::Trained};

/// Tokens between two messages to the page.
const CHUNK: usize = 4;

/// Answers `prompt`, telling the page as the answers grow.
pub async fn generate(prompt: String, speech: Speech) -> Result<(), String> {
    let loaded = desk::with(|desk| desk.model.clone()).ok_or("load a model first")?;
    // Of a run, all but its files, which are large.
    let of_run = |run: &Trained| (run.model.clone(), run.labels.clone(), run.recipe.data.clone());
    let trained = desk::with(|desk| desk.trained.as_ref().map(of_run));
    if let Some((model, Some(labels), section)) = &trained {
        return verdict(prompt, model, &loaded, labels, section).await;
    }
    if !loaded.model.config().writes_text() {
        return Err("the model writes no text: train it to classify first".into());
    }
    let trained = trained.map(|(model, ..)| model);
    let ids = loaded.tokenizer.encode_prompt(&prompt).map_err(|error| error.to_string())?;
    let say = |without_adapter: &str, with_adapter: Option<&str>, finished| {
        port::post(&Reply::Generated {
            prompt: prompt.clone(),
            without_adapter: without_adapter.to_owned(),
            with_adapter: with_adapter.map(str::to_owned),
            finished,
        });
    };
    let Speech { max_new_tokens, temperature, top_k, top_p, repetition_penalty, seed, stop } = speech;
    let sampling = Sampling { temperature, top_k, top_p, repetition_penalty, seed };
    sampling.check().map_err(|(what, wanted)| format!("{what} must be {wanted}"))?;
    let begin = |model| {
        let answer = Answer::new(model, &loaded.tokenizer, &ids, sampling.clone(), &stop);
        answer.map_err(|error| error.to_string())
    };
    let mut base = begin(&loaded.model)?;
    let mut adapted = trained.as_ref().map(begin).transpose()?;
    loop {
        let mut growing = grow(&mut base, max_new_tokens).await?;
        if let Some(adapted) = &mut adapted {
            growing |= grow(adapted, max_new_tokens).await?;
        }
        let shown = |answer: &Answer<'_>| if growing { answer.settled() } else { answer.text() }.to_owned();
        say(&shown(&base), adapted.as_ref().map(shown).as_deref(), !growing);
        if !growing {
            return Ok(());
        }
        browser::tick().await;
    }
}

/// A few tokens more; false where the answer has come to its end.
async fn grow(answer: &mut Answer<'_>, max_new_tokens: usize) -> Result<bool, String> {
    for _ in 0..CHUNK {
        if answer.tokens() >= max_new_tokens || !answer.grow().await.map_err(|error| error.to_string())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says what the trained classifier says of a text; of two, the second stands behind a tab.
async fn verdict(
    prompt: String,
    model: &Model,
    loaded: &Loaded,
    labels: &Labels,
    section: &DataSection,
) -> Result<(), String> {
    let (text, pair) = match prompt.split_once('\t') {
        Some((text, pair)) => (text, Some(pair)),
        None => (prompt.as_str(), None),
    };
    let (length, side) = (section.max_length, section.truncation_side);
    let verdict = classify(model, &loaded.tokenizer, labels, text, pair, length, side).await;
    let verdict = verdict.map_err(|error| error.to_string())?;
    port::post(&Reply::Classified { prompt, verdict });
    Ok(())
}
