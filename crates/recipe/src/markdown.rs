//! The compatibility tables of FEATURES.md.

use std::fmt::Write;

use crate::Effect;
use crate::fields::{self, Field, State, Table};

/// Formats Markdown tables of the support of every setting of PEFT's `LoraConfig` and Transformers'
/// `TrainingArguments`, and of the few settings of Lorelei's own.
pub fn features_markdown() -> String {
    let mut text = String::new();
    table(&mut text, Table::Model, "[model]", "Transformers default");
    text.push('\n');
    table(&mut text, Table::Data, "[data]", "Transformers default");
    text.push('\n');
    table(&mut text, Table::Lora, "LoraConfig (PEFT 0.21)", "PEFT default");
    text.push('\n');
    table(&mut text, Table::Training, "TrainingArguments (Transformers 5.23)", "Transformers default");
    text
}

fn table(text: &mut String, table: Table, title: &str, upstream: &str) {
    let _ = writeln!(
        text,
        "### {title}\n\n| Field | Default | {upstream} | State | Note |\n|---|---|---|---|---|"
    );
    for field in fields::of(table) {
        let (state, note) = state(field);
        let upstream = match field.upstream.split_once(", removed") {
            Some((value, when)) => format!("{}, removed{when}", code(value)),
            None => code(field.upstream),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {upstream} | {state} | {} |",
            code(field.name),
            code(field.default),
            cell(&note)
        );
    }
}

fn state(field: &Field) -> (&'static str, String) {
    let doc = field.doc;
    match field.state {
        State::Supported => ("yes", format!("{doc} Takes {}.{}", field.kind.describe(), limit(field))),
        State::Ignored(reason) => ("no effect", format!("{doc} {}.", sentence(reason))),
        State::Refused(reason) => ("refused", format!("{doc} {}.", sentence(reason))),
        State::Renamed(name) => ("alias", format!("{doc} Means {name}.")),
    }
}

/// Formats the host that does not honour the setting, and the reason.
fn limit(field: &Field) -> String {
    field.limit.map_or(String::new(), |limit| {
        let effect = match limit.effect {
            Effect::Ignored => "no effect in",
            Effect::Refused => "refused by",
        };
        format!(" {} {}: {}.", sentence(effect), limit.host.name(), limit.reason.english)
    })
}

fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn code(value: &str) -> String {
    match value {
        "null" => "none".into(),
        "—" => value.into(),
        _ => format!("`{}`", cell(value)),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
