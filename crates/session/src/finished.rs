//! The files that are saved with an adapter, beside its weights and configuration.

use lorelei_data::Labels;
use lorelei_recipe::Recipe;

use crate::model_card;

/// Name of the log: the logged steps and the evaluations, one a line.
pub const LOG_FILE: &str = "trainer_log.jsonl";

/// Description of a finished run, for the files beside its weights.
#[derive(Debug, Clone, Copy)]
pub struct FinishedRun<'r> {
    /// The recipe of the run.
    pub recipe: &'r Recipe,
    /// Whether the result is an adapter, and not a whole model.
    pub is_adapter: bool,
    /// Whether the recipe's model is on the hub.
    pub base_is_on_hub: bool,
    /// A classifier's labels.
    pub labels: Option<&'r Labels>,
}

impl FinishedRun<'_> {
    /// Returns the files that are saved with the weights and their companions: the recipe, and an adapter's model card.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let Self { recipe, is_adapter, base_is_on_hub, labels } = *self;
        let mut files = vec![("recipe.toml".to_owned(), recipe.to_toml().into_bytes())];
        if is_adapter {
            let card = model_card(recipe, base_is_on_hub, labels);
            files.push(("README.md".to_owned(), card.into_bytes()));
        }
        files
    }
}
