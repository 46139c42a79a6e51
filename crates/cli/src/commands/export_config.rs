//! `lorelei export-config`: a recipe in another trainer's form.

use miette::Result;

use crate::recipe_file::RecipeArguments;

/// Arguments of `lorelei export-config`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Whose form.
    #[arg(long, value_enum, default_value = "peft")]
    to: To,
}

/// A form that a recipe can be printed in.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum To {
    /// Python: PEFT's LoraConfig and Transformers' TrainingArguments.
    Peft,
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe is not a valid one.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    match arguments.to {
        To::Peft => say!("{}", recipe.to_peft_python().trim_end()),
    }
    Ok(())
}
