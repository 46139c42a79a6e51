//! Keys of another trainer's file: what becomes of each, and their values as the trainer reads them.

use std::collections::HashMap;

use super::collect::Collector;
use super::node_of;
use crate::fields::{self, Table, is_one_of};
use crate::hub_id::{self, HubId};
use crate::source::{Entry, Node, Source, Value};
use crate::suggest::nearest;
use crate::{COMPRESSED_ENDINGS, DATA_FILE_ENDINGS, Kind, RecipeError};

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// The recipe has this setting, with the same values.
    Take(Table, &'static str),
    /// The recipe has no place for it. It is listed with the reason, unless it has one of these values (as JSON), with which it asks for
    /// nothing.
    List(&'static str, &'static [&'static str]),
    /// A function of the trainer's importer reads it.
    Read,
}

/// A trainer's keys by name.
pub(super) type Known = &'static [(&'static str, Fate)];

/// The keys of a mapping that have a value, in their order.
pub(super) struct Keys<'e> {
    entries: Vec<&'e Entry>,
}

impl<'e> Keys<'e> {
    /// Takes the keys of a mapping. Leaves out those that are null, as a trainer then has its default. Lists those that are given again, of
    /// which the last counts, and those with a placeholder.
    pub(super) fn new(collector: &mut Collector<'_>, entries: &'e [Entry]) -> Self {
        let mut kept = Vec::new();
        let last: HashMap<&str, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.name.as_str(), index)).collect();
        for (index, entry) in entries.iter().enumerate() {
            match &entry.node.value {
                _ if last.get(entry.name.as_str()) != Some(&index) => {
                    collector.leave(&entry.name, entry.at, "it is given again, and the last one counts")
                }
                Value::Null => {}
                _ if has_placeholder(&entry.node) => collector.leave(
                    &entry.name,
                    entry.at,
                    "it has a placeholder ($...), and nothing is filled in here; write the value",
                ),
                _ => kept.push(entry),
            }
        }
        Self { entries: kept }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'e Entry> {
        self.entries.iter().copied()
    }

    pub(super) fn get(&self, name: &str) -> Option<&'e Entry> {
        self.iter().find(|entry| entry.name == name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'e str> {
        self.get(name).and_then(|entry| text(&entry.node))
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(|entry| number(&entry.node))
    }

    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|entry| whole(&entry.node))
    }

    /// Whether a key is true; not if it is absent.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).and_then(|entry| flag(&entry.node)) == Some(true)
    }
}

/// Returns what a trainer's table says of a key.
pub(super) fn fate_of(known: Known, name: &str) -> Option<Fate> {
    known.iter().find(|(key, _)| *key == name).map(|(_, fate)| *fate)
}

/// Whether a value asks for nothing: it is null, or one of these (as JSON).
pub(super) fn asks_nothing(node: &Node, unless: &[&str]) -> bool {
    node.value == Value::Null || node.to_json().is_ok_and(|value| is_one_of(&value, unless))
}

/// Does what the table of a trainer says of a key. Returns whether the table has it.
pub(super) fn known(collector: &mut Collector<'_>, known: Known, entry: &Entry) -> bool {
    match fate_of(known, &entry.name) {
        Some(Fate::Take(_, "optim")) if other_optimizer(collector, &entry.name, entry.at, &entry.node) => {}
        Some(Fate::Take(table, name)) => take_as(collector, table, name, entry),
        Some(Fate::List(_, unless)) if asks_nothing(&entry.node, unless) => {}
        Some(Fate::List(reason, _)) => collector.leave(&entry.name, entry.at, reason),
        Some(Fate::Read) => {}
        None => return false,
    }
    true
}

/// Imports a setting of Transformers' `TrainingArguments`. Returns whether it is one.
pub(super) fn transformers(collector: &mut Collector<'_>, entry: &Entry) -> bool {
    let Entry { name, at, node } = entry;
    if reworded(collector, name, *at, node) {
        return true;
    }
    let is_one = fields::find(Table::Training, name).is_some_and(is_transformers);
    if is_one {
        take(collector, Table::Training, name, *at, node);
    }
    is_one
}

/// Imports a setting of Transformers that is written by another name or with another word here. Returns whether it is one.
pub(super) fn reworded(collector: &mut Collector<'_>, name: &str, at: usize, node: &Node) -> bool {
    let word = |word: &str| node_of(node, Value::Text(word.into()));
    match (name, flag(node)) {
        ("group_by_length", Some(true)) => {
            collector.take(Table::Training, "train_sampling_strategy", at, &word("group_by_length"));
        }
        ("adafactor", Some(true)) => collector.take(Table::Training, "optim", at, &word("adafactor")),
        ("optim", _) => return other_optimizer(collector, name, at, node),
        _ => return false,
    }
    true
}

/// What is said of an optimizer with rounded moments.
pub(super) const ROUNDED: &str = "optimizers with rounded moments are not there; adamw_torch_fused, the default, is AdamW with moments in float32";

/// Optimizers whose mathematics is that of another name.
const SAME_OPTIMIZERS: &[(&str, &str)] = &[
    ("paged_adamw_32bit", "adamw_torch"),
    ("paged_adamw", "adamw_torch"),
    ("adamw_hf", "adamw_torch"),
    ("adamw_anyprecision", "adamw_torch"),
    ("paged_lion_32bit", "lion_32bit"),
];

/// Imports an optimizer that is here by another name, or lists an AdamW with rounded moments, by the name `key`. Returns false for any other.
pub(super) fn other_optimizer(collector: &mut Collector<'_>, key: &str, at: usize, node: &Node) -> bool {
    let Some(name) = text(node) else { return false };
    if let Some((theirs, ours)) = SAME_OPTIMIZERS.iter().find(|(theirs, _)| *theirs == name) {
        collector.take_as(Table::Training, "optim", key, at, &node_of(node, Value::Text((*ours).into())));
        collector.note(key, at, format!("{theirs} is the same mathematics as {ours}, which is written"));
        return true;
    }
    let is_rounded = name.contains("adamw")
        && !name.contains("galore")
        && ["8bit", "4bit", "fp8"].iter().any(|bits| name.contains(bits));
    if is_rounded {
        collector.leave(key, at, ROUNDED);
    }
    is_rounded
}

fn is_transformers(field: &fields::Field) -> bool {
    field.upstream != fields::Field::OURS
}

/// Imports a setting of another name, like [`take`]. What is left out has the name of the file.
pub(super) fn take_as(collector: &mut Collector<'_>, table: Table, name: &str, entry: &Entry) {
    match fitted(table, name, &entry.node) {
        Fitted::Nothing => {}
        Fitted::AsItIs => collector.take_as(table, name, &entry.name, entry.at, &entry.node),
        Fitted::Other(value) => {
            collector.take_as(table, name, &entry.name, entry.at, &node_of(&entry.node, value));
        }
    }
}

/// Imports a setting, whose value may be written as another type than it is, as the trainers' parsers allow: `"1e-4"`, `8.0`, `"true"`.
pub(super) fn take(collector: &mut Collector<'_>, table: Table, name: &str, at: usize, node: &Node) {
    match fitted(table, name, node) {
        Fitted::Nothing => {}
        Fitted::AsItIs => collector.take(table, name, at, node),
        Fitted::Other(value) => collector.take(table, name, at, &node_of(node, value)),
    }
}

/// A value as a setting's type asks for it.
enum Fitted {
    /// The value says nothing: an empty name or list.
    Nothing,
    AsItIs,
    Other(Value),
}

fn fitted(table: Table, name: &str, node: &Node) -> Fitted {
    let kind = fields::find(table, name).map(|field| field.kind);
    let value = match (kind, &node.value) {
        (Some(Kind::Int { .. }), Value::Text(_) | Value::Float(_)) => whole(node).map(Value::Int),
        (Some(Kind::Number(_)), Value::Text(_)) => number(node).map(Value::Float),
        (Some(Kind::Bool), Value::Text(_) | Value::Int(_)) => flag(node).map(Value::Bool),
        (Some(Kind::Text), Value::Int(number)) => Some(Value::Text(number.to_string())),
        (Some(Kind::Text), Value::Bool(flag)) => Some(Value::Text(flag.to_string())),
        // An empty path or name is none to every trainer.
        (Some(Kind::Text | Kind::Names | Kind::Targets), Value::Text(text)) if text.trim().is_empty() => {
            return Fitted::Nothing;
        }
        (Some(Kind::Names | Kind::Targets | Kind::Indices), Value::List(list)) if list.is_empty() => {
            return Fitted::Nothing;
        }
        _ => None,
    };
    value.map_or(Fitted::AsItIs, Fitted::Other)
}

/// Lists a key that the trainer does not have either, as far as this importer knows.
pub(super) fn unknown(collector: &mut Collector<'_>, trainer: &str, known: &[Known], entry: &Entry) {
    if !collector.counts_unknown(&entry.name, entry.at) {
        return;
    }
    let settings = fields::of(Table::Training).iter().map(|field| field.name);
    let keys = known.iter().copied().flatten().map(|(name, _)| *name);
    let reason = match nearest(&entry.name, keys.chain(settings)) {
        Some(near) => format!("{trainer} has no such key; is {near:?} meant?"),
        None => format!("{trainer} has no such key that is known here"),
    };
    collector.leave(&entry.name, entry.at, reason);
}

/// Imports the model's name, with its revision if that is not `main`.
pub(super) fn model(collector: &mut Collector<'_>, keys: &Keys<'_>, model: &str, revision: &str) {
    if let Some(entry) = keys.get(revision).filter(|entry| text(&entry.node).is_none()) {
        collector.leave(revision, entry.at, "it takes the name of a branch, a tag or a commit");
    }
    let Some(named) = keys.get(model) else {
        if let Some(entry) = keys.get(revision) {
            collector.leave(revision, entry.at, "no model is named");
        }
        return;
    };
    let (Some(name), Some(branch)) = (text(&named.node), keys.text(revision)) else {
        return take(collector, Table::Model, "model_name_or_path", named.at, &named.node);
    };
    let with_revision = HubId::parse(name).and_then(|id| id.at(branch));
    let whole = match (branch, with_revision) {
        ("main" | "", _) => name.into(),
        (_, Some(whole)) => whole,
        _ => {
            let at = keys.get(revision).map_or(named.at, |entry| entry.at);
            collector.leave(
                revision,
                at,
                format!("{name} is no hub id (owner/name), and only those have revisions"),
            );
            name.into()
        }
    };
    take(collector, Table::Model, "model_name_or_path", named.at, &node_of(&named.node, Value::Text(whole)));
}

/// Sets that everything of a row is learnt, prompts too.
pub(super) fn learn_everything(collector: &mut Collector<'_>) {
    for name in ["assistant_only_loss", "completion_only_loss"] {
        collector.imply(Table::Data, name, false);
    }
}

/// Says that a trainer computes in bfloat16 where no key of the precision is given; a run here does not unless it is told to.
pub(super) fn remark_bf16(collector: &mut Collector<'_>, keys: &Keys<'_>, trainer: &str, precision: &[&str]) {
    if !precision.iter().any(|name| keys.get(name).is_some()) {
        let message = format!(
            "{trainer} computes in bfloat16 where the device has it, as the file does not say otherwise: write bf16 = true under [training] \
             for that"
        );
        collector.remark("bf16", message);
    }
}

/// Returns the error for a file whose run is of a kind that does not exist here, so that nothing is imported by halves.
pub(super) fn refused(source: &Source<'_>, entry: &Entry, what: &str, help: &str) -> RecipeError {
    let error = RecipeError::new(&entry.name, format!("{what} is not trained here, so nothing was imported"));
    source.locate(Some(entry.at), error.with_help(help))
}

pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Returns a number, which may be written as a string.
pub(super) fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Returns a share of a whole (above 0, below 1) in percent. The rounding makes 0.1 ten percent, not a double's 10.000000000000002.
pub(super) fn percent(share: f64) -> Option<Value> {
    (share > 0.0 && share < 1.0).then(|| Value::Float((share * 1e8).round() / 1e6))
}

/// Imports the size of a validation set if it is a share of the rows. Returns whether it was.
pub(super) fn take_share(collector: &mut Collector<'_>, Entry { at, node, .. }: &Entry) -> bool {
    let Some(percent) = number(node).and_then(percent) else { return false };
    collector.take(Table::Data, "validation_split_percentage", *at, &node_of(node, percent));
    true
}

/// Returns an integer, which may be written as a string or with decimals that are zero.
pub(super) fn whole(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Int(number) => Some(*number),
        _ => number(node)
            .filter(|number| number.fract() == 0.0 && number.abs() < 9e15)
            .map(|number| number as i64),
    }
}

pub(super) fn flag(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(flag) => Some(*flag),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the names of a list, or of a text in which commas separate them. None if something else stands in the list.
pub(super) fn names(node: &Node) -> Vec<String> {
    let trimmed = |name: &str| name.trim().to_owned();
    let names: Vec<String> = match &node.value {
        Value::Text(text) => text.split(',').map(trimmed).collect(),
        Value::List(list) => {
            let names: Option<Vec<String>> = list.iter().map(|node| text(node).map(trimmed)).collect();
            names.unwrap_or_default()
        }
        _ => Vec::new(),
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Makes a list of names at the place of a value.
pub(super) fn list_of(node: &Node, names: &[String]) -> Node {
    node_of(node, Value::List(names.iter().map(|name| node_of(node, Value::Text(name.clone()))).collect()))
}

/// Makes a table at the place of a value.
pub(super) fn table_of(node: &Node, at: usize, entries: &[(&str, Value)]) -> Node {
    let entry = |(name, value): &(&str, Value)| Entry {
        name: (*name).to_owned(),
        at,
        node: node_of(node, value.clone()),
    };
    node_of(node, Value::Table(entries.iter().map(entry).collect()))
}

/// Whether a name ends like a file of rows.
pub(super) fn is_data_file(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let split = |name: &str| name.rsplit_once('.').map(|(name, end)| (name.to_owned(), end.to_owned()));
    let ending = match split(&name) {
        Some((name, end)) if COMPRESSED_ENDINGS.contains(&end.as_str()) => split(&name),
        other => other,
    };
    ending.is_some_and(|(_, end)| DATA_FILE_ENDINGS.contains(&end.as_str()))
}

/// Whether a name is a path rather than an id of the hub.
pub(super) fn is_path(name: &str) -> bool {
    is_data_file(name) || hub_id::is_path(name)
}

fn has_placeholder(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains("${") || text.starts_with('$'),
        Value::List(list) => list.iter().any(has_placeholder),
        Value::Table(entries) => entries.iter().any(|entry| has_placeholder(&entry.node)),
        _ => false,
    }
}
