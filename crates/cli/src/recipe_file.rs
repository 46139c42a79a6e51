//! The recipe that a command is run with.

use std::{fs, path::PathBuf};

use lorelei_recipe::{Recipe, RecipeError};
use miette::{IntoDiagnostic, LabeledSpan, NamedSource, Report, Result, WrapErr, miette};

use crate::report;

/// A recipe on the command line.
#[derive(clap::Args)]
pub struct RecipeArguments {
    /// The recipe, TOML or JSON.
    #[arg(required_unless_present = "link")]
    pub recipe: Option<PathBuf>,
    /// The recipe in a page's link, instead of a file.
    #[arg(long, value_name = "URL", conflicts_with = "recipe")]
    pub link: Option<String>,
    /// Replace a value of the recipe: table.key=value.
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub set: Vec<String>,
}

impl RecipeArguments {
    /// Reads the file, applies `--set`, and prints warnings.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not a valid recipe.
    pub fn read(&self) -> Result<Recipe> {
        if let Some(link) = &self.link {
            let recipe = lorelei_recipe::decode_link(link).map_err(report)?;
            return parse(&recipe.to_json(), "link", true, &self.set);
        }
        let path = self.recipe.as_deref().ok_or_else(|| miette!("name a recipe, or a --link"))?;
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
        let json = path.extension().is_some_and(|extension| extension == "json");
        parse(&text, &name, json, &self.set)
    }
}

/// Parses a recipe's text, applies `set`, and prints warnings.
///
/// # Errors
///
/// If it is not a valid recipe.
pub fn parse(text: &str, name: &str, json: bool, set: &[String]) -> Result<Recipe> {
    let read = if json { Recipe::from_json(text, name) } else { Recipe::from_toml(text, name) };
    let (mut recipe, mut warnings) = read.map_err(|error| shown(error, text))?;
    for assignment in set {
        warnings.extend(recipe.set(assignment).map_err(report)?);
    }
    recipe.validate().map_err(report)?;
    for warning in warnings {
        say_err!("warning: {warning}");
    }
    Ok(recipe)
}

/// Returns the report of an error, with the place in the recipe's text that it is about.
pub fn shown(error: RecipeError, text: &str) -> Report {
    if error.line == 0 {
        return report(error);
    }
    let line_start: usize = text.split_inclusive('\n').take(error.line - 1).map(str::len).sum();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let column: usize = line.chars().take(error.column.saturating_sub(1)).map(char::len_utf8).sum();
    let label = LabeledSpan::at_offset(line_start + column, "here");
    miette!(labels = vec![label], "{error}").with_source_code(NamedSource::new(&error.file, text.to_owned()))
}
