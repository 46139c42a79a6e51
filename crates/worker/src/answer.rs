//! A prompt, answered without and with the adapter.

use lorelei_data::Labels;
use lorelei_models::Model;
use lorelei_protocol::Reply;
use lorelei_train::classify;

use crate::{browser, desk, model::Loaded, port, run::Trained};

/// Tokens between two messages to the page.
const CHUNK: usize = 4;

/// Answers `prompt`, telling the page as the answers grow.
pub async fn generate(prompt: String, max_new_tokens: usize) -> Result<(), String> {
    let loaded = desk::with(|desk| desk.model.clone()).ok_or("load a model first")?;
    let trained = desk::with(|desk| desk.trained.clone());
    if let Some(Trained { model, recipe, labels: Some(labels), .. }) = &trained {
        return verdict(prompt, model, &loaded, labels, recipe.data.max_length).await;
    }
    if !loaded.model.config().writes_text() {
        return Err("the model writes no text: train it to classify first".into());
    }
    let trained = trained.map(|trained| trained.model);
    let ids = loaded.tokenizer.encode_prompt(&prompt).map_err(|error| error.to_string())?;
    let say = |without_adapter: &str, with_adapter: Option<&str>, finished| {
        port::post(&Reply::Generated {
            prompt: prompt.clone(),
            without_adapter: without_adapter.to_owned(),
            with_adapter: with_adapter.map(str::to_owned),
            finished,
        });
    };
    let mut base = Answer::new(&loaded, &loaded.model, &ids);
    let mut adapted = trained.as_ref().map(|model| Answer::new(&loaded, model, &ids));
    loop {
        let mut growing = base.grow(max_new_tokens).await?;
        if let Some(adapted) = &mut adapted {
            growing |= adapted.grow(max_new_tokens).await?;
        }
        say(&base.text, adapted.as_ref().map(|answer| answer.text.as_str()), !growing);
        if !growing {
            return Ok(());
        }
        browser::tick().await;
    }
}

/// Says what the trained classifier says of a text; of two, the second stands behind a tab.
async fn verdict(
    prompt: String,
    model: &Model,
    loaded: &Loaded,
    labels: &Labels,
    max_length: usize,
) -> Result<(), String> {
    let (text, pair) = match prompt.split_once('\t') {
        Some((text, pair)) => (text, Some(pair)),
        None => (prompt.as_str(), None),
    };
    let verdict = classify(model, &loaded.tokenizer, labels, text, pair, max_length).await;
    let verdict = verdict.map_err(|error| error.to_string())?;
    port::post(&Reply::Classified { prompt, verdict });
    Ok(())
}

/// The likeliest answer of one model.
struct Answer<'a> {
    loaded: &'a Loaded,
    model: &'a Model,
    prompt_len: usize,
    ids: Vec<u32>,
    text: String,
    ended: bool,
}

impl<'a> Answer<'a> {
    fn new(loaded: &'a Loaded, model: &'a Model, prompt: &[u32]) -> Self {
        let text = String::new();
        Self { loaded, model, prompt_len: prompt.len(), ids: prompt.to_vec(), text, ended: false }
    }

    /// A few tokens more; false where it has come to its end.
    async fn grow(&mut self, max_new_tokens: usize) -> Result<bool, String> {
        let wanted = CHUNK.min(max_new_tokens - (self.ids.len() - self.prompt_len));
        if self.ended || wanted == 0 {
            return Ok(false);
        }
        let tokenizer = &self.loaded.tokenizer;
        let stop = tokenizer.eos_id().into_iter().collect::<Vec<u32>>();
        let more = self.model.generate(&self.ids, wanted, &stop).await.map_err(|error| error.to_string())?;
        self.ended = more.len() < wanted;
        self.ids.extend_from_slice(&more);
        self.text =
            tokenizer.decode(&self.ids[self.prompt_len..], true).map_err(|error| error.to_string())?;
        Ok(true)
    }
}
