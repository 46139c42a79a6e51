//! Import of LLaMA-Factory's YAML. It has its own names for the adapter and the data, beside Transformers' `TrainingArguments`.

use super::collect::Collector;
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::{self, Table};
use crate::source::{Entry, Node, Source, Value};

/// Keys by which a file of LLaMA-Factory is recognized: only its files have them.
pub(super) const MARKS: &[&str] =
    &["stage", "finetuning_type", "lora_target", "lora_rank", "cutoff_len", "template", "dataset_dir"];

/// LLaMA-Factory's name of a setting, and Lorelei's section and name.
const NAMES: &[(&str, Table, &str)] = &[
    ("lora_rank", Table::Lora, "r"),
    ("lora_alpha", Table::Lora, "lora_alpha"),
    ("lora_dropout", Table::Lora, "lora_dropout"),
    ("additional_target", Table::Lora, "modules_to_save"),
    ("cutoff_len", Table::Data, "max_length"),
];

/// Keys that do not change the numbers of a run here, or that ask for what every run here does.
const SILENT: &[&str] = &[
    "do_train",
    "do_eval",
    "overwrite_cache",
    "preprocessing_num_workers",
    "plot_loss",
    "trust_remote_code",
    "flash_attn",
    "use_fast_tokenizer",
    "dataset_dir",
    "media_dir",
    "cache_dir",
];

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let mut collector = Collector::new(source);
    let mut target_given = false;
    for Entry { name, at, node } in entries {
        let known = NAMES.iter().find(|(theirs, ..)| theirs == name);
        match (name.as_str(), &node.value) {
            (name, _) if SILENT.contains(&name) => {}
            ("stage", Value::Text(stage)) if stage == "sft" || stage == "pt" => {}
            ("lora_target", Value::Text(names)) => {
                target_given = true;
                collector.take(Table::Lora, "target_modules", *at, &targets(node, names));
            }
            ("additional_target", Value::Text(names)) => {
                collector.take(Table::Lora, "modules_to_save", *at, &list(node, names));
            }
            ("pissa_init", Value::Bool(init)) => {
                if *init {
                    let pissa = node_of(node, Value::Text("pissa_niter_16".into()));
                    collector.take(Table::Lora, "init_lora_weights", *at, &pissa);
                }
            }
            ("val_size", value) => validation(&mut collector, *at, node, value),
            ("dataset" | "eval_dataset", _) => {
                collector.leave(name, *at, "it is a name in dataset_info.json; write the file under [data] as train_file or validation_file");
            }
            ("template", _) => collector.leave(name, *at, "the model's own chat template is used"),
            _ => match known {
                Some((_, table, ours)) => collector.take(*table, ours, *at, node),
                None => match [Table::Training, Table::Lora, Table::Model, Table::Data]
                    .into_iter()
                    .find(|table| fields::find(*table, name).is_some())
                {
                    Some(table) => collector.take(table, name, *at, node),
                    None => collector.leave_unknown(name, *at),
                },
            },
        }
    }
    // These are LLaMA-Factory's own defaults, which differ from PEFT's.
    if !target_given {
        collector.imply(Table::Lora, "target_modules", "all-linear");
    }
    let rank = collector.taken(Table::Lora, "r").and_then(serde_json::Value::as_i64).unwrap_or(8);
    collector.imply(Table::Lora, "lora_alpha", 2 * rank);
    collector.imply(Table::Data, "max_length", 2048);
    collector.finish(ImportFormat::LlamaFactory)
}

/// Reads `all`, or names separated by commas.
fn targets(node: &Node, names: &str) -> Node {
    match names.trim() {
        "all" => node_of(node, Value::Text("all-linear".into())),
        names => list(node, names),
    }
}

fn list(node: &Node, names: &str) -> Node {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    node_of(node, Value::List(names.map(|name| node_of(node, Value::Text(name.into()))).collect()))
}

/// Reads the size of the validation set: a share of the rows, or a number of them.
fn validation(collector: &mut Collector<'_>, at: usize, node: &Node, value: &Value) {
    match value {
        Value::Float(share) if *share > 0.0 && *share < 1.0 => {
            // The rounding makes 0.1 ten percent, not a double's 10.000000000000002.
            let percent = (share * 1e8).round() / 1e6;
            collector.take(
                Table::Data,
                "validation_split_percentage",
                at,
                &node_of(node, Value::Float(percent)),
            );
        }
        Value::Int(0) => {}
        Value::Float(none) if *none == 0.0 => {}
        _ => collector.leave("val_size", at, "a number of rows is not taken; write a share, such as 0.1"),
    }
}
