//! Import of torchtune's YAML: the recipes `lora_finetune_*` and `full_finetune_*` of models whose modules have the names of Hugging
//! Face's. All others are refused whole.

mod tables;

use serde_json::Value as Json;

use super::collect::Collector;
use super::keys::{self, Keys, flag, learn_everything, names, number, refused, text, whole};
use super::{ImportFormat, Imported, node_of};
use crate::RecipeError;
use crate::fields::Table;
use crate::source::{Entry, Node, Source, Value};

use tables::{ADAPTER, FAMILIES, KEYS, OPTIMIZER, OTHER_RECIPES};

/// Reads the mapping of a file.
pub(super) fn import(source: &Source<'_>, entries: &[Entry]) -> Result<Imported, RecipeError> {
    let filled = interpolated(entries);
    let mut collector = Collector::new(source);
    let keys = Keys::new(&mut collector, &filled);
    let kind = kind(source, &keys)?;
    for entry in keys.iter() {
        match entry.name.as_str() {
            "model" => adapter(&mut collector, entry, kind),
            "tokenizer" => tokenizer(&mut collector, entry),
            "checkpointer" => checkpointer(&mut collector, entry),
            "dataset" => dataset(&mut collector, entry),
            "optimizer" => optimizer(&mut collector, entry),
            "lr_scheduler" => scheduler(&mut collector, entry),
            "loss" => loss(&mut collector, entry),
            "max_steps_per_epoch" => most_steps(&mut collector, &keys, entry),
            "dtype" => dtype(&mut collector, entry, kind),
            _ if keys::known(&mut collector, KEYS, entry) => {}
            _ => keys::unknown(&mut collector, "torchtune", &[KEYS], entry),
        }
    }
    defaults(&mut collector, &keys, kind);
    collector.finish(ImportFormat::Torchtune)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lora,
    Full,
}

/// Finds what is trained, by the builder of the model. Refuses recipes and models of other kinds.
fn kind(source: &Source<'_>, keys: &Keys<'_>) -> Result<Kind, RecipeError> {
    const HELP: &str =
        "the LoRA and full fine-tuning recipes of torchtune's Llama, Qwen2, Mistral and Gemma are read";
    for (name, what) in OTHER_RECIPES {
        if let Some(entry) = keys.get(name) {
            return Err(refused(source, entry, &format!("{name} ({what})"), HELP));
        }
    }
    for name in ["loss", "dataset"] {
        if let Some(entry) = keys.get(name)
            && let Some(path) = component(entry)
            && ["dpo", "rso", "ppo", "preference", "paired", "kd", "multimodal", "llava", "cauldron"]
                .iter()
                .any(|mark| path.rsplit('.').next().unwrap_or_default().to_lowercase().contains(mark))
        {
            return Err(refused(source, entry, &format!("{name}: {path}"), HELP));
        }
    }
    let Some(entry) = keys.get("model") else {
        let error =
            RecipeError::new("model", "it is torchtune's, and names no model to train").with_help(HELP);
        return Err(source.locate(None, error));
    };
    let path = component(entry).unwrap_or("?");
    let (package, builder) =
        path.strip_prefix("torchtune.models.").and_then(|rest| rest.split_once('.')).unwrap_or_default();
    let is_quantized = builder.starts_with("qlora_")
        || matches!(&entry.node.value, Value::Table(parts) if parts.iter().any(|part| part.name == "quantize_base" && flag(&part.node) == Some(true)));
    match builder {
        _ if is_quantized => Err(refused(source, entry, &format!("{path} (QLoRA: a base in 4 bits)"), HELP)),
        _ if !FAMILIES.contains(&package) => Err(refused(source, entry, path, HELP)),
        _ if builder.contains("classifier") || builder.contains("reward") => {
            Err(refused(source, entry, path, HELP))
        }
        _ if builder.starts_with("lora_") => Ok(Kind::Lora),
        _ => Ok(Kind::Full),
    }
}

fn component(entry: &Entry) -> Option<&str> {
    match &entry.node.value {
        Value::Table(parts) => {
            parts.iter().find(|part| part.name == "_component_").and_then(|part| text(&part.node))
        }
        _ => None,
    }
}

/// Returns the parts of a component, without its name.
fn parts<'e>(collector: &mut Collector<'_>, entry: &'e Entry) -> Option<Keys<'e>> {
    match &entry.node.value {
        Value::Table(parts) => Some(Keys::new(collector, parts)),
        _ => {
            collector.leave(&entry.name, entry.at, "it takes a table with _component_");
            None
        }
    }
}

/// Imports the adapter. torchtune's names of the modules are not Hugging Face's everywhere.
fn adapter(collector: &mut Collector<'_>, entry: &Entry, kind: Kind) {
    let Some(parts) = parts(collector, entry) else { return };
    for part in parts.iter().filter(|part| part.name != "_component_") {
        match part.name.as_str() {
            _ if kind == Kind::Full => collector.leave(&part.name, part.at, "every weight is trained"),
            "lora_attn_modules" | "apply_lora_to_mlp" | "apply_lora_to_output" => {}
            "quantize_base" if flag(&part.node) == Some(false) => {}
            _ if keys::known(collector, ADAPTER, part) => {}
            _ => keys::unknown(collector, "torchtune", &[ADAPTER], part),
        }
    }
    if kind == Kind::Full {
        return;
    }
    let mut targets: Vec<String> = parts
        .get("lora_attn_modules")
        .map(|part| names(&part.node))
        .unwrap_or_default()
        .into_iter()
        .map(|name| if name == "output_proj" { "o_proj".to_owned() } else { name })
        .collect();
    if parts.is_true("apply_lora_to_mlp") {
        targets.extend(["gate_proj", "down_proj", "up_proj"].map(str::to_owned));
    }
    if parts.is_true("apply_lora_to_output") {
        targets.push("lm_head".into());
    }
    let (at, node) =
        parts.get("lora_attn_modules").map_or((entry.at, &entry.node), |part| (part.at, &part.node));
    match targets.is_empty() {
        true => collector.leave("lora_attn_modules", at, "it names no module"),
        false => collector.take(Table::Lora, "target_modules", at, &keys::list_of(node, &targets)),
    }
}

/// Imports the length of the longest sequence. Without one, torchtune cuts no row.
fn tokenizer(collector: &mut Collector<'_>, entry: &Entry) {
    let Some(parts) = parts(collector, entry) else { return };
    match parts.get("max_seq_len") {
        Some(part) => keys::take(collector, Table::Data, "max_length", part.at, &part.node),
        None => collector.note(
            "max_seq_len",
            entry.at,
            "without max_seq_len torchtune cuts no row, and a recipe always has a length: 1024 is taken; write that of the longest row",
        ),
    }
    for name in ["prompt_template", "special_tokens_path"] {
        if let Some(part) = parts.get(name) {
            collector.leave(name, part.at, "the model's own chat template and tokens are used");
        }
    }
}

/// Imports the folder of the model.
fn checkpointer(collector: &mut Collector<'_>, entry: &Entry) {
    let Some(parts) = parts(collector, entry) else { return };
    match (parts.get("checkpoint_dir"), component(entry)) {
        (Some(part), Some(path)) if path.ends_with("FullModelHFCheckpointer") => {
            keys::take(collector, Table::Model, "model_name_or_path", part.at, &part.node);
        }
        (Some(part), _) => {
            collector.leave(
                "checkpoint_dir",
                part.at,
                "a folder in Hugging Face's form is read: name one as model.model_name_or_path",
            );
        }
        _ => {}
    }
    for name in ["adapter_checkpoint", "recipe_checkpoint"] {
        if let Some(part) = parts.get(name) {
            collector.leave(
                name,
                part.at,
                "it is torchtune's own form; model.adapter_name_or_path takes a folder of PEFT's",
            );
        }
    }
}

/// Imports the rows' file, packing and what is learnt.
fn dataset(collector: &mut Collector<'_>, entry: &Entry) {
    let Value::Table(_) = &entry.node.value else {
        let reason =
            "several datasets are given: join their rows into one file, and name that as data.train_file";
        return collector.leave(&entry.name, entry.at, reason);
    };
    let Some(parts) = parts(collector, entry) else { return };
    let path = component(entry).unwrap_or_default();
    let files = parts.get("data_files").map(|part| (part, names(&part.node)));
    match files.as_ref().map(|(part, files)| (part, files.as_slice())) {
        Some((part, [file])) => {
            keys::take(
                collector,
                Table::Data,
                "train_file",
                part.at,
                &node_of(&part.node, Value::Text(file.clone())),
            );
        }
        _ => {
            let id = parts.text("source").unwrap_or(path);
            let reason = format!(
                "{id} is a dataset of the hub: save its rows as a file, and name that as data.train_file"
            );
            collector.leave(&entry.name, entry.at, reason);
        }
    }
    if let Some(part) = parts.get("packed") {
        keys::take(collector, Table::Data, "packing", part.at, &part.node);
    }
    // Of rows of instructions in Alpaca's form everything is learnt unless the file says otherwise.
    let builder = path.rsplit('.').next().unwrap_or_default();
    let learns_all = parts
        .get("train_on_input")
        .map_or(builder.starts_with("alpaca"), |part| flag(&part.node) == Some(true));
    if learns_all {
        learn_everything(collector);
    }
    columns(collector, &parts, builder);
    for part in parts.iter() {
        let read =
            ["_component_", "source", "data_files", "packed", "train_on_input", "column_map", "column"];
        let usual = part.name == "split" && text(&part.node) == Some("train");
        if !usual && !read.contains(&part.name.as_str()) {
            collector.leave(
                &part.name,
                part.at,
                "a row's form is found by its fields; it has no place in [data]",
            );
        }
    }
}

/// Imports the names of columns: `column_map: {input: question, output: answer}`, or the `column` of a text.
fn columns(collector: &mut Collector<'_>, parts: &Keys<'_>, builder: &str) {
    if let Some(part) = parts.get("column").filter(|_| builder.starts_with("text_completion"))
        && let Some(column) = text(&part.node).filter(|column| *column != "text")
    {
        let columns = keys::table_of(&part.node, part.at, &[("text", Value::Text(column.to_owned()))]);
        collector.take(Table::Data, "columns", part.at, &columns);
    }
    let Some(part) = parts.get("column_map") else { return };
    let Value::Table(map) = &part.node.value else {
        return collector.leave("column_map", part.at, "it takes a table of columns");
    };
    // An instruct dataset's "input" is the whole prompt, which is "instruction" here.
    let is_instruct = builder.starts_with("instruct");
    let named: Vec<(&str, Value)> = map
        .iter()
        .filter_map(|entry| {
            let field = match entry.name.as_str() {
                "input" if is_instruct => "instruction",
                name => name,
            };
            text(&entry.node).map(|column| (field, Value::Text(column.to_owned())))
        })
        .collect();
    collector.take(Table::Data, "columns", part.at, &keys::table_of(&part.node, part.at, &named));
}

/// Imports the optimizer: torch's AdamW, Adam and SGD.
fn optimizer(collector: &mut Collector<'_>, entry: &Entry) {
    let Some(parts) = parts(collector, entry) else { return };
    let path = component(entry).unwrap_or_default();
    let builder = path.rsplit('.').next().unwrap_or_default();
    let name = |word: &str| node_of(&entry.node, Value::Text(word.into()));
    // torch's AdamW decays by 0.01 unless told otherwise.
    let decay = match builder {
        "AdamW" => {
            collector.take(Table::Training, "optim", entry.at, &name("adamw_torch"));
            0.01
        }
        "Adam" if parts.number("weight_decay").unwrap_or(0.0) == 0.0 => {
            collector.take(Table::Training, "optim", entry.at, &name("adamw_torch"));
            0.0
        }
        "SGD" if parts.number("momentum").unwrap_or(0.0) == 0.0 => {
            collector.take(Table::Training, "optim", entry.at, &name("sgd"));
            0.0
        }
        _ => {
            collector.leave(
                &entry.name,
                entry.at,
                format!("{path} is not among the optimizers here: AdamW is taken"),
            );
            0.01
        }
    };
    for part in parts.iter().filter(|part| part.name != "_component_") {
        match (part.name.as_str(), &part.node.value) {
            ("betas", Value::List(list)) if list.len() == 2 => {
                for (beta, node) in ["adam_beta1", "adam_beta2"].into_iter().zip(list) {
                    keys::take(collector, Table::Training, beta, part.at, node);
                }
            }
            _ if keys::known(collector, OPTIMIZER, part) => {}
            _ => collector.leave(&part.name, part.at, "it has no place in TrainingArguments"),
        }
    }
    collector.imply(Table::Training, "weight_decay", decay);
}

/// Lists a loss that is no cross-entropy.
fn loss(collector: &mut Collector<'_>, entry: &Entry) {
    let path = component(entry).unwrap_or_default();
    if !["CEWithChunkedOutputLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss"]
        .iter()
        .any(|name| path.ends_with(name))
    {
        collector.leave(&entry.name, entry.at, "the loss is the cross-entropy");
    }
}

fn scheduler(collector: &mut Collector<'_>, entry: &Entry) {
    let Some(parts) = parts(collector, entry) else { return };
    let path = component(entry).unwrap_or_default();
    if !path.ends_with("get_cosine_schedule_with_warmup") {
        let reason = format!("{path} is not among the schedules here: the learning rate stays the same");
        return collector.leave(&entry.name, entry.at, reason);
    }
    collector.take(
        Table::Training,
        "lr_scheduler_type",
        entry.at,
        &node_of(&entry.node, Value::Text("cosine".into())),
    );
    for part in parts.iter() {
        match part.name.as_str() {
            "_component_" => {}
            "num_warmup_steps" => keys::take(collector, Table::Training, "warmup_steps", part.at, &part.node),
            "num_cycles" => {
                let cycles = number(&part.node).map_or_else(|| part.node.value.clone(), Value::Float);
                let kwargs = keys::table_of(&part.node, part.at, &[("num_cycles", cycles)]);
                collector.take(Table::Training, "lr_scheduler_kwargs", part.at, &kwargs);
            }
            name => collector.leave(name, part.at, "the schedule here has num_warmup_steps and num_cycles"),
        }
    }
}

/// Imports the steps of an epoch as those of the run.
fn most_steps(collector: &mut Collector<'_>, keys: &Keys<'_>, entry: &Entry) {
    let Entry { name, at, node } = entry;
    let epochs = keys.whole("epochs").unwrap_or(1);
    match whole(node).filter(|steps| *steps > 0).and_then(|steps| steps.checked_mul(epochs)) {
        Some(steps) => {
            collector.take(Table::Training, "max_steps", *at, &node_of(node, Value::Int(steps)));
            if epochs > 1 {
                let message = format!(
                    "{epochs} epochs of at most so many steps are max_steps = {steps}, which do not begin the rows anew"
                );
                collector.note(name, *at, message);
            }
        }
        None => collector.leave(name, *at, "it takes a number of steps"),
    }
}

fn dtype(collector: &mut Collector<'_>, entry: &Entry, kind: Kind) {
    let Entry { name, at, node } = entry;
    match (text(node), kind) {
        (Some("fp32"), _) => {}
        (Some("bf16"), Kind::Lora) => {
            collector.take(Table::Training, "bf16", *at, &node_of(node, Value::Bool(true)));
            collector.note(name, *at, "the adapter itself stays in float32 here");
        }
        (Some("bf16"), Kind::Full) => collector.leave(name, *at, "every weight is trained in float32"),
        _ => collector.leave(name, *at, "it takes fp32 or bf16"),
    }
}

/// Sets torchtune's own defaults.
fn defaults(collector: &mut Collector<'_>, keys: &Keys<'_>, kind: Kind) {
    match kind {
        Kind::Lora => {
            collector.imply(Table::Lora, "r", 8);
            collector.imply(Table::Lora, "lora_alpha", 16);
        }
        Kind::Full => collector.imply(Table::Training, "finetuning_type", "full"),
    }
    for (name, value) in tables::DEFAULTS {
        let value: Json = serde_json::from_str(value).unwrap_or_default();
        collector.imply(Table::Training, name, value);
    }
    if keys.get("seed").is_none() {
        collector.remark("seed", "without a seed torchtune draws one; here it is 42");
    }
}

/// Number of texts that can be referred to: more than any file has keys.
const MOST_TEXTS: usize = 200;

/// Fills in the references to texts of the same file: `${output_dir}/logs`.
fn interpolated(entries: &[Entry]) -> Vec<Entry> {
    let texts: Vec<(String, String)> = entries
        .iter()
        .filter_map(|entry| Some((format!("${{{}}}", entry.name), text(&entry.node)?.to_owned())))
        .filter(|(_, text)| !text.contains('$') && text.len() < 1000)
        .take(MOST_TEXTS)
        .collect();
    entries.iter().map(|entry| Entry { node: filled(&entry.node, &texts), ..entry.clone() }).collect()
}

fn filled(node: &Node, texts: &[(String, String)]) -> Node {
    let value = match &node.value {
        Value::Text(text) if text.contains("${") => {
            // A text has a few references, if any.
            let mut whole = text.clone();
            for (reference, value) in texts.iter().filter(|(reference, _)| text.contains(reference.as_str()))
            {
                whole = whole.replacen(reference.as_str(), value, 4);
            }
            Value::Text(whole)
        }
        Value::List(list) => Value::List(list.iter().map(|node| filled(node, texts)).collect()),
        Value::Table(entries) => Value::Table(
            entries.iter().map(|entry| Entry { node: filled(&entry.node, texts), ..entry.clone() }).collect(),
        ),
        other => other.clone(),
    };
    node_of(node, value)
}
