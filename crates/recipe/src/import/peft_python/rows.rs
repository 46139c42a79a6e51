//! The rows: `load_dataset`, and what the script does with them before the trainer has them.

use std::rc::Rc;

use super::super::collect::Collector;
use super::super::keys;
use super::super::python::value::{Call, Item, Kind, Val, What};
use super::Found;
use super::names::LOADERS;
use super::settings::{Setting, node, settings, source_of};
use crate::fields::Table;
use crate::source::{Node, Value};

/// Names of the positional arguments of `load_dataset`.
const POSITIONS: &[&str] = &["path", "name", "data_dir", "data_files", "split"];
/// Formats of files that `load_dataset` reads.
const FORMATS: &[&str] = &["json", "csv", "parquet", "text", "arrow"];
/// Arguments of `load_dataset` that do not change the rows.
const SILENT: &[&str] = &[
    "cache_dir",
    "download_mode",
    "keep_in_memory",
    "num_proc",
    "streaming",
    "token",
    "trust_remote_code",
    "verification_mode",
    "download_config",
    "use_auth_token",
];
/// Methods of a dataset that leave its rows as they are.
const SAME_ROWS: &[&str] = &[
    "shuffle",
    "with_format",
    "set_format",
    "flatten_indices",
    "to_iterable_dataset",
    "cast",
    "cast_column",
];

/// Where the rows of a dataset come from.
struct Rows {
    load: Rc<Call>,
    /// The split: `train`, `test`, `train[:90%]`.
    split: Option<String>,
    /// The call of `train_test_split`, and which of the two parts.
    held: Option<(Rc<Call>, String)>,
    /// What is done to the rows, and where.
    steps: Vec<(String, usize)>,
}

fn is_load(call: &Call) -> bool {
    LOADERS.contains(&call.last()) && call.base.is_none()
}

/// Follows a dataset to the call that reads it.
fn rows(val: &Val) -> Option<Rows> {
    let (mut split, mut held, mut steps) = (None, None, Vec::new());
    let mut at = val.clone();
    for _ in 0..64 {
        let next = match at.kind()? {
            Kind::Call(call) if is_load(call) => {
                let named = settings(call, POSITIONS, None);
                let of_call =
                    named.iter().find(|setting| &*setting.name == "split").and_then(|setting| setting.text());
                return Some(Rows {
                    load: call.clone(),
                    split: split.or(of_call.map(str::to_owned)),
                    held,
                    steps,
                });
            }
            Kind::Call(call) => {
                if !SAME_ROWS.contains(&call.last()) && call.last() != "train_test_split" {
                    steps.push((call.last().to_owned(), call.at));
                }
                call.base
                    .clone()
                    .or_else(|| call.arguments.first().map(|argument| argument.item.val.clone()))?
            }
            Kind::Element(base, What::Text(key)) => {
                match base.call().filter(|call| call.last() == "train_test_split") {
                    Some(call) => held = held.or(Some((call.clone(), key.to_string()))),
                    None => split = split.or(Some(key.to_string())),
                }
                base.clone()
            }
            Kind::Element(base, _) | Kind::Attribute(base) => base.clone(),
            _ => return None,
        };
        at = next;
    }
    None
}

/// Reads the rows.
pub(super) fn import(collector: &mut Collector<'_>, found: &Found<'_>) {
    let mut used: Vec<Rc<Call>> = Vec::new();
    let train = found.trainer.as_ref().and_then(|trainer| trainer.argument("train_dataset", Some(3)));
    let eval = found.trainer.as_ref().and_then(|trainer| trainer.argument("eval_dataset", Some(4)));
    let is_given =
        |argument: &&super::super::python::value::Argument| !matches!(argument.item.val.what, What::None);
    let (train, eval) = (train.filter(is_given), eval.filter(is_given));
    let train_rows = train.and_then(|argument| rows(&argument.item.val));
    let eval_rows = eval.and_then(|argument| rows(&argument.item.val));
    if let (Some(argument), None) = (train, &train_rows) {
        let shown = source_of(found.text, &argument.item.span);
        collector.leave(
            "train_dataset",
            argument.at,
            format!("where the rows of {shown} come from is not certain; write the file as train_file"),
        );
    }
    if let (Some(argument), None) = (eval, &eval_rows) {
        let shown = source_of(found.text, &argument.item.span);
        collector.leave(
            "eval_dataset",
            argument.at,
            format!("where the rows of {shown} come from is not certain; write the file as validation_file"),
        );
    }
    let is_rest = match (&train_rows, &eval_rows) {
        (Some(train), Some(eval)) => is_other_part(train, eval) || is_rest(collector, train, eval),
        _ => false,
    };
    if let Some(rows) = &train_rows {
        used.push(rows.load.clone());
        steps(collector, rows);
        file(collector, found, rows, "train_file", !is_rest);
        if let Some((call, part)) = &rows.held
            && part == "train"
        {
            held_out(collector, found, call);
        }
    }
    if let Some(rows) = &eval_rows {
        if !used.iter().any(|used| Rc::ptr_eq(used, &rows.load)) {
            used.push(rows.load.clone());
        }
        if !is_rest {
            if train_rows.is_none() {
                steps(collector, rows);
            }
            file(collector, found, rows, "validation_file", true);
        }
    }
    let is_unclear = train.is_none() || train_rows.is_none();
    let is_only = found.calls.iter().filter(|call| is_load(call)).count() == 1;
    for call in found.calls.iter().filter(|call| is_load(call)) {
        if used.iter().any(|used| Rc::ptr_eq(used, call)) {
            continue;
        }
        match is_unclear && eval_rows.is_none() {
            true if call.certain || is_only => alone(collector, found, call),
            true => {
                let reason = "it is one of several, in a branch or in a function that nothing here calls: name the file as train_file";
                collector.leave(call.last(), call.at, reason);
            }
            false => {
                collector.leave(call.last(), call.at, "these are not the rows that the trainer is given")
            }
        }
    }
}

/// Reads a dataset of which it is not known what the trainer makes of it.
fn alone(collector: &mut Collector<'_>, found: &Found<'_>, call: &Rc<Call>) {
    let named = settings(call, POSITIONS, None);
    let files = named.iter().find(|setting| &*setting.name == "data_files");
    let split = named.iter().find(|setting| &*setting.name == "split").and_then(|setting| setting.text());
    let mut rows =
        Rows { load: call.clone(), split: split.map(str::to_owned), held: None, steps: Vec::new() };
    let What::Dict(dict) = files.map_or(&What::None, |files| &files.item.val.what) else {
        let is_held_out = split.is_some_and(|split| !split.starts_with("train"));
        return file(
            collector,
            found,
            &rows,
            if is_held_out { "validation_file" } else { "train_file" },
            true,
        );
    };
    let named: Vec<String> =
        dict.entries.iter().filter_map(|(name, _)| Some(name.as_deref()?.to_owned())).collect();
    for (ours, theirs) in
        [("train_file", &["train"][..]), ("validation_file", &["validation", "valid", "test", "eval", "dev"])]
    {
        if let Some(name) = named.iter().find(|name| theirs.contains(&name.as_str())) {
            rows.split = Some(name.clone());
            file(collector, found, &rows, ours, true);
        }
    }
}

/// Lists what the script does to the rows.
fn steps(collector: &mut Collector<'_>, rows: &Rows) {
    for (name, at) in rows.steps.iter().rev() {
        let reason = match name.as_str() {
            "select" | "take" | "skip" | "filter" => {
                "only some of the rows are trained on there, and all of the file here: save those rows as JSONL"
            }
            _ => {
                "the rows are changed there, and not here: save the rows that it gives as JSONL, if they are to be the same"
            }
        };
        collector.leave(name, *at, reason);
    }
}

/// Whether two datasets are the two parts of one `train_test_split`.
fn is_other_part(train: &Rows, eval: &Rows) -> bool {
    match (&train.held, &eval.held) {
        (Some((one, train)), Some((other, eval))) => {
            Rc::ptr_eq(one, other) && train == "train" && eval == "test"
        }
        _ => false,
    }
}

/// A part of a split, in percent: `train[:90%]` is 0 to 90.
fn percentages(split: &str) -> Option<(f64, f64)> {
    let (_, range) = split.split_once('[')?;
    let (from, to) = range.strip_suffix(']')?.split_once(':')?;
    let percent = |text: &str, missing: f64| match text.trim() {
        "" => Some(missing),
        text => text
            .strip_suffix('%')?
            .trim()
            .parse::<f64>()
            .ok()
            .map(|at| if at < 0.0 { 100.0 + at } else { at }),
    };
    Some((percent(from, 0.0)?, percent(to, 100.0)?))
}

/// Whether the second dataset is the rest of the first one's file: a part of it is held out.
fn is_rest(collector: &mut Collector<'_>, train: &Rows, eval: &Rows) -> bool {
    let parts = |rows: &Rows| rows.split.as_deref().and_then(percentages);
    let (Some(one), Some(other)) = (parts(train), parts(eval)) else { return false };
    let base =
        |rows: &Rows| rows.split.as_deref().and_then(|split| split.split('[').next().map(str::to_owned));
    let file = |rows: &Rows| {
        let files = rows.load.argument("data_files", Some(3))?;
        node(&files.item.val, &files.item.span).map(|node| node.value.clone())
    };
    let is_rest = one == (0.0, other.0) && other.1 == 100.0 || other == (0.0, one.0) && one.1 == 100.0;
    let (ours, theirs) = (file(train), file(eval));
    let is_same = ours.is_some() && same_file(ours.as_ref(), theirs.as_ref()) && base(train) == base(eval);
    if !is_rest || !is_same {
        return false;
    }
    let at = eval.load.at;
    let percent = Node { span: at..at, value: Value::Float(other.1 - other.0) };
    collector.take(Table::Data, "validation_split_percentage", at, &percent);
    collector.note("validation_split_percentage", at, "as many rows are held out, though not the same ones");
    true
}

fn same_file(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Text(one)), Some(Value::Text(other))) => one == other,
        _ => false,
    }
}

/// Reads the share of `train_test_split`.
fn held_out(collector: &mut Collector<'_>, found: &Found<'_>, call: &Rc<Call>) {
    for setting in settings(call, &["test_size", "train_size"], None) {
        match (&*setting.name, setting.node(found.text)) {
            ("test_size", Ok(Node { value: Value::Float(share), span })) if share > 0.0 && share < 1.0 => {
                let percent = Node { span, value: keys::percent(share).unwrap_or(Value::Null) };
                collector.take(Table::Data, "validation_split_percentage", setting.at, &percent);
            }
            ("test_size" | "train_size", Ok(_)) => {
                collector.leave(
                    &setting.name,
                    setting.at,
                    "a number of rows is not taken; write validation_split_percentage",
                );
            }
            (
                "seed"
                | "shuffle"
                | "stratify_by_column"
                | "keep_in_memory"
                | "generator"
                | "load_from_cache_file",
                _,
            ) => {
                if matches!(&*setting.name, "stratify_by_column" | "shuffle") {
                    collector.leave(
                        &setting.name,
                        setting.at,
                        "the rows that are held out are drawn with [training] seed",
                    );
                }
            }
            (_, Ok(_)) => collector.leave(&setting.name, setting.at, "it does not change the share"),
            (_, Err(reason)) => collector.leave(&setting.name, setting.at, reason),
        }
    }
    if call.arguments.is_empty() {
        let quarter = Node { span: call.at..call.at, value: Value::Float(25.0) };
        collector.take(Table::Data, "validation_split_percentage", call.at, &quarter);
    }
}

/// Reads the file of a dataset. `lists_part` lists a split that is a part of the file.
fn file(collector: &mut Collector<'_>, found: &Found<'_>, rows: &Rows, ours: &str, lists_part: bool) {
    let call = &rows.load;
    if call.last() != "load_dataset" {
        let positions: &[&str] = &["path_or_paths"];
        for setting in settings(call, positions, None) {
            match &*setting.name {
                "path_or_paths" | "path" if call.last() != "load_from_disk" => {
                    take_file(collector, found, ours, &setting)
                }
                name if SILENT.contains(&name) || name == "split" => {}
                _ if call.last() == "load_from_disk" => {}
                _ => collector.leave(&setting.name, setting.at, "the file is read as it is"),
            }
        }
        if call.last() == "load_from_disk" {
            collector.leave(
                "load_from_disk",
                call.at,
                format!("save the dataset as JSONL and name the file as {ours}"),
            );
        }
        return;
    }
    let all = settings(call, POSITIONS, None);
    let named = |name: &str| all.iter().find(|setting| &*setting.name == name);
    let path = named("path").and_then(|setting| setting.text());
    let Some(files) = named("data_files") else {
        let of_hub = match path {
            Some(path) if !FORMATS.contains(&path) => format!(
                "{path} is a dataset of the hub, or a folder: save its rows as JSONL and name the file as {ours}"
            ),
            _ => format!(
                "only data_files are carried over; save the dataset as JSONL and name the file as {ours}"
            ),
        };
        return collector.leave("load_dataset", call.at, of_hub);
    };
    let base = rows.split.as_deref().and_then(|split| split.split(['[', '+']).next()).unwrap_or("train");
    match &files.item.val.what {
        What::Dict(dict) if files.doubt.is_none() => match dict.get(base) {
            Some(item) => {
                let inner = Setting { item: item.clone(), ..files.clone() };
                take_file(collector, found, ours, &inner);
            }
            None => collector.leave(
                "data_files",
                files.at,
                format!("which file {base:?} is, is not certain; name it as {ours}"),
            ),
        },
        _ => take_file(collector, found, ours, files),
    }
    if let Some(split) = rows.split.as_deref().filter(|split| lists_part && split.contains(['[', '+'])) {
        let at = named("split").map_or(call.at, |setting| setting.at);
        let reason = format!(
            "{split:?} is a part of the rows, and the whole file is taken here; validation_split_percentage holds a part out"
        );
        collector.leave("split", at, reason);
    }
    for setting in &all {
        match &*setting.name {
            "path" | "data_files" | "split" => {}
            "name" | "data_dir" | "revision" => {
                setting.leave(collector, &[Value::Null], "the file's own path is taken")
            }
            "sample_by" => setting.take(collector, found.text, Table::Data, "sample_by"),
            name if SILENT.contains(&name) => {}
            _ => collector.leave(&setting.name, setting.at, "the file is read as it is"),
        }
    }
}

/// Takes the name of a file, which may be a list of one.
fn take_file(collector: &mut Collector<'_>, found: &Found<'_>, ours: &str, setting: &Setting) {
    let inner = match &setting.item.val.what {
        What::List(list) => match list.items.as_slice() {
            [Item { val, span }] => {
                let item = Item { val: val.clone(), span: span.clone() };
                Setting { item, ..setting.clone() }
            }
            _ => return collector.leave(&setting.name, setting.at, "one file is read; join them"),
        },
        _ => setting.clone(),
    };
    inner.take(collector, found.text, Table::Data, ours);
}
