//! `lorelei train`.

use std::path::{Path, PathBuf};

use miette::Result;

use crate::{checkpoint, device::DeviceArguments, prepared::Prepared, recipe_file::RecipeArguments};

/// Arguments of `lorelei train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Go on from a checkpoint: from the newest in training.output_dir, or from the folder given.
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1, default_missing_value = LAST)]
    resume_from_checkpoint: Option<PathBuf>,
    /// Draw the curves in the terminal while it trains; q ends the run and saves.
    #[arg(long)]
    tui: bool,
}

/// The value that names the newest checkpoint, as in `trainer.train(resume_from_checkpoint=True)`.
const LAST: &str = "true";

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model or the data is wrong, or the run fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    let resume = match &arguments.resume_from_checkpoint {
        Some(word) if word == Path::new(LAST) => {
            Some(checkpoint::last(Path::new(&recipe.training.output_dir))?)
        }
        given => given.clone(),
    };
    let device = arguments.device.choose()?;
    let mut prepared = Prepared::new(recipe, &device, resume.as_deref())?;
    prepared.print_hints();
    if arguments.tui {
        prepared.terminal.with_curves()?;
    }
    prepared.train()?;
    say!("saved in {}", prepared.terminal.output().display());
    Ok(())
}
