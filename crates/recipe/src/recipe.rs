//! The four sections of a run.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::fields::{self, Field};

use crate::{DataSection, HubId, LoraConfig, ModelSection, TrainingArguments};

/// A complete description of a run. [`Recipe::from_toml`] and [`Recipe::from_json`] read one, and their errors have a
/// place. The serde form (the same names, nothing checked) is for messages between parts of the program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// `[model]`: the model to train.
    pub model: ModelSection,
    /// `[data]`: the data to train on.
    pub data: DataSection,
    /// `[lora]`: PEFT's `LoraConfig`.
    pub lora: LoraConfig,
    /// `[training]`: Transformers' `TrainingArguments`.
    pub training: TrainingArguments,
}

impl Recipe {
    /// Returns the recipe for other people's eyes: files and folders without the folders that they are in on this machine, and no upload.
    pub fn without_folders(&self) -> Self {
        let mut recipe = self.clone();
        let Self { model, data, training, .. } = &mut recipe;
        for name in [&mut model.model_name_or_path, &mut model.adapter_name_or_path].into_iter().flatten() {
            if HubId::parse(name).is_none() {
                *name = last_part(name).to_owned();
            }
        }
        for file in [&mut data.train_file, &mut data.validation_file].into_iter().flatten() {
            *file = last_part(file).to_owned();
        }
        training.output_dir = last_part(&training.output_dir).to_owned();
        training.logging_dir = training.logging_dir.take().map(|folder| last_part(&folder).to_owned());
        training.push_to_hub = false;
        (training.hub_model_id, training.hub_private_repo, training.hub_revision) = (None, None, None);
        recipe
    }
}

impl Recipe {
    /// Returns the kept settings whose values are not the defaults, in the order of the table of settings.
    pub fn changed(&self) -> Vec<(&'static Field, Json)> {
        let recipe = serde_json::to_value(self).unwrap_or_default();
        let kept = fields::all().filter(|field| field.kind.is_kept());
        let valued =
            kept.filter_map(|field| Some((field, recipe.get(field.table.name())?.get(field.name)?.clone())));
        valued.filter(|(field, value)| !field.is_harmless(value)).collect()
    }
}

/// Returns the last part of a path of any system: the name of the file or folder. `builtin:tiny` is one.
pub(crate) fn last_part(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}
