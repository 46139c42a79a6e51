//! A model's files from a hub, in the cache that all of the hub's tools share.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{ApiBuilder, ApiRepo},
};
use lorelei_formats::{ModelSource, is_sha256, sha256, shard_names};
use lorelei_recipe::id_and_revision;
use miette::{IntoDiagnostic, Result, miette};

use crate::report;

/// Fetches the files that are not in the cache and returns their folder. With `HF_HUB_OFFLINE`, no request is made.
///
/// # Errors
///
/// If the hub does not have the model or cannot be reached, or a file arrived damaged.
pub fn fetch(name: &str) -> Result<PathBuf> {
    let repo = Repository::new(name)?;
    let config = repo.get("config.json")?;
    match repo.get(ModelSource::INDEX) {
        Ok(index) => {
            let index = fs::read_to_string(index).into_diagnostic()?;
            for name in shard_names(&index, ModelSource::INDEX).map_err(report)? {
                repo.get(&name)?;
            }
        }
        // Most models have no index: they are one file.
        Err(no_index) => {
            repo.get("model.safetensors").map_err(|error| {
                miette!("{error}; nor can model.safetensors.index.json be had: {no_index}")
            })?;
        }
    }
    for optional in ModelSource::OPTIONAL.into_iter().chain([ModelSource::TOOL_USE]) {
        let _ = repo.get(optional);
    }
    Ok(config.parent().map(Path::to_owned).unwrap_or_default())
}

/// A model's place on the hub and in the cache.
struct Repository<'n> {
    name: &'n str,
    cache: Cache,
    repo: Repo,
    /// `None` where no request to the hub is allowed.
    online: Option<ApiRepo>,
}

impl<'n> Repository<'n> {
    fn new(name: &'n str) -> Result<Self> {
        let (id, revision) = id_and_revision(name);
        let revision = revision.unwrap_or("main").to_owned();
        let repo = Repo::with_revision(id.to_owned(), RepoType::Model, revision);
        let cache = match set("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => Cache::from_env(),
        };
        let online = match is_offline() {
            true => None,
            false => {
                let mut builder = ApiBuilder::from_cache(cache.clone());
                if let Some(endpoint) = set("HF_ENDPOINT") {
                    builder = builder.with_endpoint(endpoint);
                }
                // The token of a user who has logged in is in HF_HOME, wherever the cache is.
                builder = builder.with_token(set("HF_TOKEN").or_else(|| Cache::from_env().token()));
                // A transfer that breaks off is resumed where it was.
                let api = builder.with_retries(5).build();
                let api = api.map_err(|error| miette!("the hub's cache cannot be used: {error}"))?;
                Some(api.repo(repo.clone()))
            }
        };
        Ok(Self { name, cache, repo, online })
    }

    /// Returns the path of a file in the cache, fetching the file where it is not there.
    fn get(&self, file: &str) -> Result<PathBuf> {
        let name = self.name;
        if let Some(path) = self.cached(file) {
            return Ok(path);
        }
        let Some(online) = &self.online else {
            return Err(miette!(
                "{name}: {file} is not in the cache {}, and HF_HUB_OFFLINE is set: unset it, or fetch the model first",
                self.cache.path().display()
            ));
        };
        let path = online.download(file).map_err(|error| miette!("{name} on the hub: {file}: {error}"))?;
        check(&path).map_err(|problem| miette!("{name}: {file} {problem}"))?;
        Ok(path)
    }

    fn cached(&self, file: &str) -> Option<PathBuf> {
        let cache = self.cache.repo(self.repo.clone());
        // The folder of a commit has the commit's name; other tools create it without a reference to it.
        let of_commit =
            || self.cache.path().join(self.repo.folder_name()).join("snapshots").join(self.repo.revision());
        cache.get(file).or_else(|| Some(of_commit().join(file)).filter(|path| path.exists()))
    }
}

/// Compares a fetched file with the checksum that is its name on the hub. A damaged file is removed.
fn check(path: &Path) -> Result<(), String> {
    // The checksum is the name of the file that a symbolic link leads to. It is not known on a system without links.
    let Ok(blob) = fs::canonicalize(path) else { return Ok(()) };
    let expected = blob.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_sha256(&expected) {
        return Ok(());
    }
    let found = File::open(&blob).and_then(|file| sha256(&file));
    let found = found.map_err(|error| format!("cannot be read back: {error}"))?;
    if found.eq_ignore_ascii_case(&expected) {
        return Ok(());
    }
    let _ = (fs::remove_file(path), fs::remove_file(&blob));
    Err(format!(
        "arrived damaged (its SHA-256 is {found}, the hub's {expected}) and was removed: run this again to fetch it anew"
    ))
}

/// Returns whether the environment forbids requests to the hub, by the rules of `huggingface_hub`.
fn is_offline() -> bool {
    let is_true = |value: String| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str());
    set("HF_HUB_OFFLINE").is_some_and(is_true) || set("TRANSFORMERS_OFFLINE").is_some_and(is_true)
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
