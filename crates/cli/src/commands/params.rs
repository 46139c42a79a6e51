//! `lorelei params`.

use lorelei_estimate::ParameterShape;
use lorelei_formats::parameter_key;
use lorelei_recipe::FinetuningType;
use miette::Result;

use crate::{planned::Planned, recipe_file::RecipeArguments, terminal::parameters_line};

/// Arguments of `lorelei params`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe or the model is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    let planned = Planned::new(arguments.recipe.read()?, |_| false)?;
    let (modules, trainable) = planned.trainable()?;
    let counted = trainable.counts(&modules);
    say!("{}", parameters_line(counted.trainable as usize, counted.all as usize));
    let is_full = planned.recipe.training.finetuning_type == FinetuningType::Full;
    for ParameterShape { name, shape, .. } in trainable.parameters(&modules) {
        // An adapter's tensors are listed by the names that they have in its file.
        let key = if is_full { name } else { parameter_key(&name) };
        say!("{key} {shape:?}");
    }
    Ok(())
}
