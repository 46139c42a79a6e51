//! `lorelei import`: a recipe made from another trainer's configuration.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use lorelei_recipe::Imported;
use miette::{IntoDiagnostic, Result, WrapErr};

use crate::{disk, recipe_file::shown, report};

/// Arguments of `lorelei import`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Python or a notebook for PEFT, Transformers, TRL or Unsloth, adapter_config.json, or YAML or JSON of LLaMA-Factory, mlx-lm, axolotl, TRL or
    /// torchtune; - reads from standard input. Nothing is executed.
    file: PathBuf,
    /// Write the recipe here instead of printing it.
    #[arg(long, short, value_name = "RECIPE")]
    output: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// If the file cannot be read, or has no setting that is known.
pub fn run(arguments: &Arguments) -> Result<()> {
    let is_input = arguments.file == Path::new("-");
    let name = if is_input { "standard input".into() } else { arguments.file.display().to_string() };
    let mut text = String::new();
    let read = if is_input {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(&arguments.file).map(|found| text = found)
    };
    read.into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
    let imported = Imported::from_text(&text, &name).map_err(|error| shown(error, &text))?;
    say_err!("{name} was read as {}", imported.format.name());
    if !imported.left_out.is_empty() {
        say_err!(
            "Left out, so that the recipe has its default or nothing for it ({}):",
            imported.left_out.len()
        );
    }
    for left_out in &imported.left_out {
        say_err!("{left_out}");
    }
    for warning in &imported.warnings {
        say_err!("warning: {warning}");
    }
    let recipe = imported.recipe.to_toml();
    let Some(path) = &arguments.output else {
        say!("{}", recipe.trim_end());
        return Ok(());
    };
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    disk::save(disk::parent(path), &[(file, recipe.into_bytes())]).map_err(report)
}
