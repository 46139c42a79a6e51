//! Files of models and adapters from a hub, in the cache that all of the hub's tools share.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use lorelei_data::LABELS_FILE;
use lorelei_formats::ModelSource;
use lorelei_hub::{Event, Repository, Settings};
use lorelei_recipe::{HubId, id_and_revision};
use miette::{Context, IntoDiagnostic, Result};

use crate::report;

/// Files of an adapter, and those that it may lack.
const ADAPTER: ([&str; 2], [&str; 2]) =
    (["adapter_config.json", "adapter_model.safetensors"], [LABELS_FILE, "recipe.toml"]);

/// Whether a name that no folder or file has is taken for a hub id: `owner/name`, or `owner/name@revision`.
pub fn is_id(name: &str) -> bool {
    HubId::parse(name).is_some() && !Path::new(name).exists()
}

/// Fetches an adapter's files that are not in the cache and returns their folder.
///
/// # Errors
///
/// The errors of [`fetch`].
pub fn fetch_adapter(name: &str) -> Result<PathBuf> {
    with_repository(name, |repository| {
        let (needed, optional) = ADAPTER;
        needed.into_iter().try_for_each(|file| repository.needed(file).map(drop)).map_err(report)?;
        optional.into_iter().try_for_each(|file| repository.optional(file).map(drop)).map_err(report)
    })
}

/// Fetches a model's files that are not in the cache and returns their folder. With `HF_HUB_OFFLINE`, no request is made.
///
/// # Errors
///
/// If the hub does not have the model, refuses it or cannot be reached, or a file arrived damaged.
pub fn fetch(name: &str) -> Result<PathBuf> {
    with_repository(name, |repository| fetch_model(repository, name))
}

/// Opens a repository, shows the progress of what `fetch` fetches, and returns the folder.
fn with_repository(name: &str, fetch: impl FnOnce(&Repository<'_>) -> Result<()>) -> Result<PathBuf> {
    let (id, revision) = id_and_revision(name);
    let settings = Settings::from_env().map_err(report)?;
    let bar = RefCell::new(Bar::default());
    let hear = |event: &Event<'_>| bar.borrow_mut().hear(name, event);
    let repository = Repository::open(&settings, id, revision, hear).map_err(report)?;
    fetch(&repository)?;
    Ok(repository.folder().unwrap_or_default())
}

/// Returns the path of a model's card. If `asks`, it is fetched where it is not in the cache. `None` if it is not to be had.
pub fn card(name: &str, asks: bool) -> Option<PathBuf> {
    const CARD: &str = "README.md";
    let (id, revision) = id_and_revision(name);
    let settings = Settings::from_env().ok()?;
    let repository = Repository::open(&settings, id, revision, |_| {}).ok()?;
    (asks || repository.is_cached(CARD)).then(|| repository.get(CARD).ok().flatten()).flatten()
}

fn fetch_model(repository: &Repository<'_>, name: &str) -> Result<()> {
    repository.needed("config.json").map_err(report)?;
    // Most models are one file and have no index.
    let index = match repository.is_cached(ModelSource::WEIGHTS) {
        true => None,
        false => repository.get(ModelSource::INDEX).map_err(report)?,
    };
    let read = |index: PathBuf| {
        let text = fs::read_to_string(&index).into_diagnostic();
        text.wrap_err_with(|| format!("cannot read {}", index.display()))
    };
    let index = index.map(read).transpose()?;
    let index_file = format!("{name}: {}", ModelSource::INDEX);
    for file in ModelSource::weight_files(index.as_deref(), &index_file).map_err(report)? {
        repository.needed(&file).map_err(report)?;
    }
    for file in ModelSource::OPTIONAL {
        repository.optional(file).map_err(report)?;
    }
    Ok(())
}

/// The bar of the file that is being fetched.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn hear(&mut self, model: &str, event: &Event<'_>) {
        match event {
            Event::Progress { file, done, total } => {
                let bar = self.0.get_or_insert_with(|| bar(file));
                if let Some(total) = total {
                    bar.set_length(*total);
                }
                bar.set_position(*done);
            }
            Event::Stored { .. } => {
                if let Some(bar) = self.0.take() {
                    bar.finish();
                }
            }
            Event::Retry { file, reason, wait } => {
                self.say(&format!("{model}: {file}: {reason}; the next attempt is in {:.0} s", wait.as_secs_f64().ceil()));
            }
            Event::Waiting { file } => self.say(&format!("{model}: {file}: another process fetches it; waiting for that")),
            Event::Unknown { file } => self.say(&format!(
                "warning: {model}: {file} is not in the cache, the hub may not be asked, and so the model is taken to have none"
            )),
        }
    }

    fn say(&self, line: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| say_err!("{line}")),
            None => say_err!("{line}"),
        }
    }
}

/// Returns the bar of a file on its way.
pub fn bar(file: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_message(file.to_owned());
    let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} [{eta} left]";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
