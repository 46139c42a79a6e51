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
    /// Number of rows that it was trained on; with `packing`, of sequences.
    pub num_examples: usize,
    /// Contents of [`LOG_FILE`].
    pub log: &'r str,
    /// The licence of the base model, if it is known: [`crate::license_of`] its card.
    pub license: Option<&'r str>,
}

impl FinishedRun<'_> {
    /// Returns the files that are saved with the weights and their companions: the recipe, and an adapter's model card.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![("recipe.toml".to_owned(), self.recipe.to_toml().into_bytes())];
        if self.is_adapter {
            files.push(("README.md".to_owned(), model_card(self).into_bytes()));
        }
        files
    }
}
