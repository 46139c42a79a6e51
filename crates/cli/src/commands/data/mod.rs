//! `lorelei data`: the rows that a recipe makes of its files, without training.

mod preview;
mod stats;

use lorelei_data::Tokenizer;
use lorelei_formats::config::Task;
use lorelei_models::Purpose;
use lorelei_recipe::Recipe;
use miette::Result;

use crate::{report, source};

/// Arguments of `lorelei data`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the first rows as tokens, with those that are learnt marked.
    Preview(preview::Arguments),
    /// Print how long the rows are, how much of them is learnt, what padding costs, and how many steps they make.
    Stats(stats::Arguments),
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model's tokenizer or the data is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Preview(arguments) => preview::run(arguments),
        Command::Stats(arguments) => stats::run(arguments),
    }
}

/// Returns the tokenizer of a recipe's model, the number of the model's tokens, and its task. The weights are not read.
fn tokenizer(recipe: &Recipe) -> Result<(Tokenizer, usize, Task)> {
    let source = source::open(recipe.model.name().map_err(report)?)?;
    let tokenizer = source::tokenizer(&source)?;
    if tokenizer.uses_default_template() {
        say_err!("note: the model has no chat template: conversations are written as ChatML");
    }
    let config = source.model_config().map_err(report)?;
    let task = Purpose::of(recipe).task(&config);
    Ok((tokenizer, config.vocab_size, task))
}
