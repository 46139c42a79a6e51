//! `TrainingArguments`, TRL's `SFTConfig` and the arguments of the trainers, as settings of `[training]` and `[data]`.

use std::rc::Rc;

use super::super::collect::Collector;
use super::super::keys::{self, Fate, Known};
use super::super::python::value::{Val, What};
use super::super::trl;
use super::names::{SETTERS, SFT};
use super::settings::{Setting, agreed};
use super::{Found, Tool, candidates};
use crate::fields::{self, Table};
use crate::source::{Entry, Node, Value};

/// Arguments of Unsloth's configuration that TRL's does not have.
const UNSLOTH: Known = &[
    ("embedding_learning_rate", Fate::List("there is one learning rate", &[])),
    ("q_galore_config", Fate::List("GaLore is not there", &[])),
];

/// Arguments of the trainers that are read elsewhere.
const ELSEWHERE: &[&str] = &["model", "args", "train_dataset", "eval_dataset", "peft_config"];

const TOKENIZER: &str = "the model's own tokenizer is used";

/// Arguments of the trainers that describe Python objects, and what is done here.
const OBJECTS: &[(&str, &str)] = &[
    ("processing_class", TOKENIZER),
    ("tokenizer", TOKENIZER),
    ("data_collator", "rows are made into batches here, and padding is masked"),
    ("compute_loss_func", "a function of the script is not run; the loss is the negative log-likelihood"),
    ("compute_metrics", "a function of the script is not run; the metrics follow from the task"),
    (
        "preprocess_logits_for_metrics",
        "a function of the script is not run; the metrics follow from the task",
    ),
    ("optimizers", "an object of the script is not run; say optim and lr_scheduler_type"),
    ("optimizer_cls_and_kwargs", "an object of the script is not run; say optim"),
    (
        "formatting_func",
        "a function of the script is not run; save the rows that it makes, as {\"text\": ...} lines",
    ),
    ("model_init", "a function of the script is not run; name the model in model_name_or_path"),
    ("quantization_config", super::model::QUANTIZED),
    ("callbacks", "only EarlyStoppingCallback is there"),
];

/// Names of the positional arguments of a trainer.
pub(super) const TRAINER: &[&str] =
    &["model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class"];

/// Reads the settings of the trainer itself and of its `args`.
pub(super) fn import(collector: &mut Collector<'_>, found: &Found<'_>) {
    let text = found.text;
    if let Some(trainer) = &found.trainer {
        for setting in agreed(std::slice::from_ref(trainer), TRAINER, None) {
            trainer_argument(collector, found, &setting);
        }
    }
    let mut all = agreed(&found.arguments, &["output_dir"], None);
    if found.calls.iter().any(|call| is_setter(found, call)) {
        let doubt = "a method such as set_training sets several settings afterwards";
        all.iter_mut().for_each(|setting| setting.doubt = Some(doubt.into()));
    }
    let packs =
        all.iter().find(|setting| &*setting.name == "packing").map(|setting| setting.item.val.clone());
    for setting in &all {
        // An evaluation that is packed like the training is nothing to say.
        let is_as_packed = |packs: Option<&Val>| {
            packs.map_or(setting.is(&[Value::Bool(false)]), |packs| packs.same(&setting.item.val))
        };
        if &*setting.name == "eval_packing" && is_as_packed(packs.as_ref()) {
            continue;
        }
        let is_sft = found.tool != Tool::Transformers;
        match is_sft && trl_setting(collector, text, setting) {
            true => {}
            false => training_setting(collector, text, setting),
        }
    }
    defaults(collector, found);
}

/// Whether a call is a method that sets several of the run's arguments: `args.set_training(...)`.
fn is_setter(found: &Found<'_>, call: &super::Call) -> bool {
    let of = call.base.as_ref().and_then(|base| base.call());
    SETTERS.contains(&call.last())
        && of.is_some_and(|of| found.arguments.iter().any(|own| Rc::ptr_eq(own, of)))
}

/// Reads an argument of a trainer.
fn trainer_argument(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting) {
    let name = &*setting.name;
    if ELSEWHERE.contains(&name) {
        return;
    }
    if setting.is(&[Value::Null]) {
        return;
    }
    match name {
        "processing_class" | "tokenizer" if found.is_own_tokenizer(&setting.item.val) => {}
        "data_collator" => collator(collector, setting),
        "callbacks" => callbacks(collector, found, setting),
        "model_init_kwargs" => super::model::init_arguments(collector, found, setting),
        _ if trl_setting(collector, found.text, setting) => {}
        _ => match OBJECTS.iter().find(|(known, _)| *known == name) {
            Some((_, reason)) => collector.leave(name, setting.at, *reason),
            // Older versions of TRL took some of the training's settings here.
            None => training_setting(collector, found.text, setting),
        },
    }
}

/// Reads one of TRL's settings. Returns false if it is none.
fn trl_setting(collector: &mut Collector<'_>, text: &str, setting: &Setting) -> bool {
    let name = &*setting.name;
    let fate = keys::fate_of(trl::SFT, name).or_else(|| keys::fate_of(UNSLOTH, name));
    let Some(fate) = fate else {
        // The model's section reads it.
        return name == "model_init_kwargs";
    };
    let node = setting.node(text);
    if let Ok(node) = &node
        && trl::read(collector, &Entry { name: name.to_owned(), at: setting.at, node: node.clone() })
    {
        return true;
    }
    match (fate, node) {
        (Fate::Take(table, ours), _) => setting.take(collector, text, table, ours),
        (Fate::List(reason, unless), _) => setting.list(collector, reason, unless),
        (Fate::Read, Ok(_)) => {}
        (Fate::Read, Err(reason)) => collector.leave(name, setting.at, reason),
    }
    true
}

/// Reads the collator: some say what is learnt.
fn collator(collector: &mut Collector<'_>, setting: &Setting) {
    let call = setting.item.val.call().filter(|_| setting.doubt.is_none());
    let at = setting.at;
    let mut take = |name: &str, flag: bool| {
        let node = Node { span: setting.item.span.clone(), value: Value::Bool(flag) };
        collector.take(Table::Data, name, at, &node);
    };
    match call.map(|call| call.last()) {
        Some("DataCollatorForCompletionOnlyLM") => {
            take("assistant_only_loss", true);
            take("completion_only_loss", true);
            let message = "DataCollatorForCompletionOnlyLM learns what follows response_template: here the assistant's turns of messages and the \
                           completions of prompts are learnt; rows of text alone are learnt whole, so give such rows as prompt and completion";
            collector.note("data_collator", at, message);
        }
        Some("DataCollatorForLanguageModeling") => {
            take("assistant_only_loss", false);
            take("completion_only_loss", false);
        }
        _ => collector.leave("data_collator", at, "rows are made into batches here, and padding is masked"),
    }
}

/// Lists the callbacks that are not there.
fn callbacks(collector: &mut Collector<'_>, found: &Found<'_>, setting: &Setting) {
    let What::List(list) = &setting.item.val.what else {
        return collector.leave("callbacks", setting.at, "only EarlyStoppingCallback is there");
    };
    for item in &list.items {
        if item.val.call().is_none_or(|call| call.last() != "EarlyStoppingCallback") {
            let shown = super::settings::source_of(found.text, &item.span);
            collector.leave(&shown, item.span.start, "only EarlyStoppingCallback is there");
        }
    }
}

/// Reads one of Transformers' settings, of this and of older versions.
fn training_setting(collector: &mut Collector<'_>, text: &str, setting: &Setting) {
    let name = &*setting.name;
    match setting.node(text) {
        Ok(node) if keys::reworded(collector, name, setting.at, &node) => {}
        _ if fields::find(Table::Training, name).is_none()
            && setting.is(&[Value::Null, Value::Bool(false)]) =>
        {
            collector.leave(name, setting.at, "there is no such setting here");
        }
        _ => setting.take(collector, text, Table::Training, name),
    }
}

/// Writes the defaults of the tool that the script is for, where they are not Lorelei's.
fn defaults(collector: &mut Collector<'_>, found: &Found<'_>) {
    if found.tool == Tool::Transformers {
        return;
    }
    collector.imply(Table::Data, "assistant_only_loss", false);
    if found.arguments.is_empty()
        && found.trainer.is_some()
        && let Some(What::Text(name)) = found.made.name.as_ref().map(|name| &name.what)
    {
        let name = name.rsplit('/').next().unwrap_or_default();
        collector.imply(Table::Training, "output_dir", format!("{name}-SFT"));
    }
    let has_own_config = found.arguments.iter().any(|call| !SFT.contains(&call.last()));
    let is_parsed = found.arguments.is_empty() && found.is_parsed("SFTConfig");
    if has_own_config || !found.arguments_are_known && !is_parsed {
        return;
    }
    if is_parsed && let Some(trainer) = &found.trainer {
        let message =
            "SFTConfig is made from the script's command line: what is not in the file has its default";
        collector.note("SFTConfig", trainer.at, message);
    }
    let given = |name: &str| found.arguments.iter().any(|call| call.argument(name, None).is_some());
    let at = found.arguments.first().or(found.trainer.as_ref()).map_or(0, |call| call.at);
    match found.tool {
        Tool::Unsloth => {
            unsloth_defaults(collector);
            if !given("optim") {
                let message =
                    format!("Unsloth trains with adamw_8bit unless it is told otherwise: {}", keys::ROUNDED);
                collector.note("optim", at, message);
            }
        }
        _ => {
            trl::imply_arguments(collector);
            if !given("bf16") && !given("fp16") {
                let message = "TRL trains in bfloat16 where neither bf16 nor fp16 is given; float32 is written, which every device has: \
                               add bf16 = true or fp16 = true under [training]";
                collector.note("bf16", at, message);
            }
        }
    }
}

/// Sets what Unsloth writes into TRL's configurations (`unsloth/models/rl.py`).
fn unsloth_defaults(collector: &mut Collector<'_>) {
    collector.imply(Table::Training, "learning_rate", 5e-5);
    collector.imply(Table::Training, "weight_decay", 0.001);
    if collector.taken(Table::Training, "warmup_ratio").is_none() {
        collector.imply(Table::Training, "warmup_steps", 0.1);
    }
    collector.imply(Table::Training, "logging_steps", 1.0);
    for (name, value) in [
        ("per_device_train_batch_size", 4),
        ("per_device_eval_batch_size", 4),
        ("gradient_accumulation_steps", 2),
        ("seed", 3407),
    ] {
        collector.imply(Table::Training, name, value);
    }
}

/// Reads `EarlyStoppingCallback(...)`.
pub(super) fn early_stopping(collector: &mut Collector<'_>, found: &Found<'_>) {
    let mut all = found.calls_of("EarlyStoppingCallback");
    let Some(call) = all.next() else { return };
    for setting in
        agreed(std::slice::from_ref(call), &["early_stopping_patience", "early_stopping_threshold"], None)
    {
        setting.take(collector, found.text, Table::Training, &setting.name.clone());
    }
    collector.imply(Table::Training, "early_stopping_patience", 1);
    for other in all {
        collector.leave("EarlyStoppingCallback", other.at, "there is one before it, and a recipe has one");
    }
}

/// Reads `train_on_responses_only(trainer, ...)`, `get_chat_template(tokenizer, ...)` and other functions that change a run.
pub(super) fn functions(collector: &mut Collector<'_>, found: &Found<'_>) {
    if let Some(call) = found.calls_of("train_on_responses_only").next() {
        let node = Node { span: call.at..call.at, value: Value::Bool(true) };
        for name in ["assistant_only_loss", "completion_only_loss"] {
            collector.take(Table::Data, name, call.at, &node);
        }
        let message = "train_on_responses_only finds the answers in the text by their marks: here the assistant's turns of messages and the \
                       completions of prompts are learnt; rows of text alone are learnt whole, so give such rows as messages";
        collector.note("train_on_responses_only", call.at, message);
    }
    for name in ["get_chat_template", "setup_chat_format", "clone_chat_template"] {
        for call in found.calls_of(name).take(1) {
            collector.leave(name, call.at, "the model's own chat template is used");
        }
    }
    for call in found.calls_of("create_loraplus_optimizer") {
        for setting in agreed(std::slice::from_ref(call), &["model", "optimizer_cls", "lr"], None) {
            match &*setting.name {
                "lr" => setting.take(collector, found.text, Table::Training, "learning_rate"),
                "loraplus_lr_ratio" | "weight_decay" => {
                    setting.take(collector, found.text, Table::Training, &setting.name.clone());
                }
                "model" => {}
                _ => collector.leave(&setting.name, setting.at, "say optim"),
            }
        }
    }
}

/// Returns the calls that make the arguments of the run, whether it is certain that they are those, and the calls that are not used.
pub(super) fn arguments_of(found: &mut Found<'_>) {
    let is_arguments = |call: &&Rc<super::Call>| super::names::TRAINING.contains(&call.last());
    let all: Vec<_> = found.calls.iter().filter(is_arguments).cloned().collect();
    let given = found.trainer.as_ref().map(|trainer| trainer.argument("args", Some(1)));
    match given {
        // A trainer without arguments has its own defaults.
        Some(None) if found.trainer.as_ref().is_some_and(|trainer| !trainer.is_open()) => {}
        Some(Some(argument)) => {
            let of_argument = candidates(&argument.item.val, &all);
            found.arguments_are_known =
                !of_argument.is_empty() || matches!(argument.item.val.what, What::None);
            found.arguments = if of_argument.is_empty() { all.clone() } else { of_argument };
        }
        _ => found.arguments.clone_from(&all),
    }
    found.unused_arguments =
        all.into_iter().filter(|call| !found.arguments.iter().any(|used| Rc::ptr_eq(used, call))).collect();
}
