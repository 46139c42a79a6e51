//! Import of mlx-lm's YAML (`mlx_lm.lora --config`). Its defaults are not Transformers', and are written into the recipe.

mod schedule;
mod tables;

use serde_json::Value as Json;

use super::collect::Collector;
use super::keys::{self, Keys, learn_everything, number, refused, text, whole};
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Node, Source, Value};

use tables::{ADAPTER, COLUMNS, DEFAULTS, OTHERS};

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let keys = Keys::new(&mut collector, entries);
    let accumulation = keys.whole("grad_accumulation_steps").unwrap_or(1).max(1);
    let iters = keys.whole("iters").unwrap_or(1000);
    if iters / accumulation < 1
        && let Some(entry) = keys.get("iters").or_else(|| keys.get("grad_accumulation_steps"))
    {
        let what =
            format!("iters = {iters} with grad_accumulation_steps = {accumulation}, which makes no step,");
        return Err(refused(
            source,
            entry,
            &what,
            "an iteration of mlx-lm is a micro-batch: give more of them",
        ));
    }
    let steps = iters / accumulation;
    let is_full = keys.text("fine_tune_type").is_some_and(|kind| kind.eq_ignore_ascii_case("full"));
    for entry in keys.iter() {
        match entry.name.as_str() {
            "iters" => iterations(&mut collector, entry, "max_steps", accumulation),
            "steps_per_report" => iterations(&mut collector, entry, "logging_steps", accumulation),
            "steps_per_eval" => iterations(&mut collector, entry, "eval_steps", accumulation),
            "save_every" => iterations(&mut collector, entry, "save_steps", accumulation),
            "fine_tune_type" => fine_tune_type(source, &mut collector, entry)?,
            // mlx-lm takes the rate from the arguments of the schedule if there is one.
            "learning_rate" if keys.get("lr_schedule").and_then(schedule::rate).is_some() => {
                if keys.get("lr_schedule").and_then(schedule::rate) != number(&entry.node) {
                    let reason = "mlx-lm takes the first of lr_schedule's arguments instead";
                    collector.leave("learning_rate", entry.at, reason);
                }
            }
            "optimizer" => optimizer(&mut collector, entry),
            "optimizer_config" => optimizer_config(&mut collector, &keys, entry),
            "lr_schedule" => schedule::import(&mut collector, entry, steps),
            "lora_parameters" => adapter(&mut collector, entry),
            "num_layers" | "lora_layers" => layers(&mut collector, entry, is_full),
            "data" => data(&mut collector, entry),
            "mask_prompt" => mask(&mut collector, entry),
            name if COLUMNS.iter().any(|(theirs, _)| *theirs == name) => {}
            _ if keys::known(&mut collector, OTHERS, entry) => {}
            _ => keys::unknown(&mut collector, "mlx-lm", &[OTHERS], entry),
        }
    }
    columns(&mut collector, &keys);
    if !keys.is_true("mask_prompt") {
        learn_everything(&mut collector);
    }
    defaults(&mut collector, &keys, steps);
    if !is_full {
        adapter_defaults(&mut collector, &keys);
    } else if keys.get("num_layers").or_else(|| keys.get("lora_layers")).is_none() {
        collector.remark(
            "num_layers",
            "mlx-lm trains the weights of the last 16 layers only; here every weight is trained",
        );
    }
    collector.finish(ImportFormat::MlxLm)
}

/// Imports a number of iterations as optimizer steps: an iteration of mlx-lm is a micro-batch.
fn iterations(collector: &mut Collector<'_>, entry: &Entry, setting: &str, accumulation: i64) {
    let Entry { name, at, node } = entry;
    let Some(iterations) = whole(node) else {
        return collector.leave(name, *at, "it takes a whole number of iterations");
    };
    // What remains of the last iterations makes no step; the others are rounded.
    let steps = match setting {
        "max_steps" => iterations / accumulation,
        _ => (iterations.saturating_add(accumulation / 2) / accumulation).max(1),
    };
    if iterations % accumulation != 0 {
        let message = format!(
            "{name} = {iterations} iterations are not a whole number of steps of {accumulation} micro-batches: {setting} = {steps}"
        );
        collector.note(name, *at, message);
    }
    collector.take(Table::Training, setting, *at, &node_of(node, Value::Int(steps)));
}

fn fine_tune_type(
    source: &Source<'_>,
    collector: &mut Collector<'_>,
    entry: &Entry,
) -> Result<(), RecipeError> {
    let Entry { at, node, .. } = entry;
    match text(node) {
        Some("lora") => keys::take(collector, Table::Training, "finetuning_type", *at, node),
        Some("full") => keys::take(collector, Table::Training, "finetuning_type", *at, node),
        Some("dora") => collector.take(Table::Lora, "use_dora", *at, &node_of(node, Value::Bool(true))),
        other => {
            let what = format!("fine_tune_type = {}", other.unwrap_or("?"));
            return Err(refused(source, entry, &what, "mlx-lm has lora, dora and full"));
        }
    }
    Ok(())
}

/// Imports the number of layers, which are the last ones. All, for -1 and, as Python cuts a list, for 0.
fn layers(collector: &mut Collector<'_>, entry: &Entry, is_full: bool) {
    let Entry { name, at, node } = entry;
    match whole(node) {
        Some(_) if is_full => {
            collector.leave(name, *at, "every weight is trained here, not those of some layers")
        }
        Some(all) if all <= 0 => {}
        Some(count) if count <= MOST_LAYERS => {
            collector.take(Table::Lora, "layers_to_transform", *at, &last_layers(node, count));
        }
        _ => collector.leave(name, *at, "it takes a number of layers"),
    }
}

/// Number of layers beyond any model's.
const MOST_LAYERS: i64 = 1 << 12;

fn last_layers(node: &Node, count: i64) -> Node {
    node_of(node, Value::List((-count..0).map(|layer| node_of(node, Value::Int(layer))).collect()))
}

/// Imports the adapter: `{keys: [...], rank: 8, scale: 20.0, dropout: 0.0}`.
fn adapter(collector: &mut Collector<'_>, entry: &Entry) {
    let Value::Table(parts) = &entry.node.value else {
        return collector.leave(&entry.name, entry.at, "it takes a table with rank, scale and dropout");
    };
    let parts = Keys::new(collector, parts);
    for part in parts.iter() {
        match part.name.as_str() {
            "alpha" => collector.leave(
                "alpha",
                part.at,
                "mlx-lm does not read it: its factor is scale, and lora_alpha = scale * rank is set",
            ),
            "scale" => {}
            _ if keys::known(collector, ADAPTER, part) => {}
            _ => keys::unknown(collector, "mlx-lm", &[ADAPTER], part),
        }
    }
    for (name, default) in [("rank", "8"), ("scale", "20"), ("dropout", "0")] {
        if parts.get(name).is_none() {
            let message =
                format!("lora_parameters has no {name}, without which mlx-lm stops: {default} is taken");
            collector.note(&entry.name, entry.at, message);
        }
    }
    let rank = collector.taken(Table::Lora, "r").and_then(Json::as_f64).unwrap_or(8.0);
    if let Some(scale) = parts.get("scale") {
        match number(&scale.node) {
            Some(factor) => {
                let alpha = node_of(&scale.node, Value::Float(factor * rank));
                collector.take(Table::Lora, "lora_alpha", scale.at, &alpha);
            }
            None => collector.leave("scale", scale.at, "it takes a number"),
        }
    }
}

fn adapter_defaults(collector: &mut Collector<'_>, keys: &Keys<'_>) {
    // mlx-lm's "scale" is the whole factor: alpha / r.
    let rank = collector.taken(Table::Lora, "r").and_then(Json::as_f64).unwrap_or(8.0);
    collector.imply(Table::Lora, "lora_alpha", 20.0 * rank);
    collector.imply(Table::Lora, "target_modules", "all-linear");
    if keys.get("num_layers").or_else(|| keys.get("lora_layers")).is_none() {
        collector.imply(Table::Lora, "layers_to_transform", (-16..0).collect::<Vec<i64>>());
    }
}

fn optimizer(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { at, node, .. } = entry;
    let name = text(node).unwrap_or_default().to_lowercase();
    let ours = match name.as_str() {
        "adam" | "adamw" => "adamw_torch",
        "sgd" | "adafactor" | "muon" => name.as_str(),
        _ => return collector.leave("optimizer", *at, "mlx-lm has adam, adamw, sgd, adafactor and muon"),
    };
    let differs = match name.as_str() {
        "adam" | "adamw" => "mlx's Adam does not correct its bias unless told to; the AdamW here does",
        "adafactor" => {
            "mlx's Adafactor scales its step by the parameters and the step's number; the one here takes learning_rate as it is"
        }
        _ => "",
    };
    if !differs.is_empty() {
        collector.note("optimizer", *at, differs);
    }
    collector.take(Table::Training, "optim", *at, &node_of(node, Value::Text(ours.into())));
}

/// Imports the settings of the optimizer that is used: `{adamw: {betas: [..], eps: .., weight_decay: ..}}`.
fn optimizer_config(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let used = keys.text("optimizer").unwrap_or("adam").to_lowercase();
    let Value::Table(all) = &entry.node.value else {
        return collector.leave(&entry.name, entry.at, "it takes a table of tables");
    };
    for other in all {
        let Value::Table(settings) = &other.node.value else { continue };
        if other.name != used {
            if !settings.is_empty() {
                collector.leave(&other.name, other.at, format!("the optimizer is {used}"));
            }
            continue;
        }
        for Entry { name, at, node } in settings {
            match (name.as_str(), &node.value) {
                ("betas", Value::List(list)) if list.len() == 2 => {
                    for (beta, node) in ["adam_beta1", "adam_beta2"].into_iter().zip(list) {
                        keys::take(collector, Table::Training, beta, *at, node);
                    }
                }
                ("eps", Value::Int(_) | Value::Float(_) | Value::Text(_)) => {
                    keys::take(collector, Table::Training, "adam_epsilon", *at, node);
                }
                ("weight_decay", _) => keys::take(collector, Table::Training, "weight_decay", *at, node),
                ("bias_correction", Value::Bool(true)) if used.starts_with("adam") => {}
                _ => collector.leave(name, *at, "it has no place in TrainingArguments"),
            }
        }
    }
}

/// Imports the folder of the rows.
fn data(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let Some(folder) = text(node).filter(|folder| !folder.is_empty()) else {
        return collector.leave(name, *at, "it takes a folder's name");
    };
    let file = |name: &str| node_of(node, Value::Text(format!("{}/{name}", folder.trim_end_matches('/'))));
    collector.take(Table::Data, "train_file", *at, &file("train.jsonl"));
    collector.take(Table::Data, "validation_file", *at, &file("valid.jsonl"));
    let hub = match keys::is_path(folder) {
        true => "",
        false => ", or a dataset of the hub, which must be saved in such a folder first",
    };
    let message = format!(
        "train.jsonl and valid.jsonl of this folder are named{hub}; take validation_file out if there is no valid.jsonl. mlx-lm puts rows of \
         prompt and completion through the chat template: here write them as messages"
    );
    collector.note(name, *at, message);
}

fn mask(collector: &mut Collector<'_>, entry: &Entry) {
    match keys::flag(&entry.node) {
        Some(true) => collector.note(
            "mask_prompt",
            entry.at,
            "of a conversation mlx-lm learns the last message only; here every turn of the assistant is learnt",
        ),
        Some(false) => {}
        None => collector.leave("mask_prompt", entry.at, "it takes true or false"),
    }
}

/// Imports the names of the columns, each of which mlx-lm has a key for.
fn columns(collector: &mut Collector<'_>, keys: &Keys<'_>) {
    let mut named = Vec::new();
    for (theirs, field) in COLUMNS {
        if let Some(entry) = keys.get(theirs).filter(|entry| text(&entry.node).is_none()) {
            collector.leave(theirs, entry.at, "it takes the name of a column");
        }
        if let Some(entry) = keys.get(theirs)
            && let Some(column) = text(&entry.node).filter(|column| column != field)
        {
            named.push((entry, (*field, Value::Text(column.to_owned()))));
        }
    }
    if let Some((first, _)) = named.first().cloned() {
        let columns: Vec<_> = named.into_iter().map(|(_, column)| column).collect();
        collector.take(Table::Data, "columns", first.at, &keys::table_of(&first.node, first.at, &columns));
    }
}

fn defaults(collector: &mut Collector<'_>, keys: &Keys<'_>, steps: i64) {
    collector.imply(Table::Training, "max_steps", steps);
    let accumulation = keys.whole("grad_accumulation_steps").unwrap_or(1).max(1);
    for (name, iterations) in [("logging_steps", 10), ("eval_steps", 200), ("save_steps", 100)] {
        collector.imply(Table::Training, name, ((iterations + accumulation / 2) / accumulation).max(1));
    }
    // The default of mlx's AdamW and Muon is not its Adam's.
    let decays =
        keys.text("optimizer").is_some_and(|name| matches!(name.to_lowercase().as_str(), "adamw" | "muon"));
    collector.imply(Table::Training, "weight_decay", if decays { 0.01 } else { 0.0 });
    let batch =
        collector.taken(Table::Training, "per_device_train_batch_size").cloned().unwrap_or_else(|| 4.into());
    collector.imply(Table::Training, "per_device_eval_batch_size", batch);
    if collector.taken(Table::Data, "validation_file").is_some() || keys.get("steps_per_eval").is_some() {
        collector.imply(Table::Training, "eval_strategy", "steps");
        collector.imply(Table::Training, "eval_on_start", true);
    }
    for (name, value) in DEFAULTS {
        let value: Json = serde_json::from_str(value).unwrap_or_default();
        collector.imply(Table::Training, name, value);
    }
    collector.imply(Table::Data, "max_length", 2048);
    if keys.get("data").or_else(|| keys.get("hf_dataset")).is_none() {
        collector.remark("data", "the file names no data, for which mlx-lm takes mlx-community/WikiSQL: name a file as data.train_file");
    }
}
