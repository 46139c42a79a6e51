//! A recipe's run before it begins: its model as plain data, and its rows. `lorelei fit` and `lorelei params` report on this.

use lorelei_data::Labels;
use lorelei_estimate::{ModelShape, Trainable};
use lorelei_formats::{
    ModelSource,
    config::{Module, Task},
};
use lorelei_models::{Model, ModelError, Purpose, model_shape};
use lorelei_recipe::Recipe;
use lorelei_session::{Dataset, RunData};
use miette::Result;

use crate::{
    adapter,
    prepared::{dataset_request, read_dataset},
    report, source,
};

/// A planned run.
pub struct Planned {
    /// The recipe, with the configuration of the adapter that it starts from.
    pub recipe: Recipe,
    /// The model, with as many classes as the data have.
    pub shape: ModelShape,
    source: ModelSource,
    task: Task,
    data: Option<Dataset>,
}

impl Planned {
    /// Returns the model's modules and the parts of them that the run trains.
    ///
    /// # Errors
    ///
    /// If the recipe does not fit the model.
    pub fn trainable(&self) -> Result<(Vec<Module>, Trainable)> {
        let modules = self.shape.modules(self.task);
        let trainable = Trainable::of_recipe(&self.recipe, &self.shape, &modules).map_err(report)?;
        match trainable.lora() {
            Some(lora) if trainable.target_modules(&modules).is_empty() => {
                Err(report(ModelError::no_target(lora, &modules)))
            }
            Some(_) | None => {
                for warning in trainable.unmatched(&modules) {
                    say_err!("warning: {warning}");
                }
                Ok((modules, trainable))
            }
        }
    }

    /// Opens the recipe's model without reading its weights. `keep_packed` returns whether the blocks of a GGUF file are kept as they are. The labels
    /// of a classifier are read where the recipe names data.
    ///
    /// # Errors
    ///
    /// If the recipe, the model or the data is wrong.
    pub fn new(recipe: Recipe, keep_packed: impl Fn(&Recipe) -> bool) -> Result<Self> {
        let recipe = adapter::effective(recipe)?;
        let source = source::open(recipe.model.name().map_err(report)?)?;
        let config = source::config_for(&source, Purpose::of(&recipe))?;
        Model::check_tensors(&config, &*source.tensors).map_err(report)?;
        let shape = model_shape(&config, &*source.tensors, keep_packed(&recipe));
        let mut planned = Self { recipe, shape, source, task: config.task, data: None };
        if config.task.classifies() {
            planned.read_data()?;
        }
        if let Some(labels) = planned.data.as_ref().and_then(|data| data.labels.as_ref()) {
            planned.shape.set_num_labels(Labels::num_labels(labels));
        }
        Ok(planned)
    }

    /// Returns the length in tokens of the longest row, or `None` where the recipe names no data.
    ///
    /// # Errors
    ///
    /// If the data is wrong.
    pub fn longest_row(&mut self) -> Result<Option<usize>> {
        self.read_data()?;
        let Some(data) = self.data.take() else { return Ok(None) };
        let seed = self.recipe.training.shuffle_seed();
        let RunData { train, validation, .. } = data.split(&self.recipe.data, seed).map_err(report)?;
        let rows = [train, validation];
        Ok(rows.iter().flat_map(|rows| (0..rows.len()).map(|row| rows.num_tokens(row))).max())
    }

    fn read_data(&mut self) -> Result<()> {
        let has_data = self.recipe.data.train_file.is_some() && self.task != Task::FeatureExtraction;
        if has_data && self.data.is_none() {
            let tokenizer = source::tokenizer(&self.source)?;
            let request = dataset_request(&self.recipe, &tokenizer, self.shape.vocab_size, self.task);
            self.data = Some(read_dataset(&self.recipe, request)?);
        }
        Ok(())
    }
}
