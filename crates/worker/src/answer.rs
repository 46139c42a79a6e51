//! A prompt, answered without and with the adapter.

use lorelei_models::Llama;
use lorelei_protocol::Reply;

use crate::{browser, desk, model::Loaded, port};

/// Tokens between two messages to the page.
const CHUNK: usize = 4;

/// Answers `prompt`, telling the page as the answers grow.
pub async fn generate(prompt: String, max_new_tokens: usize) -> Result<(), String> {
    let loaded = desk::with(|desk| desk.model.clone()).ok_or("load a model first")?;
    let trained = desk::with(|desk| desk.trained.as_ref().map(|trained| trained.model.clone()));
    let ids = loaded.tokenizer.encode_prompt(&prompt).map_err(|error| error.to_string())?;
    let say = |without_adapter: &str, with_adapter: Option<&str>, finished| {
        port::post(&Reply::Generated {
            prompt: prompt.clone(),
            without_adapter: without_adapter.to_owned(),
            with_adapter: with_adapter.map(str::to_owned),
            finished,
        });
    };
    let nothing_yet = trained.is_some().then_some("");
    let base =
        grow(&loaded, &loaded.model, &ids, max_new_tokens, |text| say(text, nothing_yet, false)).await?;
    let adapted = match &trained {
        None => None,
        Some(model) => {
            Some(grow(&loaded, model, &ids, max_new_tokens, |text| say(&base, Some(text), false)).await?)
        }
    };
    say(&base, adapted.as_deref(), true);
    Ok(())
}

/// The likeliest answer, a few tokens at a time.
async fn grow(
    loaded: &Loaded,
    model: &Llama,
    prompt: &[u32],
    max_new_tokens: usize,
    say: impl Fn(&str),
) -> Result<String, String> {
    let stop: Vec<u32> = loaded.tokenizer.eos_id().into_iter().collect();
    let mut ids = prompt.to_vec();
    loop {
        let answered = ids.len() - prompt.len();
        let wanted = CHUNK.min(max_new_tokens - answered);
        let more = model.generate(&ids, wanted, &stop).await.map_err(|error| error.to_string())?;
        ids.extend_from_slice(&more);
        let text = loaded.tokenizer.decode(&ids[prompt.len()..], true).map_err(|error| error.to_string())?;
        say(&text);
        if more.len() < wanted || ids.len() - prompt.len() >= max_new_tokens {
            return Ok(text);
        }
        browser::tick().await;
    }
}
