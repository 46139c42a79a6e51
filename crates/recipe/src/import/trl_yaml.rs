//! Import of TRL's YAML (`trl sft --config`): the keys of `ScriptArguments`, `SFTConfig`, `ModelConfig` and `DatasetMixtureConfig`.

mod tables;

use super::collect::Collector;
use super::keys::{self, Keys, flag, names, refused, text};
use super::{ImportFormat, Imported, node_of, trl};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Source, Value};

use tables::{OTHER_COMMANDS, TABLES};

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let keys = Keys::new(&mut collector, entries);
    for (command, marks) in OTHER_COMMANDS {
        if let Some(entry) = keys.iter().find(|entry| marks.contains(&entry.name.as_str())) {
            let what = format!("{} is a setting of trl {command}, which", entry.name);
            return Err(refused(source, entry, &what, "trl sft's files are read"));
        }
    }
    if let Some(entry) = keys.get("lora_task_type").filter(|entry| text(&entry.node) != Some("CAUSAL_LM")) {
        let what = format!("lora_task_type: {}", text(&entry.node).unwrap_or("?"));
        return Err(refused(source, entry, &what, "trl sft trains CAUSAL_LM"));
    }
    let is_full = !keys.is_true("use_peft");
    if is_full {
        collector.imply(Table::Training, "finetuning_type", "full");
    }
    keys::model(&mut collector, &keys, "model_name_or_path", "model_revision");
    for entry in keys.iter() {
        let Entry { name, at, node } = entry;
        match name.as_str() {
            "use_peft" if flag(node).is_some() => {}
            name if is_full && (name.starts_with("lora_") || matches!(name, "use_rslora" | "use_dora")) => {
                collector.leave(name, *at, "use_peft is not true, so every weight is trained");
            }
            "lora_target_modules" => targets(&mut collector, entry),
            "dataset_name" => dataset_name(&mut collector, &keys, entry),
            "datasets" => mixture(&mut collector, entry),
            "dataset_test_split" => test_split(&mut collector, &keys, entry),
            "eval_packing" if flag(node) == Some(keys.is_true("packing")) => {}
            "test_split_size" => test_share(&mut collector, entry),
            _ if trl::read(&mut collector, entry) => {}
            _ if TABLES.iter().any(|known| keys::known(&mut collector, known, entry)) => {}
            _ if keys::transformers(&mut collector, entry) => {}
            _ => keys::unknown(&mut collector, "TRL", TABLES, entry),
        }
    }
    uncut(&mut collector, entries);
    defaults(&mut collector, is_full);
    if !is_full {
        keys::remark_bf16(&mut collector, &keys, "TRL", &["bf16", "fp16"]);
    }
    collector.finish(ImportFormat::Trl)
}

/// Imports the targets.
fn targets(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let entry = Entry { name: name.clone(), at: *at, node: trl::targets(node) };
    keys::take_as(collector, Table::Lora, "target_modules", &entry);
}

/// Imports the folder of the rows. What is no path is a name on the hub, or a loader without its files.
fn dataset_name(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match text(node) {
        _ if keys.get("datasets").is_some() => collector.leave(name, *at, "TRL takes datasets instead"),
        Some(path) if keys::is_path(path) => keys::take(collector, Table::Data, "train_file", *at, node),
        Some(id) => collector.leave(
            name,
            *at,
            format!("{id} is a dataset of the hub, or a loader: save its rows as a file, and name that as data.train_file"),
        ),
        None => collector.leave(name, *at, "it takes a name"),
    }
}

/// Imports a mixture of one dataset whose rows are a file: `[{path: json, data_files: rows.jsonl}]`.
fn mixture(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let (Value::List(list), mut found) = (&node.value, None) else {
        return collector.leave(name, *at, "it takes a list of tables with path");
    };
    if let [one] = list.as_slice()
        && let Value::Table(parts) = &one.value
    {
        let parts = Keys::new(collector, parts);
        let path = parts.text("path").unwrap_or_default();
        let files = parts.get("data_files").map(|part| names(&part.node)).unwrap_or_default();
        found = match files.as_slice() {
            [file] => Some(file.clone()),
            [] if keys::is_path(path) => Some(path.to_owned()),
            _ => None,
        };
        for part in parts.iter() {
            let said =
                matches!(part.name.as_str(), "path" | "data_files") || text(&part.node) == Some("train");
            if found.is_some() && !said {
                collector.leave(
                    &part.name,
                    part.at,
                    "write the rows and columns that are meant into a file of their own",
                );
            }
        }
    }
    match found {
        Some(file) => collector.take(Table::Data, "train_file", *at, &node_of(node, Value::Text(file))),
        None => {
            let reason = "it is not one file of rows: join them into one, and name that as data.train_file";
            collector.leave(name, *at, reason);
        }
    }
}

fn test_share(collector: &mut Collector<'_>, entry: &Entry) {
    if !keys::take_share(collector, entry) {
        let reason = "it takes a share below 1; put a number of rows into a file, data.validation_file";
        collector.leave(&entry.name, entry.at, reason);
    }
}

fn test_split(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let evaluates = keys.get("eval_strategy").is_some_and(|entry| flag(&entry.node) != Some(false));
    if evaluates || text(&entry.node) != Some("test") {
        let reason =
            "it is a split of the dataset: save its rows as a file, and name that as data.validation_file";
        collector.leave(&entry.name, entry.at, reason);
    }
}

/// Lists a `max_length` that is null, which is no default: TRL then cuts no row.
fn uncut(collector: &mut Collector<'_>, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| matches!(entry.name.as_str(), "max_length" | "max_seq_length"))
    {
        if entry.node.value == Value::Null && collector.taken(Table::Data, "max_length").is_none() {
            collector.leave(&entry.name, entry.at, trl::UNCUT);
        }
    }
}

/// Sets TRL's own defaults.
fn defaults(collector: &mut Collector<'_>, is_full: bool) {
    if !is_full {
        trl::imply_adapter(collector);
    }
    trl::imply_arguments(collector);
    collector.imply(Table::Data, "max_length", 1024);
    // Of a conversation TRL learns everything unless told otherwise; of a prompt and its completion, the second.
    collector.imply(Table::Data, "assistant_only_loss", false);
}
