//! Going on from a checkpoint that a run has left in its `output_dir`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lorelei_train::Checkpoint;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::report;

/// The newest checkpoint in `output_dir`, as Transformers' `get_last_checkpoint` finds it.
///
/// # Errors
///
/// If there is none.
pub fn last(output_dir: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(output_dir).into_diagnostic().wrap_err_with(|| {
        format!("there is no checkpoint: training.output_dir {} cannot be read", output_dir.display())
    })?;
    let step = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let found = entries.flatten().map(|entry| entry.path()).filter_map(|path| Some((step(&path)?, path)));
    let newest = found.max_by_key(|(step, _)| *step).map(|(_, path)| path);
    newest.ok_or_else(|| {
        miette!(
            "there is no checkpoint in {}: runs leave one every training.save_steps; begin without --resume-from-checkpoint",
            output_dir.display()
        )
    })
}

/// Step and optimizer of a checkpoint's folder.
///
/// # Errors
///
/// If a file is missing or is not what the trainer writes.
pub fn read(folder: &Path) -> Result<Checkpoint> {
    let file = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).into_diagnostic().wrap_err_with(|| {
            format!("cannot read {}: a checkpoint that can be gone on from has it", path.display())
        })
    };
    let state = file("trainer_state.json")?;
    Checkpoint::read(file("optimizer.safetensors")?, &String::from_utf8_lossy(&state)).map_err(report)
}

/// The lines of a log that were written up to `step`.
pub fn log_until(log: &str, step: usize) -> String {
    let until = |line: &&str| {
        let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
        line.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step as u64)
    };
    log.lines().filter(until).map(|line| format!("{line}\n")).collect()
}
