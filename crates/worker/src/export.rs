//! The adapter as a zip.

use std::io::{Cursor, Write as _};

use lorelei_data::LABELS_FILE;
use lorelei_protocol::Reply;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    desk, port,
    run::{self, Trained},
};

/// Sends the last run's adapter with its configuration, recipe, log and model card.
pub fn export() -> Result<(), String> {
    let trained =
        desk::with(|desk| desk.trained.clone()).ok_or("there is no adapter yet: train one first")?;
    let bytes = zipped(&trained).map_err(|error| format!("the zip cannot be made: {error}"))?;
    let name = std::path::Path::new(&trained.recipe.training.output_dir).file_name();
    let name = name.map_or_else(|| "adapter".into(), |name| name.to_string_lossy().into_owned());
    port::post_with(&Reply::Exported { file_name: format!("{name}.zip") }, Some(&bytes));
    Ok(())
}

fn zipped(trained: &Trained) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Weights do not compress.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| -> zip::result::ZipResult<()> {
        zip.start_file(name, options)?;
        Ok(zip.write_all(bytes)?)
    };
    for (name, bytes) in &trained.files {
        add(name, bytes)?;
    }
    add("recipe.toml", trained.recipe.to_toml().as_bytes())?;
    add(run::LOG, trained.log.as_bytes())?;
    // Files that a person chose have a name and no path.
    let name = trained.recipe.model.model_name_or_path.as_deref().unwrap_or_default();
    let on_hub = name.contains('/') && !name.starts_with(['.', '/']);
    let card = lorelei_train::model_card(&trained.recipe, on_hub, trained.labels.as_ref());
    add("README.md", card.as_bytes())?;
    if let Some(labels) = &trained.labels {
        add(LABELS_FILE, labels.to_json().as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}
