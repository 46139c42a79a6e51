//! Import of LLaMA-Factory's YAML and JSON. It has its own names for the adapter and the data, beside Transformers' `TrainingArguments`.

mod tables;

use serde_json::Value as Json;

use super::collect::Collector;
use super::keys::{self, Keys, flag, learn_everything, names, number, refused, text, whole};
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Source, Value};

use tables::KEYS;

/// Keys of the form of version 1, which has tables of its own for the adapter and the data.
const NEWER: &[&str] =
    &["model_class", "train_dataset", "peft_config", "dist_config", "kernel_config", "quant_config"];

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let keys = Keys::new(&mut collector, entries);
    if let Some(entry) = keys.iter().find(|entry| NEWER.contains(&entry.name.as_str())) {
        let what = format!("{}, of the form that LLaMA-Factory's version 1 has,", entry.name);
        return Err(refused(source, entry, &what, "the form with stage and finetuning_type is read"));
    }
    let stage = stage(source, &keys)?;
    let is_full = finetuning_type(source, &keys)?;
    keys::model(&mut collector, &keys, "model_name_or_path", "model_revision");
    for entry in keys.iter() {
        match entry.name.as_str() {
            "finetuning_type" if is_full => {
                keys::take(&mut collector, Table::Training, "finetuning_type", entry.at, &entry.node);
            }
            "lora_target" => targets(&mut collector, entry),
            "additional_target" => match names(&entry.node) {
                none if none.is_empty() => collector.leave(&entry.name, entry.at, "it names no module"),
                modules => {
                    let modules = keys::list_of(&entry.node, &modules);
                    keys::take(&mut collector, Table::Lora, "modules_to_save", entry.at, &modules);
                }
            },
            "pissa_init" => pissa(&mut collector, &keys, entry),
            "pissa_iter" if keys.is_true("pissa_init") => {
                if whole(&entry.node).is_none() {
                    collector.leave("pissa_iter", entry.at, "it takes a number of rounds, or -1");
                }
            }
            "adapter_name_or_path" => adapter(&mut collector, &keys, entry),
            "dataset" => dataset(&mut collector, entry, "train_file"),
            "eval_dataset" => dataset(&mut collector, entry, "validation_file"),
            "val_size" => validation(&mut collector, entry),
            "packing" | "neat_packing" => packing(&mut collector, &keys, entry),
            "train_on_prompt" | "use_llama_pro" | "create_new_adapter" | "disable_gradient_checkpointing"
                if flag(&entry.node).is_none() =>
            {
                collector.leave(&entry.name, entry.at, "it takes true or false");
            }
            // LLaMA-Factory's "or": neither null nor 0 is an alpha.
            "lora_alpha" if number(&entry.node) == Some(0.0) => {}
            "disable_shuffling" if flag(&entry.node) == Some(true) => {
                let shuffle = node_of(&entry.node, Value::Bool(false));
                collector.take(Table::Data, "shuffle", entry.at, &shuffle);
            }
            "use_muon" if flag(&entry.node) == Some(true) => {
                let muon = node_of(&entry.node, Value::Text("muon".into()));
                collector.take(Table::Training, "optim", entry.at, &muon);
            }
            "optim" if keys.is_true("use_muon") => collector.leave("optim", entry.at, "use_muon replaces it"),
            "pure_bf16" if flag(&entry.node) == Some(true) => {
                keys::take(&mut collector, Table::Training, "bf16", entry.at, &entry.node);
                collector.note("pure_bf16", entry.at, "the adapter itself stays in float32 here");
            }
            _ if keys::known(&mut collector, KEYS, entry) => {}
            _ if keys::transformers(&mut collector, entry) => {}
            _ => keys::unknown(&mut collector, "LLaMA-Factory", &[KEYS], entry),
        }
    }
    if stage == "pt" {
        collector.imply(Table::Data, "packing", true);
    }
    if stage == "pt" || keys.is_true("train_on_prompt") {
        learn_everything(&mut collector);
    }
    defaults(&mut collector, &keys, is_full);
    collector.finish(ImportFormat::LlamaFactory)
}

/// Returns the stage, `sft` or `pt`. The others learn from other rows and with other losses.
fn stage<'e>(source: &Source<'_>, keys: &Keys<'e>) -> Result<&'e str, RecipeError> {
    let Some(entry) = keys.get("stage") else { return Ok("sft") };
    match text(&entry.node) {
        Some(stage @ ("sft" | "pt")) => Ok(stage),
        other => {
            let what = match other {
                Some("dpo" | "kto") => "learning from preferences",
                Some("rm") => "a reward model",
                Some("ppo") => "learning from rewards",
                _ => "a stage that LLaMA-Factory does not have",
            };
            let what = format!("stage: {} ({what})", other.unwrap_or("?"));
            Err(refused(source, entry, &what, "stage: sft and stage: pt are read"))
        }
    }
}

/// Whether every weight is trained. Refuses what trains some of them.
fn finetuning_type(source: &Source<'_>, keys: &Keys<'_>) -> Result<bool, RecipeError> {
    if let Some(entry) = keys.get("use_llama_pro").filter(|entry| flag(&entry.node) == Some(true)) {
        return Err(refused(source, entry, "use_llama_pro", "leave it out to train an adapter"));
    }
    let Some(entry) = keys.get("finetuning_type") else { return Ok(false) };
    match text(&entry.node) {
        Some("lora") => Ok(false),
        Some("full") => Ok(true),
        other => {
            let what = format!("finetuning_type: {}", other.unwrap_or("?"));
            Err(refused(source, entry, &what, "finetuning_type: lora and finetuning_type: full are read"))
        }
    }
}

fn targets(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let modules = names(node);
    match modules.as_slice() {
        [] => collector.leave(name, *at, "it names no module"),
        [all] if all == "all" => {
            collector.take(
                Table::Lora,
                "target_modules",
                *at,
                &node_of(node, Value::Text("all-linear".into())),
            );
        }
        _ => collector.take(Table::Lora, "target_modules", *at, &keys::list_of(node, &modules)),
    }
}

/// Imports `pissa_init` with its rounds of subspace iteration; -1 is the whole decomposition.
fn pissa(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match flag(node) {
        Some(true) => {}
        Some(false) => return,
        None => return collector.leave(name, *at, "it takes true or false"),
    }
    let init = match keys.whole("pissa_iter").unwrap_or(16) {
        -1 => "pissa".into(),
        rounds => format!("pissa_niter_{rounds}"),
    };
    collector.take(Table::Lora, "init_lora_weights", *at, &node_of(node, Value::Text(init)));
    if !keys.is_true("pissa_convert") {
        collector.note(
            name,
            *at,
            "what is saved is a plain adapter of twice the rank, for the base as it was, as with pissa_convert",
        );
    }
}

/// Imports the adapter to go on from. LLaMA-Factory merges all but the last, or all of them before a new adapter.
fn adapter(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let adapters = names(node);
    match adapters.as_slice() {
        _ if keys.is_true("create_new_adapter") => collector.leave(
            name,
            *at,
            "with create_new_adapter it is merged first: export it merged, and name that model as model_name_or_path",
        ),
        [one] => {
            let node = node_of(node, Value::Text(one.clone()));
            collector.take(Table::Model, "adapter_name_or_path", *at, &node);
        }
        _ => collector.leave(
            name,
            *at,
            "of several adapters all but the last are merged first: export that model, and name it as model_name_or_path",
        ),
    }
}

/// Imports a file of rows. A name of `dataset_info.json` cannot be looked up.
fn dataset(collector: &mut Collector<'_>, entry: &Entry, setting: &str) {
    let Entry { name, at, node } = entry;
    match names(node).as_slice() {
        [file] if keys::is_data_file(file) => {
            collector.take(Table::Data, setting, *at, &node_of(node, Value::Text(file.clone())));
        }
        [one] => collector.leave(
            name,
            *at,
            format!("{one} is a name in dataset_info.json, or on the hub: name its file as data.{setting}"),
        ),
        many => collector.leave(
            name,
            *at,
            format!(
                "{} are names in dataset_info.json: join their files into one, and name that as data.{setting}",
                many.join(", ")
            ),
        ),
    }
}

/// Imports the size of the validation set: a share of the rows, but not a number of them.
fn validation(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match number(node) {
        Some(0.0) => {}
        _ if keys::take_share(collector, entry) => {}
        Some(rows) if rows >= 1.0 && whole(node).is_some() => collector.leave(
            name,
            *at,
            format!(
                "a number of rows is not taken: write the share of them, data.validation_split_percentage = 100 * {rows} / rows, or put \
                 {rows} rows into a file and name it as data.validation_file"
            ),
        ),
        _ => collector.leave(name, *at, "it takes a share below 1, such as 0.1, or a number of rows"),
    }
}

fn packing(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let neat = keys.is_true("neat_packing");
    match (name.as_str(), flag(node)) {
        (_, None) => collector.leave(name, *at, "it takes true or false"),
        // `neat_packing` turns `packing` on, whatever that says.
        ("neat_packing", Some(true)) => collector.take(Table::Data, "packing", *at, node),
        ("neat_packing", Some(false)) => {}
        (_, Some(_)) if neat => {}
        (_, Some(packs)) => {
            keys::take(collector, Table::Data, "packing", *at, node);
            if packs {
                collector.note(name, *at, "no row sees another in a sequence here, as with neat_packing");
            }
        }
    }
}

/// Sets LLaMA-Factory's own defaults, which differ from PEFT's and Transformers'.
fn defaults(collector: &mut Collector<'_>, keys: &Keys<'_>, is_full: bool) {
    if !is_full {
        collector.imply(Table::Lora, "target_modules", "all-linear");
        let rank = collector.taken(Table::Lora, "r").and_then(Json::as_i64).unwrap_or(8);
        collector.imply(Table::Lora, "lora_alpha", 2 * rank);
    }
    collector.imply(Table::Data, "max_length", 2048);
    if !keys.is_true("disable_gradient_checkpointing") {
        collector.imply(Table::Training, "gradient_checkpointing", true);
    }
}
