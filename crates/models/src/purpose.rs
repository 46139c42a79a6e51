//! Purpose for which a model is loaded.

use lorelei_estimate::task_of;
use lorelei_formats::{ModelConfig, config::Task};
use lorelei_recipe::{Recipe, TaskType};

use crate::ModelError;

/// Purpose for which a model is loaded, if it differs from that in its `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purpose {
    /// Task of the adapter.
    pub task: Option<TaskType>,
    /// Number of classes of a classifier.
    pub num_labels: Option<usize>,
}

impl Purpose {
    /// Returns the purpose of a recipe's run, before its labels are known.
    pub fn of(recipe: &Recipe) -> Self {
        Self { task: recipe.lora.task_type, num_labels: None }
    }

    /// Returns the task of the model with `config`: the purpose's, or else that of its `config.json`.
    pub fn task(self, config: &ModelConfig) -> Task {
        self.task.map_or(config.task, task_of)
    }

    /// Like [`Self::task`], for a model that is to be trained.
    ///
    /// # Errors
    ///
    /// If the task has no head to train.
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

    /// Returns the configuration for the purpose's task.
    ///
    /// # Errors
    ///
    /// If the model has no head for the task.
    pub fn config(self, config: ModelConfig) -> Result<ModelConfig, ModelError> {
        let (task, num_labels) = (self.task(&config), self.num_labels.unwrap_or(config.num_labels));
        Ok(config.for_task(task, num_labels)?)
    }
}
