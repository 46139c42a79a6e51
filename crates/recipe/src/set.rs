//! `--set table.key=value`.

use serde_json::Value as Json;

use crate::fields::{self, Field, Table};
use crate::read::{check, refuse};
use crate::source::{Source, Value};
use crate::suggest::{unknown_key, unknown_table};
use crate::{Kind, Recipe, RecipeError, Warning};

impl Recipe {
    /// Sets one value: `lora.r=16`. The table may be left out.
    ///
    /// The value is TOML. What is not is taken as a string, so that `lora.target_modules=all-linear` needs no quotes;
    /// where a list is possible, bare words are one: `lora.target_modules=q_proj,v_proj`. Nothing, `null` or `None`
    /// puts the default back.
    ///
    /// Only this value is checked, as others may be set after it: call [`Recipe::validate`] at the end.
    ///
    /// # Errors
    /// As [`Recipe::from_toml`], with the assignment for a place; the recipe is then as it was.
    pub fn set(&mut self, assignment: &str) -> Result<Vec<Warning>, RecipeError> {
        // An error is one line, whatever was typed.
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
        RecipeError::new("", "a value is missing").with_help("write table.key=value, such as lora.r=16")
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

/// The value that a text means for a setting.
fn value(field: &Field, text: &str) -> Result<Json, RecipeError> {
    if matches!(text, "" | "null" | "None") {
        return Ok(Json::Null);
    }
    let assignment = format!("value = {text}");
    if let Ok(entries) = Source::new("", &assignment).toml()
        && let [entry] = entries.as_slice()
        && entry.name == "value"
        // A folder called 2024 is still a folder.
        && (matches!(entry.node.value, Value::Text(_)) || !matches!(field.kind, Kind::Text | Kind::Choice { .. }))
    {
        return entry.node.to_json().map_err(|reason| {
            RecipeError::new(
                field.path(),
                format!("{} takes {}; {reason}", field.name, field.kind.describe()),
            )
        });
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
            .map(|index| index.parse::<u64>().ok().map(Json::from))
            .collect::<Option<Vec<_>>>()
            .map_or_else(word, Json::Array),
        Kind::Names => list().map(Json::from).collect(),
        Kind::Targets if list().all(is_name) => list().map(Json::from).collect(),
        _ => word(),
    })
}

/// A module's name rather than a regex; `all-linear` has a hyphen.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

fn internal(error: serde_json::Error) -> RecipeError {
    RecipeError::new("", error.to_string())
}
