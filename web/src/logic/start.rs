//! The initial recipe of the form.

use lorelei_recipe::Recipe;

const START: &str = include_str!("../../start.toml");

/// Returns the recipe of `web/start.toml`.
pub fn start_recipe() -> Recipe {
    Recipe::from_toml(START, "start.toml").map(|(recipe, _)| recipe).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_recipe_is_one() {
        let (recipe, warnings) = Recipe::from_toml(START, "start.toml").expect("start.toml");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(recipe.validate(), Ok(Vec::new()));
        assert_eq!(start_recipe(), recipe);
    }
}
