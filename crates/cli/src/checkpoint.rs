//! Resuming from a checkpoint that a run has left in its `output_dir`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lorelei_formats::SafetensorsFile;
use lorelei_session::Resumed;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{file_system::DiskFolder, report};

/// Returns the newest whole checkpoint in `output_dir`, as Transformers' `get_last_checkpoint` finds it. A checkpoint that cannot be read is skipped
/// with a warning.
///
/// # Errors
///
/// If there is none.
pub fn last(output_dir: &Path) -> Result<PathBuf> {
    if !output_dir.exists() {
        return Err(miette!(
            "there is no checkpoint: training.output_dir {} is not there",
            output_dir.display()
        ));
    }
    let mut found = all(output_dir).into_diagnostic().wrap_err_with(|| {
        format!("there is no checkpoint: training.output_dir {} cannot be read", output_dir.display())
    })?;
    let count = found.len();
    while let Some((_, folder)) = found.pop() {
        match is_whole(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => say_err!("warning: {} is passed over: {error:#}", folder.display()),
        }
    }
    if count > 0 {
        return Err(miette!(
            "none of the checkpoints in {} can be resumed from: see the warnings above",
            output_dir.display()
        ));
    }
    Err(miette!(
        "there is no checkpoint in {}: runs leave one every training.save_steps; begin without --resume-from-checkpoint",
        output_dir.display()
    ))
}

/// Returns the step and the folder of every checkpoint, the newest last.
fn all(output_dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let step = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let entries = fs::read_dir(output_dir)?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
    found.sort();
    Ok(found)
}

/// Removes the oldest checkpoints, except the newest `keep` and the one called `best`.
///
/// # Errors
///
/// If one cannot be removed.
pub fn rotate(output_dir: &Path, keep: usize, best: Option<&str>) -> std::io::Result<()> {
    let mut found = all(output_dir)?;
    let is_best = |path: &Path| best.is_some_and(|best| path.file_name().is_some_and(|name| name == best));
    // Like Transformers: the best counts as the newest but one.
    if let Some(at) = found.iter().position(|(_, path)| is_best(path))
        && at + 2 < found.len()
    {
        let best = found.remove(at);
        found.insert(found.len() - 1, best);
    }
    let surplus = found.len().saturating_sub(keep);
    for (_, path) in found.into_iter().take(surplus).filter(|(_, path)| !is_best(path)) {
        // A folder that is half removed must not look like a checkpoint.
        let aside =
            path.with_file_name(format!(".tmp{}.tmp", path.file_name().unwrap_or_default().display()));
        fs::rename(&path, &aside)?;
        fs::remove_dir_all(&aside)?;
    }
    Ok(())
}

/// Checks that a run can be resumed from a checkpoint's folder.
fn is_whole(folder: &Path) -> Result<()> {
    let disk = DiskFolder::from(folder);
    pollster::block_on(Resumed::read(&disk)).map_err(report)?;
    weights(folder)
}

/// Checks that a checkpoint's weights can be read: those of the adapter, or of the whole model.
fn weights(folder: &Path) -> Result<()> {
    let adapter = folder.join("adapter_model.safetensors");
    let path = if adapter.exists() { adapter } else { folder.join("model.safetensors") };
    let bytes =
        fs::read(&path).into_diagnostic().wrap_err_with(|| format!("cannot read {}", path.display()))?;
    SafetensorsFile::open(bytes, path.display().to_string()).map(drop).map_err(report)
}

/// Returns the lines of a log that were written up to `step`.
pub fn log_until(log: &str, step: usize) -> String {
    let until = |line: &&str| {
        let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
        line.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step as u64)
    };
    log.lines().filter(until).map(|line| format!("{line}\n")).collect()
}
