//! Suggestions: the key or word that was probably meant.

use crate::fields::{self, Table};
use crate::{RecipeError, message};

/// Names that people use for settings, and the settings' names here.
const NICKNAMES: &[(&str, &str)] = &[
    ("alpha", "lora_alpha"),
    ("batch_size", "per_device_train_batch_size"),
    ("dropout", "lora_dropout"),
    ("epochs", "num_train_epochs"),
    ("lr", "learning_rate"),
    ("lora_r", "r"),
    ("lora_rank", "r"),
    ("lora_target", "target_modules"),
    ("max_seq_length", "max_length"),
    ("model", "model_name_or_path"),
    ("rank", "r"),
    ("scheduler", "lr_scheduler_type"),
    ("train_batch_size", "per_device_train_batch_size"),
];

/// Returns the candidate closest to `word`, if one is close.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Very long words are not misspelt names, and would take long to compare.
    if word.len() > 80 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    candidates
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Returns the error for a key that no table has, or not this one.
pub(crate) fn unknown_key(table: Table, key: &str) -> RecipeError {
    let unknown = message!("unknown key {key} in [{table}]", ?key, table = table.name());
    let error = RecipeError::new(format!("{table}.{key}"), unknown);
    if let Some(other) = fields::all().find(|field| field.name == key) {
        return error.with_help(message!("it belongs under [{table}]", table = other.table.name()));
    }
    let nickname = NICKNAMES.iter().find(|(nick, _)| *nick == key).map(|(_, name)| *name);
    let close = || nearest(key, fields::of(table).iter().map(|field| field.name));
    match nickname.or_else(close).and_then(|name| fields::all().find(|field| field.name == name)) {
        Some(field) if field.table == table => {
            error.with_help(message!("did you mean {near}?", near = ?field.name))
        }
        Some(field) => error.with_help(message!(
            "did you mean {near} under [{table}]?",
            near = ?field.name,
            table = field.table.name()
        )),
        None => {
            error.with_help(message!("the keys of [{table}] are listed in FEATURES.md", table = table.name()))
        }
    }
}

/// Returns the error for a name at the top level that is not a table.
pub(crate) fn unknown_table(name: &str) -> RecipeError {
    let error = RecipeError::new(name, message!("unknown table {name}", ?name));
    if let Some(field) = fields::all().find(|field| field.name == name) {
        return RecipeError::new(name, message!("{name} stands outside of any table", ?name))
            .with_help(message!("put it under [{table}]", table = field.table.name()));
    }
    match nearest(name, Table::ALL.iter().map(|table| table.name())) {
        Some(near) => error.with_help(message!("did you mean [{near}]?", near)),
        None => error.with_help(message!("a recipe has [model], [data], [lora] and [training]")),
    }
}
