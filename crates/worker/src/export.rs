//! Download of the adapter as a zip.

use std::io::{Cursor, Write as _};

use lorelei_protocol::Reply;
use lorelei_recipe::message;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use lorelei_session::{FinishedRun, LOG_FILE, Result, SessionError};

use crate::{host_error, port, run::Trained, state};

/// Sends the last run's adapter with its configuration, recipe, log and model card.
pub fn export() -> Result<()> {
    let trained = state::with(|state| state.trained.clone()).ok_or(SessionError::NoAdapter)?;
    let bytes = zipped(&trained).map_err(|error| {
        host_error(message!("the zip cannot be made: {reason}", reason = error.to_string()))
    })?;
    let name = std::path::Path::new(&trained.recipe.training.output_dir).file_name();
    let name = name.map_or_else(|| "adapter".into(), |name| name.to_string_lossy().into_owned());
    port::post_with(&Reply::Exported { file_name: format!("{name}.zip") }, Some(&bytes));
    Ok(())
}

fn zipped(trained: &Trained) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Weights cannot be compressed further.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| -> zip::result::ZipResult<()> {
        zip.start_file(name, options)?;
        Ok(zip.write_all(bytes)?)
    };
    for (name, bytes) in &trained.files {
        add(name, bytes)?;
    }
    add(LOG_FILE, trained.log.as_bytes())?;
    let run = FinishedRun {
        recipe: &trained.recipe,
        is_adapter: true,
        base_is_on_hub: trained.base_is_on_hub,
        labels: trained.labels.as_ref(),
        num_examples: trained.num_examples,
        log: &trained.log,
        license: None,
    };
    for (name, bytes) in run.files() {
        add(&name, &bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
