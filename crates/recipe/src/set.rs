//! Assignments of the form `--set table.key=value`.

use serde_json::Value as Json;

use crate::fields::{self, Field, Table};
use crate::read::{check, json, refuse};
use crate::source::{Source, Value};
use crate::suggest::{unknown_key, unknown_table};
use crate::{Kind, Recipe, RecipeError, Warning, message};

impl Recipe {
    /// Sets one value: `lora.r=16`. The table may be left out.
    ///
    /// The value is TOML. A text that is not TOML is read as a string, so that `lora.target_modules=all-linear` needs no
    /// quotes. If the setting takes a list, bare words are a list: `lora.target_modules=q_proj,v_proj`. An empty value,
    /// `null` or `None` restores the default.
    ///
    /// Only this value is checked, because others may be set after it: call [`Recipe::validate`] at the end.
    ///
    /// # Errors
    /// The errors of [`Recipe::from_toml`], with the assignment as their place. The recipe is then unchanged.
    pub fn set(&mut self, assignment: &str) -> Result<Vec<Warning>, RecipeError> {
        // An error is one line, whatever the assignment contains.
        let file = format!("--set {}", assignment.replace(char::is_control, " "));
        match assigned(self, assignment) {
            Ok((recipe, warning)) => {
                *self = recipe;
                Ok(warning.into_iter().map(|warning| Warning { file: file.clone(), ..warning }).collect())
            }
            Err(error) => Err(RecipeError { file, ..error }),
        }
    }
}

fn assigned(recipe: &Recipe, assignment: &str) -> Result<(Recipe, Option<Warning>), RecipeError> {
    let (key, text) = assignment.split_once('=').ok_or_else(|| {
        RecipeError::new("", message!("a value is missing"))
            .with_help(message!("write table.key=value, such as lora.r=16"))
    })?;
    let field = field(key.trim())?;
    let value = value(field, text.trim())?;
    let mut whole = serde_json::to_value(recipe).map_err(internal)?;
    let mut warning = None;
    if value.is_null() {
        if let Some(Json::Object(section)) = whole.get_mut(field.table.name()) {
            section.remove(field.name);
        }
    } else {
        warning = check(field, &value)?;
        refuse(field, &value)?;
        if field.kind.is_kept()
            && let Some(Json::Object(section)) = whole.get_mut(field.table.name())
        {
            section.insert(field.name.to_string(), value);
        }
    }
    Ok((serde_json::from_value(whole).map_err(internal)?, warning))
}

fn field(key: &str) -> Result<&'static Field, RecipeError> {
    match key.split_once('.') {
        Some((table, name)) => {
            let table = Table::ALL
                .into_iter()
                .find(|known| known.name() == table)
                .ok_or_else(|| unknown_table(table))?;
            fields::find(table, name).ok_or_else(|| unknown_key(table, name))
        }
        None => Table::ALL
            .into_iter()
            .find_map(|table| fields::find(table, key))
            .ok_or_else(|| unknown_table(key)),
    }
}

/// Reads the value of a setting from a text.
fn value(field: &Field, text: &str) -> Result<Json, RecipeError> {
    if matches!(text, "" | "null" | "None") {
        return Ok(Json::Null);
    }
    let assignment = format!("value = {text}");
    if let Ok(entries) = Source::new("", &assignment).toml()
        && let [entry] = entries.as_slice()
        && entry.name == "value"
        // The name of a folder, such as 2024, may look like a number.
        && (matches!(entry.node.value, Value::Text(_)) || !matches!(field.kind, Kind::Text | Kind::Choice { .. }))
    {
        return json(field, &entry.node);
    }
    let word = || Json::String(text.to_string());
    let list = || text.split(',').map(str::trim);
    Ok(match field.kind {
        Kind::Bool | Kind::Init if text.eq_ignore_ascii_case("true") => Json::Bool(true),
        Kind::Bool | Kind::Init if text.eq_ignore_ascii_case("false") => Json::Bool(false),
        // `.5`, `5.` and `+.1e3` are not TOML.
        Kind::Number(_) => {
            text.parse().ok().and_then(serde_json::Number::from_f64).map_or_else(word, Json::Number)
        }
        Kind::Indices | Kind::TokenIndices => list()
            .map(|index| index.parse::<i64>().ok().map(Json::from))
            .collect::<Option<Vec<_>>>()
            .map_or_else(word, Json::Array),
        Kind::Names => list().map(Json::from).collect(),
        Kind::Targets if list().all(is_name) => list().map(Json::from).collect(),
        _ => word(),
    })
}

/// Whether a text is a module's name rather than a regex. `all-linear` has a hyphen and is neither.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

fn internal(error: serde_json::Error) -> RecipeError {
    RecipeError::new("", error.to_string())
}
