//! `lorelei link`: a recipe as a link that the page opens.

use lorelei_recipe::HostKind;
use miette::Result;

use crate::recipe_file::RecipeArguments;

/// Arguments of `lorelei link`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The page's address.
    #[arg(long, default_value = "http://localhost:8080/")]
    page: String,
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe is not a valid one.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    for setting in recipe.unhonoured(HostKind::Page) {
        say_err!("warning: {}", setting.message());
    }
    say!("{}#{}", arguments.page, lorelei_recipe::encode_link(&recipe));
    Ok(())
}
