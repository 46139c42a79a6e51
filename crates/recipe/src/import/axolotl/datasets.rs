//! axolotl's lists of datasets: `[{path: rows.jsonl, type: alpaca}]`.

use super::super::collect::Collector;
use super::super::keys::{self, Keys, flag, names, text};
use super::text_node;
use crate::fields::Table;
use crate::source::{Entry, Value};

/// Keys of a dataset whose value names the column of a field of a row, and the field.
const COLUMNS: &[(&str, &str)] = &[
    ("field", "text"),
    ("field_messages", "messages"),
    ("field_tools", "tools"),
    ("field_instruction", "instruction"),
    ("field_input", "input"),
    ("field_output", "output"),
    ("field_system", "system"),
];

/// Imports a list with one dataset that is a file or folder. Lists everything else, because a recipe has one file of rows.
pub(super) fn import(collector: &mut Collector<'_>, entry: &Entry, setting: &str) {
    let Entry { name, at, node } = entry;
    let list = match &node.value {
        Value::List(list) => list.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let [one] = list else {
        let reason = format!(
            "{} datasets are given: join their rows into one file, and name that as data.{setting}",
            list.len()
        );
        return collector.leave(name, *at, reason);
    };
    let Value::Table(parts) = &one.value else {
        return collector.leave(name, *at, "it takes a list of tables with path and type");
    };
    let parts = Keys::new(collector, parts);
    file(collector, entry, &parts, setting);
    for part in parts.iter() {
        other(collector, &parts, part);
    }
    if setting == "train_file" {
        columns(collector, &parts);
    }
}

/// Imports the name of the rows' file, from `path` or, if that is a loader's name, from `data_files`.
fn file(collector: &mut Collector<'_>, entry: &Entry, parts: &Keys<'_>, setting: &str) {
    let path = parts.text("path").unwrap_or_default();
    let files = parts.get("data_files").map(|part| (part, names(&part.node)));
    let is_loader = matches!(path, "json" | "csv" | "text" | "parquet" | "arrow");
    let (part, found) = match (&files, parts.get("path")) {
        (Some((part, files)), _) if is_loader && files.len() == 1 => (*part, files.first().cloned()),
        (None, Some(part)) if keys::is_path(path) || parts.get("ds_type").is_some() => {
            (part, Some(path.to_owned()))
        }
        (_, part) => (part.unwrap_or(entry), None),
    };
    match found {
        Some(file) => keys::take(collector, Table::Data, setting, part.at, &text_node(&part.node, &file)),
        None => {
            let reason = format!(
                "{path:?} is not one file of rows here: save them as one, and name it as data.{setting}"
            );
            collector.leave(&entry.name, part.at, reason);
        }
    }
}

/// Lists what else a dataset has, unless it asks for what is done here.
fn other(collector: &mut Collector<'_>, parts: &Keys<'_>, part: &Entry) {
    let Entry { name, at, node } = part;
    match (name.as_str(), &node.value) {
        ("path" | "data_files" | "ds_type", _) => {}
        ("split", Value::Text(split)) if split == "train" => {}
        ("type", Value::Table(inner)) => {
            let inner = Keys::new(collector, inner);
            for entry in inner.iter().filter(|entry| !COLUMNS.iter().any(|(name, _)| *name == entry.name)) {
                collector.leave(&entry.name, entry.at, "a row's prompt is put through the model's chat template, without words around it");
            }
        }
        ("type", Value::Text(kind)) => match kind.split(':').next().unwrap_or_default() {
            "chat_template" | "completion" | "input_output" => {}
            "sharegpt" => {}
            "alpaca" => collector.note(
                "type",
                *at,
                "rows of instruction, input and output are put through the model's chat template, without Alpaca's words around them",
            ),
            other => collector.leave(
                "type",
                *at,
                format!("{other} is not among the forms of rows here: write messages, instruction and output, or text"),
            ),
        },
        ("chat_template", Value::Text(template)) if template == "tokenizer_default" => {}
        ("chat_template" | "chat_template_jinja", _) => collector.leave(name, *at, "the model's own chat template is used"),
        ("roles_to_train", Value::List(_)) if names(node) == ["assistant"] => {}
        ("train_on_eos" | "train_on_eot", Value::Text(which)) if which == "turn" => {}
        ("message_property_mappings", Value::Table(mapping)) if is_usual(mapping) => {}
        ("message_field_role" | "message_field_content", Value::Text(field))
            if matches!(field.as_str(), "role" | "content" | "from" | "value") => {}
        ("trust_remote_code", _) if flag(node) == Some(false) => {}
        (column, Value::Text(_)) if COLUMNS.iter().any(|(name, _)| *name == column) => {}
        _ => {
            let known = ["field", "shards", "revision", "name", "split"].contains(&name.as_str());
            let what = if known { "write the rows that are meant into a file of their own" } else { "it has no place in [data]" };
            let path = parts.text("path").unwrap_or_default();
            collector.leave(name, *at, format!("{what} (dataset {path})"));
        }
    }
}

/// Whether the names of a message's parts are among those that are read here.
fn is_usual(mapping: &[Entry]) -> bool {
    mapping.iter().all(|entry| match (entry.name.as_str(), text(&entry.node)) {
        ("role", Some(name)) => matches!(name, "role" | "from"),
        ("content", Some(name)) => matches!(name, "content" | "value"),
        _ => false,
    })
}

/// Imports the names of columns, from the dataset or from its `type`.
fn columns(collector: &mut Collector<'_>, parts: &Keys<'_>) {
    let inner: &[Entry] = match parts.get("type").map(|part| &part.node.value) {
        Some(Value::Table(inner)) => inner,
        _ => &[],
    };
    let named: Vec<(&Entry, &str, &str)> = COLUMNS
        .iter()
        .filter_map(|(theirs, field)| {
            let entry = parts.get(theirs).or_else(|| inner.iter().find(|entry| entry.name == *theirs))?;
            let column = text(&entry.node).filter(|column| !column.is_empty() && column != field)?;
            Some((entry, *field, column))
        })
        .collect();
    if let Some((first, ..)) = named.first() {
        let columns: Vec<_> =
            named.iter().map(|(_, field, column)| (*field, Value::Text((*column).to_owned()))).collect();
        collector.take(Table::Data, "columns", first.at, &keys::table_of(&first.node, first.at, &columns));
    }
}
