//! The page's files in the browser's storage: fetched models, and the checkpoint of a run that may be interrupted.
//!
//! The paths are `models/<owner>@<name>@<revision>/<file>`, `run/checkpoint-<step>/<file>` and `run/run.json`. The last one names the valid
//! checkpoint and is written last: a tab that dies while it saves leaves the checkpoint before.

use std::collections::BTreeMap;

use lorelei_formats::{ModelSource, sha256, shard_names};
use lorelei_protocol::{CachedModel, InterruptedRun, Reply};
use lorelei_session::{Folder, SessionError};
use web_sys::File;

use crate::{blob::BlobReader, browser, device, host_error, port};

const RUN: &str = "run/run.json";
/// File name of a hub's list of a model's files, which is stored beside them.
const LISTING: &str = "hub.json";
/// Separator of the parts of a model's name; it occurs in no owner, name or revision.
const SEPARATOR: &str = "@";

/// Returns the models that are stored, in whole or in part.
pub async fn models() -> Result<Vec<CachedModel>, String> {
    let models = browser::list("models").await?;
    Ok(models
        .into_iter()
        .map(|(name, size)| CachedModel { name: name.replace(SEPARATOR, "/"), size })
        .collect())
}

/// Deletes a model and sends the page the list of those that are left.
pub async fn delete_model(name: &str) -> Result<(), String> {
    let parts = name.split('/').map(plain).collect::<Result<Vec<_>, _>>()?;
    browser::delete(&format!("models/{}", parts.join(SEPARATOR))).await?;
    device::capabilities().await
}

/// Returns a name that cannot lead out of its folder.
fn plain(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    match !name.is_empty() && !name.contains("..") && name.chars().all(allowed) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "{name:?} is no name of a model: letters, digits, '.', '-' and '_' make one, as owner/name"
        )),
    }
}

/// Returns a model's files, fetching from a hub those that are not stored.
pub async fn hub(id: &str, revision: &str, endpoint: &str) -> Result<Vec<File>, String> {
    let (owner, name) = id.split_once('/').ok_or_else(|| format!("{id:?} is no hub id: write owner/name"))?;
    let (owner, name, revision) = (plain(owner)?, plain(name)?, plain(revision)?);
    let endpoint = endpoint.trim_end_matches('/');
    if !endpoint.starts_with("https://")
        && !endpoint.starts_with("http://localhost")
        && !endpoint.starts_with("http://127.0.0.1")
    {
        return Err(format!("{endpoint:?} is no hub's address: it begins with https://"));
    }
    let folder = format!("models/{}", [owner.as_str(), &name, &revision].join(SEPARATOR));
    // The list is stored like the files: a stored model needs no network.
    let listing = format!("{folder}/{LISTING}");
    let url = format!("{endpoint}/api/models/{owner}/{name}/revision/{revision}?blobs=true");
    let listed =
        match browser::fetch(&url, &listing, |_, _| ()).await.map_err(|error| format!("{id}: {error}"))? {
            true => Listed::read(&browser::read(&listing).await?.unwrap_or_default()),
            false => None,
        };
    let get = async |file: &str| -> Result<Option<File>, String> {
        if listed.as_ref().is_some_and(|listed| !listed.0.contains_key(file)) {
            return Ok(None);
        }
        let url = format!("{endpoint}/{owner}/{name}/resolve/{revision}/{file}");
        let what = file.to_owned();
        let progress = move |done: f64, total: f64| {
            port::post(&Reply::Progress { what: what.clone(), done: done as u64, total: total as u64 });
        };
        let path = format!("{folder}/{file}");
        if let Some(kept) = browser::file(&path).await? {
            return Ok(Some(kept));
        }
        if !browser::fetch(&url, &path, progress).await.map_err(|error| format!("{id}: {file}: {error}"))? {
            return Ok(None);
        }
        let fetched = browser::file(&path).await?;
        let checksum = listed.as_ref().and_then(|listed| listed.0.get(file)?.clone());
        if let (Some(fetched), Some(expected)) = (&fetched, checksum) {
            let found = sha256(&BlobReader::new(fetched.clone())).map_err(|error| error.to_string())?;
            if found != expected {
                browser::delete(&path).await?;
                // The hub may have another file by now, and so another list.
                browser::delete(&listing).await?;
                return Err(format!(
                    "{id}: {file} arrived damaged (its SHA-256 is {found}, the hub's {expected}) and was removed: load it again"
                ));
            }
        }
        Ok(fetched)
    };
    let needed = async |file: &str| get(file).await?.ok_or_else(|| format!("{id} on the hub has no {file}"));
    let mut files = vec![needed("config.json").await?];
    match get(ModelSource::INDEX).await? {
        Some(index) => {
            let bytes = browser::read(&format!("{folder}/{}", ModelSource::INDEX)).await?.unwrap_or_default();
            let names = shard_names(&String::from_utf8_lossy(&bytes), ModelSource::INDEX);
            for name in names.map_err(|error| error.to_string())? {
                files.push(needed(&plain(&name)?).await?);
            }
            files.push(index);
        }
        None => files.push(needed("model.safetensors").await?),
    }
    for optional in ModelSource::OPTIONAL {
        files.extend(get(optional).await?);
    }
    Ok(files)
}

/// A model's files by their names, with the SHA-256 of those that the hub stores as large files.
struct Listed(BTreeMap<String, Option<String>>);

impl Listed {
    /// Parses a hub's answer. Returns `None` where it is no list of files.
    fn read(answer: &[u8]) -> Option<Self> {
        let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let files = answer["siblings"].as_array()?.iter();
        Some(Self(
            files
                .filter_map(|file| Some((text(&file["rfilename"])?, text(&file["lfs"]["sha256"]))))
                .collect(),
        ))
    }
}

/// Stores a checkpoint: first its files, then the record that makes it the valid one. The checkpoint before is deleted last.
pub async fn checkpoint(run: &InterruptedRun, files: &[(String, Vec<u8>)]) -> Result<(), String> {
    let folder = format!("checkpoint-{}", run.step);
    for (name, bytes) in files {
        browser::write(&format!("run/{folder}/{name}"), bytes).await?;
    }
    let record = serde_json::to_vec(run).map_err(|error| error.to_string())?;
    browser::write(RUN, &record).await?;
    for (name, _) in browser::list("run").await? {
        if name.starts_with("checkpoint-") && name != folder {
            browser::delete(&format!("run/{name}")).await?;
        }
    }
    Ok(())
}

/// Returns the interrupted run, if there is one.
pub async fn interrupted() -> Result<Option<InterruptedRun>, String> {
    let record = browser::read(RUN).await?;
    Ok(record.and_then(|record| serde_json::from_slice(&record).ok()))
}

/// The checkpoint of an interrupted run.
#[derive(Debug, Clone, Copy)]
pub struct StoredCheckpoint {
    step: usize,
}

impl StoredCheckpoint {
    /// Returns the stored checkpoint.
    pub async fn last() -> lorelei_session::Result<Self> {
        let run = interrupted().await.map_err(host_error)?.ok_or(SessionError::NoCheckpoint)?;
        Ok(Self { step: run.step })
    }
}

impl Folder for StoredCheckpoint {
    fn name(&self) -> String {
        format!("checkpoint-{}", self.step)
    }

    async fn read(&self, file: &str) -> lorelei_session::Result<Option<Vec<u8>>> {
        browser::read(&format!("run/{}/{file}", self.name())).await.map_err(host_error)
    }
}

/// Deletes the interrupted run, and reports it to the page.
pub async fn discard() -> Result<(), String> {
    forget().await?;
    device::capabilities().await
}

/// Deletes the interrupted run.
pub async fn forget() -> Result<(), String> {
    browser::delete("run").await
}
