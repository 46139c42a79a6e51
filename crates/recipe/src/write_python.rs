//! Writes a recipe as Python: an equivalent `LoraConfig` and `TrainingArguments`.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::fields::{self, Field, Table};
use crate::{FinetuningType, Recipe};

impl Recipe {
    /// Formats the recipe as Python for PEFT and Transformers: the settings that differ from their defaults, which are Lorelei's too. Settings
    /// that have no place there (the data, the model's dtype) are in comments.
    pub fn to_peft_python(&self) -> String {
        let (own, defaults) = (tables(self), tables(&Recipe::default()));
        let mut text =
            String::from("from peft import LoraConfig\nfrom transformers import TrainingArguments\n\n");
        if self.training.finetuning_type == FinetuningType::Full {
            text = text.replacen("from peft import LoraConfig\n", "", 1);
        } else {
            if self.lora.counts_layers_as_peft_does_not() {
                text.push_str(
                    "# PEFT takes layers_to_transform with a list of target_modules, and layers counted from 0, only: name them\n",
                );
            }
            call(&mut text, "peft_config", "LoraConfig", &changed(&own, &defaults, Table::Lora));
        }
        let (theirs, ours): (Vec<_>, Vec<_>) = changed(&own, &defaults, Table::Training)
            .into_iter()
            .filter(|(name, _)| name != "output_dir")
            .partition(|(name, _)| is_theirs(name));
        let always = [("output_dir".to_owned(), Json::from(self.training.output_dir.as_str()))];
        let training: Vec<_> = always.into_iter().chain(theirs).collect();
        call(&mut text, "training_args", "TrainingArguments", &training);
        for table in [Table::Model, Table::Data] {
            for (name, value) in changed(&own, &defaults, table) {
                let _ = writeln!(text, "# {table}.{name} = {}", python(&value));
            }
        }
        for (name, value) in ours {
            let _ = writeln!(text, "# training.{name} = {}", python(&value));
        }
        text
    }
}

/// Whether Transformers 5's `TrainingArguments` takes a setting: it is not Lorelei's own, and Transformers 5 has not removed it.
fn is_theirs(name: &str) -> bool {
    fields::find(Table::Training, name)
        .is_some_and(|field| field.upstream != Field::OURS && !field.upstream.contains("removed"))
}

fn tables(recipe: &Recipe) -> Json {
    serde_json::to_value(recipe).unwrap_or_default()
}

fn changed(own: &Json, defaults: &Json, table: Table) -> Vec<(String, Json)> {
    let values = own.get(table.name()).and_then(Json::as_object);
    let default = |name: &str| defaults.get(table.name()).and_then(|section| section.get(name));
    let changed =
        values.into_iter().flatten().filter(|(name, value)| default(name) != Some(value) && !value.is_null());
    // Transformers 5 reads warmup_steps below 1 as a share, as warmup_ratio was.
    let renamed =
        |name: &str| if name == "warmup_ratio" { "warmup_steps".to_owned() } else { name.to_owned() };
    changed.map(|(name, value)| (renamed(name), value.clone())).collect()
}

fn call(text: &mut String, variable: &str, class: &str, arguments: &[(String, Json)]) {
    let _ = writeln!(text, "{variable} = {class}(");
    for (name, value) in arguments {
        let _ = writeln!(text, "    {name}={},", python(value));
    }
    text.push_str(")\n");
}

/// Formats a value as a literal of Python. Strings of JSON are valid in Python.
fn python(value: &Json) -> String {
    match value {
        Json::Null => "None".into(),
        Json::Bool(flag) => if *flag { "True" } else { "False" }.into(),
        Json::Array(list) => format!("[{}]", list.iter().map(python).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", Json::from(key.as_str()), python(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}
