//! Import of Python that creates a `LoraConfig` and `TrainingArguments`.

use super::collect::Collector;
use super::python::{Argument, Call, calls};
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Source, Value};

/// Classes whose arguments belong to `[training]`.
const TRAINING: &[&str] = &["TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig"];
/// Functions whose arguments describe more of a run.
const OTHER: &[&str] = &["from_pretrained", "load_dataset", "EarlyStoppingCallback"];

/// TRL's arguments that belong to `[data]`, and Lorelei's names for them.
const DATA: &[(&str, &str)] =
    &[("max_length", "max_length"), ("max_seq_length", "max_length"), ("packing", "packing")];
/// TRL's defaults that are not Transformers'.
const TRL_DEFAULTS: &[(&str, f64)] = &[("learning_rate", 2e-5), ("logging_steps", 10.0)];

/// Imports the calls in the text. Returns `None` if none of them describes a run.
pub(super) fn import(source: &Source<'_>) -> Result<Option<Imported>, RecipeError> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let calls = calls(source.text, |name| {
        let name = last(name);
        name == "LoraConfig" || TRAINING.contains(&name.as_str()) || OTHER.contains(&name.as_str())
    });
    let is_run =
        |call: &Call| last(&call.name) == "LoraConfig" || TRAINING.contains(&last(&call.name).as_str());
    if !calls.iter().any(is_run) {
        return Ok(None);
    }
    let mut collector = Collector::new(source);
    let (mut lora, mut training) = (false, false);
    for call in &calls {
        let name = last(&call.name);
        let seen = match name.as_str() {
            "LoraConfig" => Some(std::mem::replace(&mut lora, true)),
            name if TRAINING.contains(&name) => Some(std::mem::replace(&mut training, true)),
            _ => None,
        };
        match (name.as_str(), seen) {
            (_, Some(true)) => {
                collector.leave(&name, call.at, "there is one before it, and a recipe has one")
            }
            ("LoraConfig", _) => arguments(&mut collector, call, Table::Lora),
            ("from_pretrained", _) => model(&mut collector, call),
            ("load_dataset", _) => data(&mut collector, call),
            ("EarlyStoppingCallback", _) => {
                arguments(&mut collector, call, Table::Training);
                collector.imply(Table::Training, "early_stopping_patience", 1);
            }
            _ => arguments(&mut collector, call, Table::Training),
        }
        if name == "SFTConfig" && seen == Some(false) {
            for (name, value) in TRL_DEFAULTS {
                collector.imply(Table::Training, name, *value);
            }
            collector.imply(Table::Training, "gradient_checkpointing", true);
        }
    }
    collector.finish(ImportFormat::Python).map(Some)
}

fn arguments(collector: &mut Collector<'_>, call: &Call, table: Table) {
    for (index, argument) in call.arguments.iter().enumerate() {
        let name = match &argument.name {
            Some(name) => name.as_str(),
            None if index == 0 && table == Table::Training && !call.name.ends_with("Callback") => {
                "output_dir"
            }
            None => {
                let text =
                    argument.value.as_ref().err().map(String::as_str).unwrap_or("a value without a name");
                collector.leave(text, argument.at, format!("{} takes its arguments by name here", call.name));
                continue;
            }
        };
        let node = match &argument.value {
            Ok(node) => node,
            Err(text) => {
                collector.leave(
                    name,
                    argument.at,
                    format!("{text} is not a literal, and nothing is executed"),
                );
                continue;
            }
        };
        match DATA.iter().find(|(theirs, _)| *theirs == name) {
            Some((_, ours)) if call.name.ends_with("SFTConfig") => {
                collector.take(Table::Data, ours, argument.at, node);
            }
            _ => collector.take(table, name, argument.at, node),
        }
    }
}

/// Reads `AutoModelForCausalLM.from_pretrained("name", dtype=...)`. Ignores tokenizers and adapters, which are loaded in the same way and add
/// nothing.
fn model(collector: &mut Collector<'_>, call: &Call) {
    if call.name.contains("Tokenizer") || call.name.contains("Config.") || call.name.contains("Processor") {
        return;
    }
    let is_adapter = call.name.contains("Peft");
    for (index, argument) in call.arguments.iter().enumerate() {
        let name = match (&argument.name, index, is_adapter) {
            (None, 0, false) => "model_name_or_path",
            (None, 1, true) => "adapter_name_or_path",
            (Some(name), _, false) if name == "pretrained_model_name_or_path" => "model_name_or_path",
            (Some(name), _, false) if matches!(name.as_str(), "dtype" | "torch_dtype") => "dtype",
            (Some(name), ..) => {
                if !matches!(
                    name.as_str(),
                    "device_map" | "trust_remote_code" | "attn_implementation" | "use_cache"
                ) {
                    collector.leave(name, argument.at, "it is about how torch loads the model");
                }
                continue;
            }
            _ => continue,
        };
        match &argument.value {
            Ok(node) => collector.take(Table::Model, name, argument.at, node),
            Err(text) => {
                collector.leave(
                    name,
                    argument.at,
                    format!("{text} is not a literal, and nothing is executed"),
                );
            }
        }
    }
}

/// Reads `load_dataset("json", data_files=...)`.
fn data(collector: &mut Collector<'_>, call: &Call) {
    let named = |name: &str| {
        let found = |argument: &&Argument| argument.name.as_deref() == Some(name);
        call.arguments.iter().find(found).and_then(|argument| argument.value.as_ref().ok())
    };
    let Some(files) = named("data_files") else {
        let text = "load_dataset";
        return collector.leave(
            text,
            call.at,
            "only data_files are carried over; save the dataset as JSONL and name it under [data]",
        );
    };
    let mut take = |name: &str, node: &crate::source::Node| match &node.value {
        Value::List(list) if list.len() == 1 => {
            collector.take(Table::Data, name, call.at, &node_of(node, list[0].value.clone()));
        }
        Value::List(_) => collector.leave("data_files", call.at, "one file is read; join them"),
        _ => collector.take(Table::Data, name, call.at, node),
    };
    match &files.value {
        Value::Table(entries) => {
            for entry in entries {
                let name = match entry.name.as_str() {
                    "train" => "train_file",
                    "validation" | "valid" | "test" | "eval" => "validation_file",
                    _ => continue,
                };
                take(name, &entry.node);
            }
        }
        _ => take("train_file", files),
    }
}
