//! The files that are saved with a result, beside its weights and configuration.

use lorelei_data::Labels;
use lorelei_recipe::Recipe;

use crate::model_card;

/// Name of the log: the logged steps and the evaluations, one a line.
pub const LOG_FILE: &str = "trainer_log.jsonl";
/// Name of the model card.
pub const CARD_FILE: &str = "README.md";

/// What the weights of a result are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// An adapter.
    Adapter,
    /// A model that was trained whole.
    Model,
    /// An adapter that is merged into its base.
    Merged,
}

impl ResultKind {
    /// Returns the name of the result's folder: that of the run, or beside it.
    pub(crate) fn folder(self, recipe: &Recipe) -> String {
        match (self, recipe.training.output_dir.as_str()) {
            (Self::Adapter | Self::Model, folder) => folder.to_owned(),
            (Self::Merged, "") => "merged".to_owned(),
            (Self::Merged, folder) => format!("{folder}-merged"),
        }
    }
}

/// Description of a finished run, for the files beside its weights.
#[derive(Debug, Clone, Copy)]
pub struct FinishedRun<'r> {
    /// The recipe of the run.
    pub recipe: &'r Recipe,
    /// What its weights are.
    pub result: ResultKind,
    /// Whether the recipe's model is on the hub.
    pub base_is_on_hub: bool,
    /// A classifier's labels.
    pub labels: Option<&'r Labels>,
    /// Number of rows that it was trained on, if it is known; with `packing`, of sequences.
    pub num_examples: Option<usize>,
    /// Contents of [`LOG_FILE`].
    pub log: &'r str,
    /// The licence of the base model, if it is known: [`crate::license_of`] its card, [`crate::license_in`] its file.
    pub license: Option<&'r str>,
}

impl FinishedRun<'_> {
    /// Returns the files that are saved with the weights and their companions: the recipe and the model card.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        vec![
            ("recipe.toml".to_owned(), self.recipe.to_toml().into_bytes()),
            (CARD_FILE.to_owned(), model_card(self).into_bytes()),
        ]
    }
}
