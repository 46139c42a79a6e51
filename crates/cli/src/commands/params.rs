//! `lorelei params`.

use burn::tensor::Device;
use lorelei_formats::adapter_key;
use lorelei_models::Storage;
use miette::Result;

use crate::{adapter, recipe_file::RecipeArguments, source, terminal::parameters_line};

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
    let source = source::open(&recipe.model.model_name_or_path)?;
    let mut model = source::load(&source, &Device::flex(), Storage::SINGLE)?;
    adapter::adapt(&mut model, &recipe)?;
    let (trainable, all) = model.parameter_counts();
    say!("{}", parameters_line(trainable, all));
    for (name, shape) in model.parameter_names() {
        // An adapter's tensors by the names that they have in its file.
        let name = match name.rfind(".lora_") {
            Some(at) => adapter_key(&name[..at], &name[at + 1..]),
            None => name,
        };
        say!("{name} {shape:?}");
    }
    Ok(())
}
