//! PEFT's `adapter_config.json`.

use serde_json::{Map, Value as Json, json};

use crate::fields::{self, Table};
use crate::hub_id::id_and_revision;
use crate::read::{lora, place, section};
use crate::source::{Source, Value};
use crate::{LoraConfig, Message, RecipeError, Warning, message};

/// The version of PEFT whose file format is written.
pub const PEFT_VERSION: &str = "0.21.2";

/// The content of an `adapter_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftConfig {
    /// The configuration of the adapter.
    pub lora: LoraConfig,
    /// The base model that the file names.
    pub base_model: Option<String>,
    /// Warnings about keys that are unknown here and switch something on, such as a newer PEFT's.
    pub warnings: Vec<Warning>,
}

impl LoraConfig {
    /// Reads an `adapter_config.json`. Errors and warnings call the file `file_name`.
    ///
    /// # Errors
    /// If the adapter is not LoRA, or uses something that Lorelei does not have. The error has a line and a column, like
    /// those of [`crate::Recipe::from_json`].
    pub fn from_peft_json(text: &str, file_name: &str) -> Result<PeftConfig, RecipeError> {
        let source = Source::new(file_name, text);
        let entries = source.json()?;
        let section = section(&source, Table::Lora, &entries, true).map_err(short)?;
        let lora = lora(section.values).map_err(|error| short(source.locate(None, error)))?;
        lora.validate().map_err(|error| short(source.locate(place(&section.places, &error.key), error)))?;
        let base = entries.iter().find(|entry| entry.name == "base_model_name_or_path");
        let base_model = match base.map(|entry| &entry.node.value) {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        };
        let version = entries.iter().find(|entry| entry.name == "peft_version");
        let writer = match version.map(|entry| &entry.node.value) {
            Some(Value::Text(version)) => message!("; PEFT {version} wrote the file", version),
            _ => Message::default(),
        };
        let unknown = |(key, at): (String, usize)| {
            let message = message!(
                "{key} is unknown here and was passed over{writer}: the adapter may compute something else where it is known",
                key = &key,
                writer = &writer
            );
            source.locate_warning(Some(at), Warning::new(key, message))
        };
        let warnings = section.unknown.into_iter().map(unknown).collect();
        Ok(PeftConfig { lora, base_model, warnings })
    }

    /// Writes `adapter_config.json` with the keys of PEFT 0.21, in their order.
    ///
    /// `resolved_target_modules` are the names or paths of the modules that got an adapter. They are written when
    /// `target_modules` is `"all-linear"` or absent: PEFT, too, writes the resolved modules. A list or a regex is
    /// written as it is, so that it selects the same modules when the adapter is loaded.
    pub fn to_peft_json(&self, base_model_name_or_path: &str, resolved_target_modules: &[String]) -> String {
        let (base, revision) = id_and_revision(base_model_name_or_path);
        let target_modules = match &self.target_modules {
            Some(target) if !target.is_all_linear() => json!(target),
            _ => json!(resolved_target_modules),
        };
        // serde leaves out settings that are absent; PEFT writes them all.
        let own = serde_json::to_value(self).unwrap_or_default();
        let mut keys: Vec<(&str, Json)> = fields::of(Table::Lora)
            .iter()
            .filter(|field| field.name != "runtime_config")
            .map(|field| {
                let value = match field.name {
                    "base_model_name_or_path" => json!(base),
                    "inference_mode" => json!(true),
                    "peft_version" => json!(PEFT_VERSION),
                    "revision" => json!(revision),
                    "target_modules" => target_modules.clone(),
                    name => own.get(name).cloned().unwrap_or_else(|| field.default_value()),
                };
                (field.name, value)
            })
            .collect();
        keys.sort_by_key(|(key, _)| *key);
        let map: Map<String, Json> = keys.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        serde_json::to_string_pretty(&map).unwrap_or_default()
    }
}

/// Removes `lora.` from the key of an error, because this file has no section `[lora]`.
fn short(mut error: RecipeError) -> RecipeError {
    if let Some(key) = error.key.strip_prefix("lora.") {
        error.key = key.to_string();
    }
    error
}
