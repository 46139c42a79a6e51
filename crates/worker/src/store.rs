//! The page's files in the browser's storage: fetched models, and the checkpoint of a run that may be interrupted.
//!
//! The paths are `models/<owner>@<name>@<revision>/<file>` (the revision encoded as in an address: it may be `refs/pr/1`), `run/checkpoint-<step>/<file>` and `run/run.json`. The last one names the valid
//! checkpoint and is written last: a tab that dies while it saves leaves the checkpoint before.

use lorelei_hub::names;
use lorelei_protocol::{CachedModel, InterruptedRun};
use lorelei_recipe::{Message, message};
use lorelei_session::{Folder, SessionError};

use crate::{browser, device, host_error};

const RUN: &str = "run/run.json";
/// Separator of the parts of a model's folder; it occurs in no owner, name or encoded revision.
const SEPARATOR: &str = "@";

/// Returns the models that are stored, in whole or in part, by their names: `owner/name/revision`.
pub async fn models() -> Result<Vec<CachedModel>, Message> {
    let models = browser::list("models").await?;
    let named = |folder: String| {
        let name = folder.replace(SEPARATOR, "/");
        names::decoded(&name).unwrap_or(name)
    };
    Ok(models.into_iter().map(|(folder, size)| CachedModel { name: named(folder), size }).collect())
}

/// Deletes a model and sends the page the list of those that are left.
pub async fn delete_model(name: &str) -> Result<(), Message> {
    let mut parts = name.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    browser::delete(&model_folder(part(), part(), part())?).await?;
    device::capabilities().await
}

/// Returns the folder of a model's files.
pub fn model_folder(owner: &str, name: &str, revision: &str) -> Result<String, Message> {
    let parts = [plain(owner)?, plain(name)?, plain(&names::encoded_segment(revision))?];
    Ok(format!("models/{}", parts.join(SEPARATOR)))
}

/// Returns a name that cannot lead out of its folder.
fn plain(name: &str) -> Result<String, Message> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '%');
    match !name.is_empty() && !name.contains("..") && name.chars().all(allowed) {
        true => Ok(name.to_owned()),
        false => Err(message!(
            "{name} is no name of a model: letters, digits, '.', '-' and '_' make one, as owner/name",
            ?name
        )),
    }
}

/// Stores a checkpoint: first its files, then the record that makes it the valid one. The checkpoint before is deleted last.
pub async fn checkpoint(run: &InterruptedRun, files: &[(String, Vec<u8>)]) -> Result<(), Message> {
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
pub async fn interrupted() -> Result<Option<InterruptedRun>, Message> {
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
pub async fn discard() -> Result<(), Message> {
    forget().await?;
    device::capabilities().await
}

/// Deletes the interrupted run.
pub async fn forget() -> Result<(), Message> {
    browser::delete("run").await
}
