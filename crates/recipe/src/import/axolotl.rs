//! Import of axolotl's YAML (`axolotl train`): LoRA and full fine-tuning. Its defaults are written into the recipe.

mod datasets;
mod tables;

use serde_json::Value as Json;

use super::collect::Collector;
use super::keys::{self, Keys, flag, learn_everything, names, number, refused, text};
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Node, Source, Value};

use tables::KEYS;

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let keys = Keys::new(&mut collector, entries);
    let is_full = adapter(source, &keys)?;
    kinds(source, &keys)?;
    keys::model(&mut collector, &keys, "base_model", "revision_of_model");
    if is_full {
        collector.imply(Table::Training, "finetuning_type", "full");
    }
    for entry in keys.iter() {
        let Entry { at, node, .. } = entry;
        match entry.name.as_str() {
            name if is_full && is_of_lora(name) => {
                collector.leave(
                    name,
                    *at,
                    "there is no adapter in the file (adapter: lora), so every weight is trained",
                );
            }
            "lora_target_linear" | "lora_target_modules" => targets(&mut collector, &keys, entry),
            "datasets" => datasets::import(&mut collector, entry, "train_file"),
            "test_datasets" => datasets::import(&mut collector, entry, "validation_file"),
            "val_set_size" => validation(&mut collector, entry),
            "lr_scheduler" => scheduler(&mut collector, &keys, entry),
            "saves_per_epoch" | "evals_per_epoch" => per_epoch(&mut collector, &keys, entry),
            "gradient_checkpointing" => checkpointing(&mut collector, entry),
            "bf16" | "bfloat16" | "fp16" | "float16" | "tf32" => precision(&mut collector, entry),
            "warmup_steps" if number(node) == Some(1.0) => {
                keys::take(
                    &mut collector,
                    Table::Training,
                    "warmup_steps",
                    *at,
                    &node_of(node, Value::Int(2)),
                );
                collector.note("warmup_steps", *at, "axolotl makes two steps of one");
            }
            "batch_size" => batch_size(&mut collector, &keys, entry),
            "curriculum_sampling" if flag(node) == Some(true) => {
                collector.take(Table::Data, "shuffle", *at, &node_of(node, Value::Bool(false)));
            }
            "use_tensorboard" if flag(node) == Some(true) => {
                let tracker = node_of(node, Value::Text("tensorboard".into()));
                collector.take(Table::Training, "report_to", *at, &tracker);
            }
            "train_on_inputs" if flag(node).is_some() => {}
            "excess_length_strategy" if text(node) == Some("truncate") => {}
            _ if keys::known(&mut collector, KEYS, entry) => {}
            _ if keys::transformers(&mut collector, entry) => {}
            _ => keys::unknown(&mut collector, "axolotl", &[KEYS], entry),
        }
    }
    if keys.is_true("train_on_inputs") {
        learn_everything(&mut collector);
    }
    defaults(&mut collector, &keys);
    if !is_full {
        adapter_defaults(&mut collector, &keys);
        keys::remark_bf16(
            &mut collector,
            &keys,
            "axolotl",
            &["bf16", "bfloat16", "fp16", "float16", "float32"],
        );
    }
    collector.finish(ImportFormat::Axolotl)
}

/// Whether every weight is trained. Refuses adapters that do not exist here.
fn adapter(source: &Source<'_>, keys: &Keys<'_>) -> Result<bool, RecipeError> {
    let Some(entry) = keys.get("adapter") else { return Ok(true) };
    match text(&entry.node) {
        Some("") => Ok(true),
        Some("lora") => Ok(false),
        Some("qlora") => {
            let help = "name a GGUF file as model.model_name_or_path to train over packed weights, and write adapter: lora to import the rest";
            Err(refused(source, entry, "adapter: qlora (over weights in bitsandbytes' 4 bits)", help))
        }
        other => {
            let what = format!("adapter: {}", other.unwrap_or("?"));
            Err(refused(source, entry, &what, "adapter: lora is read, and no adapter is full fine-tuning"))
        }
    }
}

/// Refuses runs of a kind that does not exist here.
fn kinds(source: &Source<'_>, keys: &Keys<'_>) -> Result<(), RecipeError> {
    let asks = |entry: &&Entry| flag(&entry.node) != Some(false) && text(&entry.node) != Some("");
    for (name, what) in [
        ("rl", "learning from preferences or rewards"),
        ("reward_model", "a reward model"),
        ("process_reward_model", "a reward model"),
        ("relora", "ReLoRA"),
        ("unfrozen_parameters", "a part of the weights"),
        ("lisa_n_layers", "LISA"),
        ("qat", "training for quantisation"),
        ("gptq", "an adapter over GPTQ's weights"),
        ("pretraining_dataset", "pretraining on a stream"),
        ("kd_trainer", "knowledge distillation"),
        ("diffusion", "a language model by diffusion"),
        ("llmcompressor", "a sparse model"),
    ] {
        if let Some(entry) = keys.get(name).filter(asks) {
            let given = text(&entry.node).map(|value| format!(": {value}")).unwrap_or_default();
            let help = "adapter: lora with datasets is read, and full fine-tuning";
            return Err(refused(source, entry, &format!("{name}{given} ({what})"), help));
        }
    }
    Ok(())
}

fn is_of_lora(name: &str) -> bool {
    name.starts_with("lora_") && !name.ends_with("_kernel")
        || name.starts_with("peft")
        || name == "loraplus_lr_ratio"
}

/// Imports the targets. `lora_target_linear` adds every linear layer but the head to those that are named.
fn targets(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let linear = keys.is_true("lora_target_linear");
    match name.as_str() {
        "lora_target_linear" if flag(node) == Some(true) => {
            let all = node_of(node, Value::Text("all-linear".into()));
            collector.take(Table::Lora, "target_modules", *at, &all);
        }
        "lora_target_linear" if flag(node) == Some(false) => {}
        "lora_target_linear" => collector.leave(name, *at, "it takes true or false"),
        _ if linear => {
            let more: Vec<String> = names(node)
                .into_iter()
                .filter(|name| name == "lm_head" || name.starts_with("embed"))
                .collect();
            if more.is_empty() {
                let message = "lora_target_linear adds every linear layer but the head to these: \"all-linear\" is taken";
                collector.note(name, *at, format!("{name}: {message}"));
            } else {
                let message = format!(
                    "lora_target_linear takes the linear layers; {} beside them: write every name into lora.target_modules",
                    more.join(", ")
                );
                collector.leave(name, *at, message);
            }
        }
        _ => keys::take_as(collector, Table::Lora, "target_modules", entry),
    }
}

/// Imports the size of the validation set: a share of the rows, but not a number of them.
fn validation(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match number(node) {
        Some(0.0) => {}
        _ if keys::take_share(collector, entry) => {}
        _ => collector.leave(
            name,
            *at,
            "it takes a share below 1, such as 0.1; put a number of rows into a file, data.validation_file",
        ),
    }
}

/// Imports the course of the learning rate, with `cosine_min_lr_ratio`.
fn scheduler(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match text(node) {
        Some("one_cycle" | "rex") => {
            collector.leave(name, *at, "it is not among the schedules here: cosine is taken");
            collector.imply(Table::Training, "lr_scheduler_type", "cosine");
        }
        Some("cosine") if keys.get("cosine_min_lr_ratio").is_some() => {}
        _ => keys::take(collector, Table::Training, "lr_scheduler_type", *at, node),
    }
}

/// Sets the schedule that a file does not name, and `cosine_min_lr_ratio`, which only counts with a cosine.
fn schedule_defaults(collector: &mut Collector<'_>, keys: &Keys<'_>) {
    let is_cosine = keys.text("lr_scheduler").is_none_or(|name| name == "cosine");
    if let Some(entry) = keys.get("cosine_min_lr_ratio") {
        let Entry { name, at, node } = entry;
        match number(node) {
            Some(share) if is_cosine && keys.get("cosine_constant_lr_ratio").is_none() => {
                let kwargs = keys::table_of(node, *at, &[("min_lr_rate", Value::Float(share))]);
                let kind = node_of(node, Value::Text("cosine_with_min_lr".into()));
                collector.take(Table::Training, "lr_scheduler_type", *at, &kind);
                collector.take(Table::Training, "lr_scheduler_kwargs", *at, &kwargs);
            }
            _ => collector.leave(
                name,
                *at,
                "it is taken with lr_scheduler: cosine and without cosine_constant_lr_ratio only",
            ),
        }
    }
    collector.imply(Table::Training, "lr_scheduler_type", "cosine");
}

/// Imports a number of saves or evaluations per epoch, as the share of all steps between two of them, as axolotl does.
fn per_epoch(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let (strategy, steps) = match name.as_str() {
        "saves_per_epoch" => ("save_strategy", "save_steps"),
        _ => ("eval_strategy", "eval_steps"),
    };
    if number(node) == Some(0.0) {
        return;
    }
    if steps == "eval_steps" && !evaluates(keys) {
        return collector.leave(
            name,
            *at,
            "there is nothing to evaluate on: neither val_set_size nor test_datasets",
        );
    }
    let epochs = keys.number("num_epochs").unwrap_or(1.0);
    match number(node).map(|times| 1.0 / (times * epochs)) {
        Some(share) if share > 0.0 && share < 1.0 => {
            let text = node_of(node, Value::Text("steps".into()));
            collector.take_as(Table::Training, strategy, name, *at, &text);
            collector.take_as(Table::Training, steps, name, *at, &node_of(node, Value::Float(share)));
        }
        // Once in the one epoch of a run is its end; axolotl leaves its strategy as it is.
        Some(1.0) => {}
        _ => collector.leave(name, *at, "it takes how many times an epoch, at least once in the run"),
    }
}

fn evaluates(keys: &Keys<'_>) -> bool {
    keys.get("test_datasets").is_some() || keys.number("val_set_size").is_some_and(|size| size > 0.0)
}

fn checkpointing(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    match (flag(node), text(node)) {
        (Some(_), _) => keys::take(collector, Table::Training, name, *at, node),
        (None, Some(word @ ("offload" | "offload_disk" | "unsloth"))) => {
            collector.take(Table::Training, name, *at, &node_of(node, Value::Bool(true)));
            collector.note(
                name,
                *at,
                format!("activations are computed again, and not kept elsewhere ({word})"),
            );
        }
        _ => collector.leave(name, *at, "it takes true or false"),
    }
}

/// Imports the precision. `auto` asks which the device has, which is not known here.
fn precision(collector: &mut Collector<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let ours = if name.starts_with('b') { "bf16" } else { "fp16" };
    match (name.as_str(), flag(node), text(node)) {
        (_, Some(false), _) => {}
        ("tf32", Some(true), _) => collector.leave(name, *at, "products keep the precision of float32"),
        ("tf32", _, Some("auto")) => {}
        (_, Some(true), _) | (_, _, Some("full")) => {
            collector.take(Table::Training, ours, *at, &node_of(node, Value::Bool(true)));
        }
        (_, _, Some("auto")) => collector.leave(
            name,
            *at,
            "it depends on the device: write bf16 = true under [training] where the device has bfloat16",
        ),
        _ => collector.leave(name, *at, "it takes true, false or auto"),
    }
}

/// Imports the rows of a step, from which axolotl computes the accumulation if that is not given.
fn batch_size(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let micro = keys.whole("micro_batch_size").unwrap_or(1).max(1);
    match (keys.get("gradient_accumulation_steps"), keys::whole(node)) {
        (None, Some(rows)) if rows >= micro => {
            let steps = node_of(node, Value::Int(rows / micro));
            collector.take(Table::Training, "gradient_accumulation_steps", *at, &steps);
        }
        _ => collector.leave(name, *at, "micro_batch_size and gradient_accumulation_steps say it"),
    }
}

/// Sets axolotl's own defaults.
fn defaults(collector: &mut Collector<'_>, keys: &Keys<'_>) {
    schedule_defaults(collector, keys);
    if keys.get("warmup_steps").is_none() && keys.get("warmup_ratio").is_none() {
        collector.imply(Table::Training, "warmup_ratio", 0.03);
        let message = "axolotl warms up for three hundredths of the steps, but for at most 100 of them: warmup_ratio = 0.03";
        collector.remark("warmup_ratio", message);
    }
    let batch =
        collector.taken(Table::Training, "per_device_train_batch_size").cloned().unwrap_or_else(|| 1.into());
    collector.imply(Table::Training, "per_device_eval_batch_size", batch);
    if collector.taken(Table::Training, "save_steps").is_some() {
        collector.imply(Table::Training, "save_strategy", "steps");
    }
    if collector.taken(Table::Training, "eval_steps").is_some() && evaluates(keys) {
        collector.imply(Table::Training, "eval_strategy", "steps");
    }
    if collector.taken(Table::Training, "eval_strategy").is_some_and(|strategy| strategy != "no") {
        collector.imply(Table::Training, "eval_on_start", true);
    }
    for (name, value) in tables::DEFAULTS {
        let value: Json = serde_json::from_str(value).unwrap_or_default();
        collector.imply(Table::Training, name, value);
    }
    collector.imply(Table::Data, "max_length", 512);
    if keys.get("learning_rate").is_none() {
        collector.remark(
            "learning_rate",
            "the file has no learning_rate, without which axolotl stops: 5e-5 is taken",
        );
    }
    match keys.get("excess_length_strategy") {
        Some(entry) if text(&entry.node) == Some("truncate") => {}
        _ => collector.remark(
            "max_length",
            "axolotl leaves out rows that are longer than sequence_len, unless excess_length_strategy is truncate; here they are cut",
        ),
    }
}

fn adapter_defaults(collector: &mut Collector<'_>, keys: &Keys<'_>) {
    for (name, taken) in [("lora_r", "r = 8"), ("lora_alpha", "lora_alpha = 8")] {
        if keys.get(name).is_none() && keys.get("lora_model_dir").is_none() {
            collector.remark(
                name,
                format!("the file has no {name}, without which axolotl stops: {taken} is taken"),
            );
        }
    }
    let has_targets = collector.taken(Table::Lora, "target_modules").is_some();
    if !has_targets && keys.get("lora_model_dir").is_none() {
        collector.remark(
            "target_modules",
            "the file has neither lora_target_modules nor lora_target_linear: PEFT's default for the architecture is taken",
        );
    }
}

fn text_node(node: &Node, word: &str) -> Node {
    node_of(node, Value::Text(word.into()))
}
