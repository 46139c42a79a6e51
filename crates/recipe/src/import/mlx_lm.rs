//! Import of mlx-lm's YAML (`mlx_lm.lora --config`). Its defaults are not Transformers', and are written into the recipe.

use super::collect::Collector;
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Node, Source, Value};

/// Keys by which a file of mlx-lm is recognized: only its files have them.
pub(super) const MARKS: &[&str] = &[
    "iters",
    "lora_parameters",
    "fine_tune_type",
    "num_layers",
    "steps_per_report",
    "steps_per_eval",
    "adapter_path",
    "grad_checkpoint",
    "mask_prompt",
    "val_batches",
];

/// mlx-lm's name of a setting, and Lorelei's section and name.
const NAMES: &[(&str, Table, &str)] = &[
    ("model", Table::Model, "model_name_or_path"),
    ("resume_adapter_file", Table::Model, "adapter_name_or_path"),
    ("adapter_path", Table::Training, "output_dir"),
    ("batch_size", Table::Training, "per_device_train_batch_size"),
    ("grad_accumulation_steps", Table::Training, "gradient_accumulation_steps"),
    ("steps_per_report", Table::Training, "logging_steps"),
    ("steps_per_eval", Table::Training, "eval_steps"),
    ("save_every", Table::Training, "save_steps"),
    ("seed", Table::Training, "seed"),
    ("max_seq_length", Table::Data, "max_length"),
    ("grad_checkpoint", Table::Training, "gradient_checkpointing"),
];

/// Keys that do not change the numbers of a run here.
const SILENT: &[&str] = &["train", "config", "report_to", "wandb", "project_name", "clear_cache_threshold"];

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let find = |name: &str| entries.iter().find(|entry| entry.name == name);
    let integer = |name: &str, default: i64| match find(name).map(|entry| &entry.node.value) {
        Some(Value::Int(number)) => *number,
        _ => default,
    };
    let accumulation = integer("grad_accumulation_steps", 1).max(1);
    for Entry { name, at, node } in entries {
        match (name.as_str(), &node.value) {
            (name, _) if SILENT.contains(&name) => {}
            // An iteration of mlx-lm is a micro-batch.
            ("iters", Value::Int(iters)) => {
                let steps = iters.saturating_add(accumulation - 1) / accumulation;
                collector.take(Table::Training, "max_steps", *at, &node_of(node, Value::Int(steps)));
            }
            ("fine_tune_type", Value::Text(kind)) => fine_tune_type(&mut collector, *at, node, kind),
            // mlx-lm takes the rate from the arguments of the schedule if there is one.
            ("learning_rate", _) if find("lr_schedule").is_some_and(gives_rate) => {}
            ("learning_rate", _) => collector.take(Table::Training, "learning_rate", *at, node),
            ("optimizer", Value::Text(name)) => optimizer(&mut collector, *at, node, name),
            ("optimizer_config", Value::Table(all)) => {
                optimizer_config(&mut collector, all, find("optimizer"))
            }
            ("lr_schedule", Value::Table(parts)) => schedule(&mut collector, *at, parts),
            ("lora_parameters", Value::Table(parts)) => lora(&mut collector, parts),
            ("num_layers", Value::Int(-1)) => {}
            ("num_layers", _) => {
                collector.leave(
                    name,
                    *at,
                    "it counts from the model's last layer; write the layers' numbers as layers_to_transform",
                );
            }
            ("data", Value::Text(folder)) if folder.contains(['/', '\\', '.']) || !folder.contains(' ') => {
                let file = |name: &str| {
                    node_of(node, Value::Text(format!("{}/{name}", folder.trim_end_matches('/'))))
                };
                collector.take(Table::Data, "train_file", *at, &file("train.jsonl"));
                collector.take(Table::Data, "validation_file", *at, &file("valid.jsonl"));
                collector.note(name, *at, "train.jsonl and valid.jsonl of this folder are named; a hub's dataset must be saved there first");
            }
            ("mask_prompt", Value::Bool(true)) => {}
            ("mask_prompt", Value::Bool(false)) => {
                collector.leave(
                    name,
                    *at,
                    "the prompt is never learnt here; write rows of text to learn everything",
                );
            }
            _ => match NAMES.iter().find(|(theirs, ..)| theirs == name) {
                Some((_, table, ours)) => collector.take(*table, ours, *at, node),
                None => collector.leave_unknown(name, *at),
            },
        }
    }
    let training: &[(&str, serde_json::Value)] = &[
        ("per_device_train_batch_size", 4.into()),
        ("learning_rate", 1e-5.into()),
        ("max_steps", (999 / accumulation + 1).into()),
        ("logging_steps", 10.into()),
        ("eval_strategy", "steps".into()),
        ("eval_steps", 200.into()),
        ("save_steps", 100.into()),
        ("lr_scheduler_type", "constant".into()),
        ("weight_decay", 0.into()),
        ("max_grad_norm", 0.into()),
        ("seed", 0.into()),
        ("output_dir", "adapters".into()),
    ];
    for (name, value) in training {
        collector.imply(Table::Training, name, value.clone());
    }
    collector.imply(Table::Data, "max_length", 2048);
    // mlx-lm's "scale" is the whole factor: alpha / r.
    collector.imply(Table::Lora, "lora_alpha", 160);
    collector.imply(Table::Lora, "target_modules", "all-linear");
    collector.finish(ImportFormat::MlxLm)
}

fn gives_rate(schedule: &Entry) -> bool {
    matches!(&schedule.node.value, Value::Table(parts) if parts.iter().any(|part| part.name == "arguments"))
}

fn fine_tune_type(collector: &mut Collector<'_>, at: usize, node: &Node, kind: &str) {
    match kind {
        "dora" => collector.take(Table::Lora, "use_dora", at, &node_of(node, Value::Bool(true))),
        _ => collector.take(Table::Training, "finetuning_type", at, node),
    }
}

fn optimizer(collector: &mut Collector<'_>, at: usize, node: &Node, name: &str) {
    let ours = match name {
        "adam" | "adamw" => "adamw_torch",
        "sgd" | "adafactor" => name,
        _ => return collector.leave("optimizer", at, format!("there is no {name} here")),
    };
    if name.starts_with("adam") {
        collector.note(
            "optimizer",
            at,
            "mlx's Adam does not correct its bias unless told to; the AdamW here does",
        );
    }
    collector.take(Table::Training, "optim", at, &node_of(node, Value::Text(ours.into())));
}

/// Reads the settings of the optimizer that is used: `{adamw: {betas: [..], eps: .., weight_decay: ..}}`.
fn optimizer_config(collector: &mut Collector<'_>, all: &[Entry], optimizer: Option<&Entry>) {
    let used = match optimizer.map(|entry| &entry.node.value) {
        Some(Value::Text(name)) => name.as_str(),
        _ => "adam",
    };
    for Entry { node, .. } in all.iter().filter(|entry| entry.name == used) {
        let Value::Table(settings) = &node.value else { continue };
        for Entry { name, at, node } in settings {
            match (name.as_str(), &node.value) {
                ("betas", Value::List(list)) if list.len() == 2 => {
                    collector.take(Table::Training, "adam_beta1", *at, &list[0]);
                    collector.take(Table::Training, "adam_beta2", *at, &list[1]);
                }
                ("eps", _) => collector.take(Table::Training, "adam_epsilon", *at, node),
                ("weight_decay", _) => collector.take(Table::Training, "weight_decay", *at, node),
                ("bias_correction", Value::Bool(true)) => {}
                _ => collector.leave(name, *at, "it has no place in TrainingArguments"),
            }
        }
    }
}

/// Reads a schedule: `{name: cosine_decay, warmup: 100, arguments: [1e-5, 1000, 1e-7]}`.
fn schedule(collector: &mut Collector<'_>, at: usize, parts: &[Entry]) {
    let find = |name: &str| parts.iter().find(|entry| entry.name == name).map(|entry| &entry.node);
    let arguments = match find("arguments").map(|node| &node.value) {
        Some(Value::List(list)) => list.as_slice(),
        _ => &[],
    };
    if let Some(warmup) = find("warmup") {
        collector.take(Table::Training, "warmup_steps", at, warmup);
    }
    if let Some(first) = arguments.first() {
        collector.take(Table::Training, "learning_rate", at, first);
    }
    let text = |word: &str| Node { span: at..at, value: Value::Text(word.into()) };
    match find("name").map(|node| &node.value) {
        Some(Value::Text(name)) if name == "cosine_decay" => match arguments.get(2).map(|node| &node.value) {
            Some(Value::Float(end)) if *end > 0.0 => {
                let entry = Entry {
                    name: "min_lr".into(),
                    at,
                    node: Node { span: at..at, value: Value::Float(*end) },
                };
                let kwargs = Node { span: at..at, value: Value::Table(vec![entry]) };
                collector.take(Table::Training, "lr_scheduler_type", at, &text("cosine_with_min_lr"));
                collector.take(Table::Training, "lr_scheduler_kwargs", at, &kwargs);
            }
            _ => collector.take(Table::Training, "lr_scheduler_type", at, &text("cosine")),
        },
        Some(Value::Text(name)) if name == "linear_schedule" => {
            collector.take(Table::Training, "lr_scheduler_type", at, &text("linear"));
        }
        _ => {
            return collector.leave(
                "lr_schedule",
                at,
                "of mlx's schedules, cosine_decay and linear_schedule are taken",
            );
        }
    }
    collector.note(
        "lr_schedule",
        at,
        "the schedule here ends with the run's last step, whatever number of steps it was given",
    );
}

/// Reads the adapter: `{keys: [...], rank: 8, scale: 20.0, dropout: 0.0}`.
fn lora(collector: &mut Collector<'_>, parts: &[Entry]) {
    let mut scale = None;
    for Entry { name, at, node } in parts {
        match name.as_str() {
            "rank" => collector.take(Table::Lora, "r", *at, node),
            "dropout" => collector.take(Table::Lora, "lora_dropout", *at, node),
            "keys" => collector.take(Table::Lora, "target_modules", *at, node),
            "scale" => match node.value {
                Value::Int(number) => scale = Some((number as f64, *at, node)),
                Value::Float(number) => scale = Some((number, *at, node)),
                _ => collector.leave(name, *at, "it is no number"),
            },
            // Before mlx-lm 0.20, `alpha` was the name of scale * rank.
            "alpha" => collector.take(Table::Lora, "lora_alpha", *at, node),
            _ => collector.leave_unknown(name, *at),
        }
    }
    let rank = collector.taken(Table::Lora, "r").and_then(serde_json::Value::as_f64).unwrap_or(8.0);
    match scale {
        Some((scale, at, node)) => {
            collector.take(Table::Lora, "lora_alpha", at, &node_of(node, Value::Float(scale * rank)));
        }
        None => collector.imply(Table::Lora, "lora_alpha", 20.0 * rank),
    }
}
