//! `lorelei train`.

use std::path::{Path, PathBuf};

use miette::Result;

use crate::{
    checkpoint,
    device::DeviceArguments,
    prepared::{Prepared, Resume},
    recipe_file::RecipeArguments,
};

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
    /// With --resume-from-checkpoint: go on although the recipe or the rows have changed since the checkpoint. The changes are listed, and the result
    /// is that of neither run.
    #[arg(long, requires = "resume_from_checkpoint")]
    allow_changes: bool,
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
    let folder = match &arguments.resume_from_checkpoint {
        Some(word) if word == Path::new(LAST) => {
            Some(checkpoint::last(Path::new(&recipe.training.output_dir))?)
        }
        given => given.clone(),
    };
    let device = arguments.device.choose()?;
    let resume = folder.map(|folder| Resume { folder, allows_changes: arguments.allow_changes });
    let mut prepared = Prepared::new(recipe, &device, resume.as_ref())?;
    prepared.print_hints();
    if arguments.tui {
        prepared.terminal.with_curves()?;
    }
    // What takes long before this has nothing to save: there, a signal ends the program at once.
    let interrupt = prepared.terminal.listen()?;
    let finished = prepared.train()?;
    if finished.interrupted {
        say!("{}", interrupted(finished.steps));
        drop(prepared);
        std::process::exit(interrupt.exit_code());
    }
    say!("saved in {}", prepared.terminal.output().display());
    prepared.upload()
}

/// Says how an interrupted run is resumed.
fn interrupted(steps: usize) -> String {
    if steps == 0 {
        return "interrupted before the first step: there is nothing to save".into();
    }
    const FLAG: &str = "--resume-from-checkpoint";
    let words = std::env::args_os().skip(1);
    let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    // A checkpoint that was named is older than the one that was just saved.
    if let Some(at) = words.iter().position(|word| word == FLAG) {
        let has_value = words.get(at + 1).is_some_and(|word| !word.starts_with('-'));
        words.drain(at..=at + usize::from(has_value));
    }
    words.retain(|word| !word.starts_with("--resume-from-checkpoint="));
    let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    format!("interrupted after step {steps}. Go on with\n    lorelei {words} {FLAG}")
}

/// Quotes a word for a shell where it needs that.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:,@+%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
