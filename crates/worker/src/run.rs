//! Training runs, with the page as the trainer's host.

use std::sync::Arc;

use lorelei_data::Labels;
use lorelei_models::Model;
use lorelei_protocol::SamplePrompt;
use lorelei_recipe::Recipe;
use lorelei_session::{Folder as _, LOG_FILE, Result, Resumed, RunRequest, SessionError, prepare, storage};
use lorelei_train::train;

use crate::{
    browser, export, host::Browser, host_error, page_host::PageHost, state, store, store::StoredCheckpoint,
};

/// The page's wishes for the current run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    /// Pause before the next step.
    pub paused: bool,
    /// Stop before the next step.
    pub stop: bool,
}

/// The result of a run.
#[derive(Clone)]
pub struct Trained {
    /// The model with its adapter.
    pub model: Model,
    /// The recipe that was run.
    pub recipe: Recipe,
    /// The adapter's files.
    pub files: Vec<(String, Arc<[u8]>)>,
    /// The log, one line for each logged step.
    pub log: String,
    /// Whether the base model is from a hub.
    pub base_is_on_hub: bool,
    /// The licence of the base model, if it is known.
    pub license: Option<String>,
    /// The labels of a classifier.
    pub labels: Option<Labels>,
    /// Number of rows that it was trained on.
    pub num_examples: usize,
}

/// Trains the loaded model on the data that was read last.
pub async fn start(recipe: Recipe, resume: bool, sample: Option<SamplePrompt>) -> Result<()> {
    if !browser::lock_run().await.map_err(host_error)? {
        return Err(SessionError::TrainedElsewhere);
    }
    state::with(|state| state.control = Some(Control::default()));
    let result = run(recipe, resume, sample).await;
    state::with(|state| state.control = None);
    browser::unlock_run();
    result
}

async fn run(recipe: Recipe, resume: bool, sample: Option<SamplePrompt>) -> Result<()> {
    recipe.validate()?;
    let model = state::with(|state| state.model.clone()).ok_or(SessionError::NoModel)?;
    let data = state::with(|state| state.data.clone()).ok_or(SessionError::NoData)?;
    let labels = data.labels.clone();
    let resume = if resume { Some(StoredCheckpoint::last().await?) } else { None };
    let log = match &resume {
        None => String::new(),
        Some(checkpoint) => text(checkpoint.read(LOG_FILE).await?.unwrap_or_default()),
    };
    let resumed = match &resume {
        None => None,
        Some(checkpoint) => Some(Resumed::read(checkpoint).await?),
    };
    let host = Browser::default();
    let storage = storage(&host, &recipe, model.model.device()).await?;
    let (tokenizer, base_is_on_hub) = (model.tokenizer.clone(), model.is_on_hub);
    let license = state::with(|state| state.license.clone());
    let request = RunRequest { recipe: &recipe, model, storage, data, resume: resumed, sample };
    let mut job = prepare(&host, request).await?;
    let mut host = PageHost::new(recipe.clone(), tokenizer, log);
    train(&mut job, &mut host).await?;
    let (files, log) = host.into_files();
    let files = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    let num_examples = job.train.len();
    state::with(|state| {
        let model = job.model;
        state.trained =
            Some(Trained { model, recipe, files, log, base_is_on_hub, license, labels, num_examples })
    });
    export::offer();
    store::forget().await.map_err(host_error)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
