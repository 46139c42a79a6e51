//! What a model is loaded for.

use lorelei_estimate::task_of;
use lorelei_formats::{ModelConfig, config::Task};
use lorelei_recipe::{Recipe, TaskType};

use crate::ModelError;

/// What a model is loaded for, where that is not what its `config.json` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purpose {
    /// The adapter's task.
    pub task: Option<TaskType>,
    /// The classes of a classifier.
    pub num_labels: Option<usize>,
}

impl Purpose {
    /// That of a recipe's run, before its labels are known.
    pub fn of(recipe: &Recipe) -> Self {
        Self { task: recipe.lora.task_type, num_labels: None }
    }

    /// What the model of `config` is to do: what the purpose says, or else its `config.json`.
    pub fn task(self, config: &ModelConfig) -> Task {
        self.task.map_or(config.task, task_of)
    }

    /// As [`Self::task`], of a model that is to be trained.
    ///
    /// # Errors
    ///
    /// If the task has nothing to train by.
    pub fn trained_task(self, config: &ModelConfig) -> Result<Task, ModelError> {
        match self.task(config) {
            Task::FeatureExtraction => Err(ModelError::Unsupported(
                "the model has no head to train: set lora.task_type to \"SEQ_CLS\" (rows of text and label) or \
                 \"TOKEN_CLS\" (rows of tokens and tags)"
                    .to_owned(),
            )),
            task => Ok(task),
        }
    }

    /// The configuration for what the model is to do.
    ///
    /// # Errors
    ///
    /// If the model has no head for it.
    pub fn config(self, config: ModelConfig) -> Result<ModelConfig, ModelError> {
        let (task, num_labels) = (self.task(&config), self.num_labels.unwrap_or(config.num_labels));
        Ok(config.for_task(task, num_labels)?)
    }
}
