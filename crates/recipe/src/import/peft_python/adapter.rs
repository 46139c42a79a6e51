//! The adapter: PEFT's `LoraConfig`, and Unsloth's `get_peft_model`.

use std::rc::Rc;

use super::super::collect::Collector;
use super::super::keys::{self, Fate};
use super::super::python::value::{Argument, Call, Val, What};
use super::super::trl;
use super::settings::{Setting, agreed};
use super::{Found, candidates};
use crate::fields::Table;
use crate::source::{Node, Value};

/// Unsloth's own modules, if none are given.
const UNSLOTH_TARGETS: &[&str] =
    &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Names of the positional arguments of Unsloth's `get_peft_model`.
const UNSLOTH: &[&str] = &["model", "r", "target_modules", "lora_alpha", "lora_dropout", "bias"];

/// Arguments of Unsloth's `get_peft_model` that are no setting of the adapter here, the value that means nothing, and the reason.
const UNSLOTH_OTHERS: &[(&str, Value, &str)] = &[
    ("random_state", Value::Null, "it seeds the adapter's first values, as [training] seed does here"),
    ("max_seq_length", Value::Null, "Unsloth does not use it"),
    ("temporary_location", Value::Null, "it is about how Unsloth runs"),
    ("qat_scheme", Value::Null, "weights are not rounded while they are trained"),
    ("finetune_vision_layers", Value::Bool(false), "there are no layers for images"),
    ("finetune_audio_layers", Value::Bool(false), "there are no layers for sound"),
    ("finetune_language_layers", Value::Bool(true), "say which modules in target_modules"),
    ("finetune_attention_modules", Value::Bool(true), "say which modules in target_modules"),
    ("finetune_mlp_modules", Value::Bool(true), "say which modules in target_modules"),
    ("finetune_last_n_layers", Value::Null, "write the layers' numbers as layers_to_transform"),
    ("offload_layers", Value::Null, "it is about how Unsloth runs"),
    ("checkpoint_skip_layers", Value::Int(0), "gradient_checkpointing is for all layers"),
    ("ensure_weight_tying", Value::Null, "adapters of tied embeddings are not there yet"),
];

/// The call that makes the adapter.
pub(super) enum Adapter {
    /// `LoraConfig(...)`, or one of several.
    Lora { calls: Vec<Rc<Call>>, until: Option<usize> },
    /// `FastLanguageModel.get_peft_model(...)`.
    Unsloth(Rc<Call>),
    /// TRL's `get_peft_config(model_args)`.
    ModelConfig(Rc<Call>),
    /// There is none: the script trains the whole model.
    None,
    /// There may be one, which is not known.
    Unknown,
}

/// Whether a call is Unsloth's `get_peft_model`, a method of a class.
pub(super) fn is_unsloth(call: &Call) -> bool {
    call.last() == "get_peft_model" && call.base.is_none() && call.name.contains("Fast")
}

/// Returns the calls of `get_peft_model` that make the trainer's model, or may.
fn wrapping<'f>(found: &'f Found<'_>) -> Vec<&'f Rc<Call>> {
    match found.wrapped.is_empty() {
        false => found.wrapped.iter().collect(),
        true => found.calls_of("get_peft_model").collect(),
    }
}

/// Finds the adapter of the run: the trainer's, else that of its model, else the only one.
pub(super) fn find(found: &Found<'_>) -> Adapter {
    let configs: Vec<Rc<Call>> = found.calls_of("LoraConfig").cloned().collect();
    let from = |val: &Val, until: Option<usize>| {
        let calls = candidates(val, &configs);
        if !calls.is_empty() {
            return Some(Adapter::Lora { calls, until });
        }
        val.call()
            .filter(|call| call.last() == "get_peft_config")
            .map(|call| Adapter::ModelConfig(call.clone()))
    };
    if let Some(trainer) = &found.trainer
        && let Some(argument) = trainer.argument("peft_config", None)
        && let Some(adapter) = from(&argument.item.val, Some(trainer.order))
    {
        return adapter;
    }
    match wrapping(found).as_slice() {
        [one] if is_unsloth(one) => return Adapter::Unsloth((*one).clone()),
        [one] => {
            if let Some(argument) = one.argument("peft_config", Some(1))
                && let Some(adapter) = from(&argument.item.val, Some(one.order))
            {
                return adapter;
            }
        }
        _ => {}
    }
    if let [one] = found.calls_of("get_peft_config").collect::<Vec<_>>().as_slice()
        && configs.is_empty()
    {
        return Adapter::ModelConfig((*one).clone());
    }
    match configs.as_slice() {
        [] => {}
        _ => {
            // Where some of them certainly run, the others do not count.
            let certain: Vec<Rc<Call>> = configs.iter().filter(|call| call.certain).cloned().collect();
            let calls = if certain.len() == 1 { certain } else { configs.clone() };
            return Adapter::Lora { calls, until: None };
        }
    }
    let is_open = |trainer: &Rc<Call>| {
        let given =
            trainer.argument("peft_config", None).is_some_and(|argument| !is_none(&argument.item.val));
        given || trainer.is_open()
    };
    let may_have_one = found.calls_of("get_peft_model").next().is_some()
        || found.calls_of("add_adapter").next().is_some()
        || found.calls.iter().any(|call| call.last() == "from_pretrained" && call.name.contains("Peft"));
    // A model that another part of the script makes may have an adapter.
    let is_known = found.made.name.is_some() || !found.made.loads.is_empty();
    match &found.trainer {
        Some(trainer) if is_known && !is_open(trainer) && !may_have_one => Adapter::None,
        _ => Adapter::Unknown,
    }
}

fn is_none(val: &Val) -> bool {
    matches!(val.what, What::None)
}

/// Reads the settings of the adapter.
pub(super) fn import(collector: &mut Collector<'_>, found: &Found<'_>, adapter: &Adapter) {
    let text = found.text;
    match adapter {
        Adapter::Lora { calls, until } => {
            found.note_branch(collector, calls);
            for (call, argument) in uncertain(found) {
                found.note_uncertain(collector, call, "peft_config", &argument);
            }
            for setting in agreed(calls, &[], *until) {
                setting.take(collector, text, Table::Lora, &setting.name.clone());
            }
            leave_others(collector, found, calls);
        }
        Adapter::Unsloth(call) => unsloth(collector, found, call),
        Adapter::ModelConfig(call) => model_config(collector, found, call),
        Adapter::None => {
            collector.imply(Table::Training, "finetuning_type", "full");
            let at = found.trainer.as_ref().map_or(0, |trainer| trainer.at);
            let message = "the script has no LoraConfig and trains every weight: finetuning_type = \"full\" is written; take it out to train an adapter";
            collector.note("finetuning_type", at, message);
        }
        Adapter::Unknown => {
            for (_, argument) in uncertain(found) {
                let shown = super::settings::source_of(text, &argument.item.span);
                let reason = format!(
                    "{shown} has no value that is certain, and nothing is executed; write the adapter under [lora]"
                );
                collector.leave("peft_config", argument.at, reason);
            }
        }
    }
}

/// Returns the arguments that give the run an adapter which is not certain, each with the name of what is given it.
fn uncertain(found: &Found<'_>) -> Vec<(&'static str, Argument)> {
    let configs: Vec<Rc<Call>> = found.calls_of("LoraConfig").cloned().collect();
    let open =
        |call: &Call| call.arguments.iter().find(|argument| argument.name.as_deref() == Some("**")).cloned();
    let trainer = found
        .trainer
        .iter()
        .filter_map(|call| Some(("the trainer", call.argument("peft_config", None)?.clone())));
    let wrapping: Vec<&Rc<Call>> = wrapping(found);
    let wrapped = wrapping.iter().filter(|call| !is_unsloth(call)).filter_map(|call| {
        let given = call.argument("peft_config", Some(1)).cloned().or_else(|| open(call))?;
        Some(("get_peft_model", given))
    });
    // Transformers takes the configuration first, PEFT after the adapter's name.
    let added = found.calls_of("add_adapter").filter_map(|call| {
        let first = call
            .argument("adapter_config", Some(0))
            .filter(|first| !matches!(first.item.val.what, What::Text(_)));
        let given = call
            .argument("peft_config", Some(1))
            .filter(|given| !matches!(given.item.val.what, What::Text(_)));
        Some(("add_adapter", first.or(given).cloned().or_else(|| open(call))?))
    });
    let is_uncertain = |(_, argument): &(&str, Argument)| {
        let val = &argument.item.val;
        let is_parsed = val.call().is_some_and(|call| call.last() == "get_peft_config");
        !is_none(val) && !is_parsed && candidates(val, &configs).is_empty()
    };
    trainer.chain(wrapped).chain(added).filter(is_uncertain).collect()
}

fn leave_others(collector: &mut Collector<'_>, found: &Found<'_>, used: &[Rc<Call>]) {
    for call in found.calls_of("LoraConfig") {
        if !used.iter().any(|used| Rc::ptr_eq(used, call)) {
            collector.leave("LoraConfig", call.at, "another one is that of the run, and a recipe has one");
        }
    }
}

fn unsloth(collector: &mut Collector<'_>, found: &Found<'_>, call: &Rc<Call>) {
    let text = found.text;
    let all = agreed(std::slice::from_ref(call), UNSLOTH, None);
    for setting in &all {
        match &*setting.name {
            "model" => {}
            "use_gradient_checkpointing" => checkpointing(collector, text, setting),
            name => match UNSLOTH_OTHERS.iter().find(|(known, ..)| *known == name) {
                Some((_, harmless, reason)) => {
                    setting.leave(collector, std::slice::from_ref(harmless), reason)
                }
                None => setting.take(collector, text, Table::Lora, name),
            },
        }
    }
    collector.imply(Table::Lora, "r", 16);
    collector.imply(Table::Lora, "lora_alpha", 16);
    collector.imply(Table::Training, "gradient_checkpointing", true);
    match call.name.contains("FastLanguageModel") {
        true => collector.imply(Table::Lora, "target_modules", UNSLOTH_TARGETS.to_vec()),
        false => collector.imply(Table::Lora, "target_modules", "all-linear"),
    }
    leave_others(collector, found, &[]);
}

/// Reads Unsloth's `use_gradient_checkpointing`: a truth value, or the name of a way to do it.
pub(super) fn checkpointing(collector: &mut Collector<'_>, text: &str, setting: &Setting) {
    match setting.node(text) {
        Ok(Node { value: Value::Bool(_), .. }) => {
            setting.take(collector, text, Table::Training, "gradient_checkpointing");
        }
        Ok(Node { value: Value::Null, span }) => {
            let off = Node { span, value: Value::Bool(false) };
            collector.take(Table::Training, "gradient_checkpointing", setting.at, &off);
        }
        Ok(Node { span, value }) => {
            if value != Value::Text("unsloth".into()) {
                collector.note(
                    &setting.name,
                    setting.at,
                    "whichever way is named, gradient_checkpointing = true is written",
                );
            }
            let on = Node { span, value: Value::Bool(true) };
            collector.take(Table::Training, "gradient_checkpointing", setting.at, &on);
        }
        Err(reason) => collector.leave(&setting.name, setting.at, reason),
    }
}

/// Reads the adapter of TRL's `ModelConfig`, whose defaults are not PEFT's.
fn model_config(collector: &mut Collector<'_>, found: &Found<'_>, call: &Rc<Call>) {
    let config = call.argument("model_args", Some(0)).and_then(|argument| argument.item.val.call().cloned());
    let config = config.filter(|config| config.last() == "ModelConfig");
    if config.is_none() && !found.is_parsed("ModelConfig") {
        let reason =
            "what it returns is not certain, and nothing is executed; write the adapter under [lora]";
        return collector.leave("get_peft_config", call.at, reason);
    }
    let settings = config.map(|config| agreed(std::slice::from_ref(&config), &[], None));
    for setting in settings.iter().flatten() {
        model_setting(collector, found.text, setting);
    }
    let is_on = |setting: &Setting| &*setting.name == "use_peft" && !setting.is(&[Value::Bool(false)]);
    if settings.is_some_and(|settings| !settings.iter().any(is_on)) {
        let message = "without use_peft=True, TRL trains every weight: for that, write finetuning_type = \"full\" under [training]";
        collector.note("use_peft", call.at, message);
    }
    collector.imply(Table::Lora, "task_type", "CAUSAL_LM");
    trl::imply_adapter(collector);
    let message = "the adapter is given on the script's command line (--use_peft, --lora_r, ...): TRL's defaults are written";
    collector.note("get_peft_config", call.at, message);
}

/// Reads an argument of `ModelConfig`. Those that name the model are read with the model.
fn model_setting(collector: &mut Collector<'_>, text: &str, setting: &Setting) {
    match (&*setting.name, keys::fate_of(trl::MODEL_CONFIG, &setting.name)) {
        ("lora_target_modules", _) => match setting.node(text) {
            Ok(node) => collector.take(Table::Lora, "target_modules", setting.at, &trl::targets(&node)),
            Err(_) => setting.take(collector, text, Table::Lora, "target_modules"),
        },
        ("lora_task_type", _) => setting.take(collector, text, Table::Lora, "task_type"),
        (_, Some(Fate::Take(table, ours))) => setting.take(collector, text, table, ours),
        (_, Some(Fate::List(reason, unless))) => setting.list(collector, reason, unless),
        (_, Some(Fate::Read)) => {}
        ("**", None) => setting.take(collector, text, Table::Lora, "**"),
        (name, None) => collector.leave_unknown(name, setting.at),
    }
}
