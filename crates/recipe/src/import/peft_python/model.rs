//! The model: the string that the trainer is given, or `from_pretrained`.

use std::rc::Rc;

use super::super::collect::Collector;
use super::super::python::value::{Call, Kind, Val, What};
use super::Found;
use super::adapter;
use super::settings::{Setting, agreed, settings};
use crate::HubId;
use crate::fields::Table;
use crate::source::{Node, Value};

pub(super) const QUANTIZED: &str = "the base is not quantised here: its weights are kept as the file has them; a .gguf file as model_name_or_path stays packed";

/// Arguments of `from_pretrained` that do not change the numbers of a run here.
const SILENT: &[&str] = &[
    "attn_implementation",
    "cache_dir",
    "device_map",
    "force_download",
    "local_files_only",
    "low_cpu_mem_usage",
    "max_memory",
    "offload_folder",
    "token",
    "trust_remote_code",
    "use_auth_token",
    "use_cache",
    "use_safetensors",
];

/// Names of the positional arguments of Unsloth's `from_pretrained`.
const UNSLOTH: &[&str] = &["model_name", "max_seq_length", "dtype", "load_in_4bit", "load_in_8bit"];

/// What the model of a trainer is made of.
#[derive(Default)]
pub(super) struct Made {
    /// The model's name, where it is given as a string.
    pub(super) name: Option<Val>,
    /// The calls of `from_pretrained`.
    pub(super) loads: Vec<Rc<Call>>,
    /// The calls of `get_peft_model`.
    pub(super) wrapped: Vec<Rc<Call>>,
}

/// Whether a call loads a model, and not a tokenizer or a configuration.
pub(super) fn is_model(call: &Call) -> bool {
    let class = call.name.rsplit('.').nth(1).unwrap_or_default();
    let is_other = [
        "Tokenizer",
        "Processor",
        "Extractor",
        "GenerationConfig",
        "AutoConfig",
        "PeftConfig",
        "LoraConfig",
        "Pipeline",
    ]
    .iter()
    .any(|part| class.contains(part))
        || class.ends_with("Config");
    call.last() == "from_pretrained" && call.base.is_none() && !is_other
}

/// Whether a class adds an adapter to a model, or loads one with its base.
fn is_adapter(call: &Call) -> bool {
    call.name.contains("Peft")
}

/// Follows what a model is made from, through `get_peft_model`, `.to(...)` and the like.
pub(super) fn made(val: &Val) -> Made {
    let mut made = Made::default();
    let mut at = val.clone();
    // An object is made from few others: their number is bounded.
    for _ in 0..64 {
        let next = match (at.kind(), &at.what) {
            (_, What::Text(_)) => {
                made.name = Some(at);
                return made;
            }
            (Some(Kind::Element(base, _) | Kind::Attribute(base)), _) => base.clone(),
            (Some(Kind::Call(call)), _) => {
                if is_model(call) {
                    made.loads.push(call.clone());
                    if !is_adapter(call) {
                        return made;
                    }
                }
                if call.last() == "get_peft_model" {
                    made.wrapped.push(call.clone());
                }
                let first = call.argument("model", Some(0)).map(|argument| argument.item.val.clone());
                match call.base.clone().or(first) {
                    Some(next) if !matches!(next.what, What::Text(_)) => next,
                    _ => return made,
                }
            }
            _ => return made,
        };
        at = next;
    }
    made
}

/// Reads the model.
pub(super) fn import(collector: &mut Collector<'_>, found: &Found<'_>) {
    if let Some(trainer) = &found.trainer
        && let Some(argument) = trainer.argument("model", Some(0))
    {
        if found.made.name.is_some() {
            let setting =
                Setting { name: "model".into(), at: argument.at, item: argument.item.clone(), doubt: None };
            named(collector, found, &setting);
            return;
        }
        if found.made.loads.is_empty() && !found.loads.is_empty() {
            found.note_uncertain(collector, "the trainer", "model", argument);
        }
        if found.made.loads.is_empty() && found.loads.is_empty() {
            let shown = super::settings::source_of(found.text, &argument.item.span);
            collector.leave(
                "model",
                argument.at,
                format!("{shown}: its name is not certain; write it as model_name_or_path"),
            );
        }
    }
    let loads = match found.made.loads.is_empty() {
        false => found.made.loads.clone(),
        true => found.loads.clone(),
    };
    let bases: Vec<Rc<Call>> = loads.iter().filter(|call| !is_adapter(call)).cloned().collect();
    let bases = match bases.iter().filter(|call| call.certain).count() {
        1 if found.made.loads.is_empty() => bases.into_iter().filter(|call| call.certain).collect(),
        _ => bases,
    };
    load(collector, found, &bases);
    for call in loads.iter().filter(|call| is_adapter(call)) {
        adapter_of(collector, found, call);
    }
}

/// Reads a model that the trainer is given by its name, with `model_init_kwargs` for how it is loaded.
fn named(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting) {
    let revision = found.arguments.iter().find_map(|call| {
        let argument = call.argument("model_init_kwargs", None)?;
        let What::Dict(dict) = &argument.item.val.what else { return None };
        match &dict.get("revision")?.val.what {
            What::Text(revision) => Some(revision.to_string()),
            _ => None,
        }
    });
    model_name(collector, found, setting, revision.as_deref());
    for setting in found.arguments.iter().flat_map(|call| settings(call, &[], None)) {
        if &*setting.name == "model_init_kwargs" {
            init_arguments(collector, found, &setting);
        }
    }
}

/// Takes a model's name, with its revision if it is a hub's.
fn model_name(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting, revision: Option<&str>) {
    let id = setting.text().and_then(HubId::parse);
    match revision.filter(|revision| *revision != "main").and_then(|revision| id?.at(revision)) {
        Some(whole) => {
            let node = Node { span: setting.item.span.clone(), value: Value::Text(whole) };
            collector.take(Table::Model, "model_name_or_path", setting.at, &node);
        }
        None => setting.take(collector, found.text, Table::Model, "model_name_or_path"),
    }
}

/// Reads `model_init_kwargs`.
pub(super) fn init_arguments(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting) {
    let What::Dict(dict) = &setting.item.val.what else {
        if !setting.is(&[Value::Null]) {
            let reason = setting.node(found.text).err().unwrap_or_else(|| "it takes a dictionary".into());
            collector.leave("model_init_kwargs", setting.at, reason);
        }
        return;
    };
    for (name, item) in &dict.entries {
        let name = name.as_deref().unwrap_or("**");
        let inner = Setting {
            name: name.into(),
            at: item.span.start,
            item: item.clone(),
            doubt: setting.doubt.clone(),
        };
        load_argument(collector, found, &inner);
    }
}

/// Reads an argument of how a model is loaded.
fn load_argument(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting) {
    match &*setting.name {
        "dtype" | "torch_dtype" => setting.take(collector, found.text, Table::Model, "dtype"),
        "revision" => {
            let name =
                collector.taken(Table::Model, "model_name_or_path").and_then(serde_json::Value::as_str);
            // It is written behind the model's name.
            let is_written = setting.text().is_some_and(|own| {
                own == "main" || name.is_some_and(|name| name.ends_with(&format!("@{own}")))
            });
            if !is_written && !setting.is(&[Value::Null]) {
                let reason = setting.node(found.text).err().unwrap_or_else(|| {
                    "the model's name is not known to be a hub's; write owner/name@revision".into()
                });
                collector.leave("revision", setting.at, reason);
            }
        }
        "quantization_config" | "load_in_4bit" | "load_in_8bit" | "load_in_16bit" | "load_in_fp8" => {
            setting.leave(collector, &[Value::Null, Value::Bool(false)], QUANTIZED);
        }
        "num_labels" | "id2label" | "label2id" | "problem_type" => {
            collector.leave(&setting.name, setting.at, "the classes are those of the rows");
        }
        name if SILENT.contains(&name) => {}
        "**" => setting.take(collector, found.text, Table::Model, "**"),
        _ => collector.leave(&setting.name, setting.at, "it is about how torch loads the model"),
    }
}

/// Reads the call of `from_pretrained` that counts.
fn load(collector: &mut Collector<'_>, found: &Found<'_>, calls: &[Rc<Call>]) {
    let Some(first) = calls.first() else { return };
    let is_unsloth = first.name.contains(".Fast") || first.name.starts_with("Fast");
    let positions: &[&str] = if is_unsloth { UNSLOTH } else { &["pretrained_model_name_or_path"] };
    let mut all = agreed(calls, positions, None);
    // The revision goes behind the name.
    all.sort_by_key(|setting| &*setting.name == "revision");
    let revision = all.iter().find(|setting| &*setting.name == "revision").and_then(|setting| setting.text());
    for setting in &all {
        match &*setting.name {
            "pretrained_model_name_or_path" | "model_name" => model_name(collector, found, setting, revision),
            "max_seq_length" if is_unsloth => {}
            "full_finetuning" if is_unsloth => match setting.is(&[Value::Bool(true)]) {
                true => {
                    let full = Node { span: setting.item.span.clone(), value: Value::Text("full".into()) };
                    collector.take(Table::Training, "finetuning_type", setting.at, &full);
                }
                false => setting.leave(
                    collector,
                    &[Value::Bool(false), Value::Null],
                    "whether every weight is trained is not certain",
                ),
            },
            "use_gradient_checkpointing" if is_unsloth => match found.wrapped.is_empty() {
                true => adapter::checkpointing(collector, found.text, setting),
                false => {
                    let usual = [Value::Bool(true), Value::Text("unsloth".into())];
                    setting.leave(collector, &usual, "that of get_peft_model counts");
                }
            },
            // Silence is for what torch does; Unsloth's are listed.
            name if is_unsloth && SILENT.contains(&name) => {
                setting.leave(
                    collector,
                    &[Value::Null, Value::Bool(false)],
                    "it is about how the model is loaded",
                );
            }
            _ => load_argument(collector, found, setting),
        }
    }
    if is_unsloth {
        unsloth_length(collector, found, &all, first.at);
        if !all
            .iter()
            .any(|setting| matches!(&*setting.name, "load_in_4bit" | "load_in_8bit" | "load_in_16bit"))
        {
            collector.note(
                "load_in_4bit",
                first.at,
                format!("Unsloth loads in 4 bits unless it is told otherwise; {QUANTIZED}"),
            );
        }
    }
    let task = match first.name.rsplit('.').nth(1).unwrap_or_default() {
        class if class.ends_with("ForSequenceClassification") => Some("SEQ_CLS"),
        class if class.ends_with("ForTokenClassification") => Some("TOKEN_CLS"),
        _ => None,
    };
    if let Some(task) = task {
        collector.imply(Table::Lora, "task_type", task);
    }
}

/// Sets the length that Unsloth trains with: the model's, or the trainer's if it is shorter.
fn unsloth_length(collector: &mut Collector<'_>, found: &Found<'_>, all: &[Setting], at: usize) {
    let own = all.iter().find(|setting| &*setting.name == "max_seq_length");
    let length = match own.map(|setting| (setting, setting.node(found.text))) {
        None => Some(2048),
        Some((_, Ok(Node { value: Value::Int(length), .. }))) => Some(length),
        Some((setting, Ok(_))) => {
            collector.leave("max_seq_length", setting.at, "it is a number of tokens");
            None
        }
        Some((setting, Err(reason))) => {
            collector.leave("max_seq_length", setting.at, reason);
            None
        }
    };
    let Some(length) = length else { return };
    let given = collector.taken(Table::Data, "max_length").and_then(serde_json::Value::as_i64);
    match (given, own) {
        (Some(given), _) if given <= length => {}
        (Some(given), _) => {
            collector.note("max_length", at, format!("Unsloth trains with at most the {length} tokens that the model is loaded with, not {given}: {length} is written"));
            collector.replace(Table::Data, "max_length", length);
        }
        (None, Some(own)) => own.take(collector, found.text, Table::Data, "max_length"),
        (None, None) => collector.imply(Table::Data, "max_length", length),
    }
}

/// Reads an adapter to go on from: `PeftModel.from_pretrained(model, "adapter")`, `AutoPeftModelForCausalLM.from_pretrained("adapter")`.
fn adapter_of(collector: &mut Collector<'_>, found: &Found<'_>, call: &Rc<Call>) {
    let is_auto = call.name.contains("AutoPeft");
    let positions: &[&str] =
        if is_auto { &["pretrained_model_name_or_path"] } else { &["model", "model_id"] };
    for setting in settings(call, positions, None) {
        match &*setting.name {
            "model" => {}
            "pretrained_model_name_or_path" | "model_id" => {
                setting.take(collector, found.text, Table::Model, "adapter_name_or_path");
            }
            "is_trainable" => {}
            _ => load_argument(collector, found, &setting),
        }
    }
    if is_auto {
        collector.note(
            "model_name_or_path",
            call.at,
            "the adapter's own file names its base model: write it as model_name_or_path",
        );
    }
}

/// Lists the quantisation of the base, where the script gives one by itself.
pub(super) fn quantization(collector: &mut Collector<'_>, found: &Found<'_>) {
    for call in found.calls_of("BitsAndBytesConfig").take(1) {
        collector.leave("BitsAndBytesConfig", call.at, QUANTIZED);
    }
}
