//! `lorelei params`.

use burn::tensor::Device;
use lorelei_formats::parameter_key;
use lorelei_models::{Purpose, Storage};
use lorelei_recipe::FinetuningType;
use miette::Result;

use crate::{
    file_system::FileSystem, recipe_file::RecipeArguments, report, source, terminal::parameters_line,
};

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
    let recipe = arguments.recipe.read()?;
    let source = source::open(recipe.model.name().map_err(report)?)?;
    let purpose = Purpose::of(&recipe);
    let mut model = source::load_for(&source, &Device::flex(), Storage::SINGLE, purpose)?;
    pollster::block_on(lorelei_session::adapt(&FileSystem, &mut model, &recipe)).map_err(report)?;
    let is_full = recipe.training.finetuning_type == FinetuningType::Full;
    let (trainable, all) = model.parameter_counts();
    say!("{}", parameters_line(trainable, all));
    for (name, shape) in model.parameter_names() {
        // An adapter's tensors by the names that they have in its file.
        let key = if is_full { name } else { parameter_key(&name) };
        say!("{key} {shape:?}");
    }
    Ok(())
}
