//! Reads a recipe from text: looks up every key, checks every value, and gives the place of every error.

use serde_json::{Map, Value as Json};

use crate::fields::{self, Field, State, Table};
use crate::source::{Entry, Node, Source, Value};
use crate::suggest::{unknown_key, unknown_table};
use crate::{Kind, LoraConfig, Message, Recipe, RecipeError, Warning, message};

impl Recipe {
    /// Reads a recipe from TOML. Errors call the text `file_name`. Returns warnings about settings that were read and have
    /// no effect.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown, a value has another type or is out of range, Lorelei refuses a setting,
    /// or settings contradict each other. The error has a line and a column.
    pub fn from_toml(text: &str, file_name: &str) -> Result<(Recipe, Vec<Warning>), RecipeError> {
        let source = Source::new(file_name, text);
        recipe(&source, &source.toml()?)
    }

    /// Reads a recipe from JSON, like [`Recipe::from_toml`]. A `null` stands for the default.
    ///
    /// # Errors
    /// The errors of [`Recipe::from_toml`], for JSON.
    pub fn from_json(text: &str, file_name: &str) -> Result<(Recipe, Vec<Warning>), RecipeError> {
        let source = Source::new(file_name, text);
        recipe(&source, &source.json()?)
    }
}

/// The checked values of one section, and their places.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) values: Map<String, Json>,
    pub(crate) warnings: Vec<Warning>,
    /// Path of each setting (`lora.r`) and the place of its key.
    pub(crate) places: Vec<(String, usize)>,
    /// Keys of a newer PEFT that are unknown here and switch something on, with the places of the keys.
    pub(crate) unknown: Vec<(String, usize)>,
}

fn recipe(source: &Source<'_>, entries: &[Entry]) -> Result<(Recipe, Vec<Warning>), RecipeError> {
    let mut whole = Map::new();
    let (mut warnings, mut places) = (Vec::new(), Vec::new());
    for Entry { name, at, node } in entries {
        let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name) else {
            return Err(source.locate(Some(*at), unknown_table(name)));
        };
        let inner = match &node.value {
            Value::Table(inner) => inner,
            Value::Null => continue,
            _ => {
                let error = RecipeError::new(name, message!("{name} takes a table of settings", name));
                return Err(source.locate(Some(*at), error));
            }
        };
        let section = section(source, table, inner, false)?;
        if whole.insert(name.clone(), Json::Object(section.values)).is_some() {
            let twice = message!("{name} is given twice", name = format!("[{name}]"));
            return Err(source.locate(Some(*at), RecipeError::new(name, twice)));
        }
        warnings.extend(section.warnings);
        places.extend(section.places);
    }
    let recipe: Recipe = serde_json::from_value(Json::Object(whole))
        .map_err(|error| source.locate(None, RecipeError::new("", error.to_string())))?;
    let found = recipe.validate().map_err(|error| source.locate(place(&places, &error.key), error))?;
    warnings.extend(
        found.into_iter().map(|warning| source.locate_warning(place(&places, &warning.key), warning)),
    );
    Ok((recipe, warnings))
}

/// Checks the entries of a table. With `newer_too`, unknown keys are no errors: a file written by a newer PEFT may have some.
pub(crate) fn section(
    source: &Source<'_>,
    table: Table,
    entries: &[Entry],
    newer_too: bool,
) -> Result<Section, RecipeError> {
    let mut section = Section::default();
    for Entry { name, at, node } in entries {
        let locate = |error| source.locate(Some(*at), error);
        let Some(field) = fields::find(table, name) else {
            if newer_too {
                if node.is_active() {
                    section.unknown.push((name.clone(), *at));
                }
                continue;
            }
            return Err(locate(unknown_key(table, name)));
        };
        if section.places.iter().any(|(path, _)| *path == field.path()) {
            let twice = if name == field.name {
                message!("{name} is given twice", name)
            } else {
                message!(
                    "{name} is another name of {current}, which is given too",
                    name,
                    current = field.name
                )
            };
            return Err(locate(RecipeError::new(field.path(), twice)));
        }
        section.places.push((field.path(), *at));
        let value = value(field, node).map_err(locate)?;
        if value.is_null() {
            continue;
        }
        let warnings = check(field, &value).map_err(locate)?;
        section
            .warnings
            .extend(warnings.into_iter().map(|warning| source.locate_warning(Some(*at), warning)));
        if field.kind.is_kept() {
            section.values.insert(field.name.to_string(), value);
        }
    }
    Ok(section)
}

pub(crate) fn value(field: &Field, node: &Node) -> Result<Json, RecipeError> {
    // `report_to` may be a list in Transformers. A list of one word is that word, and an empty list is not given.
    let node = match (&node.value, field.kind) {
        (Value::List(list), Kind::Choice { .. }) if list.is_empty() => return Ok(Json::Null),
        (Value::List(list), Kind::Choice { .. }) if list.len() == 1 => &list[0],
        _ => node,
    };
    json(field, node)
}

/// Converts the value of a setting to JSON.
pub(crate) fn json(field: &Field, node: &Node) -> Result<Json, RecipeError> {
    node.to_json().map_err(|reason| {
        let values = field.kind.describe();
        RecipeError::new(
            field.path(),
            message!("{name} takes {values}; {reason}", name = field.name, values, reason),
        )
    })
}

/// Checks the type, the range and the state of one value. A refused setting that is kept (`fp16`) is left to
/// [`Recipe::validate`], which checks it together with the others.
pub(crate) fn check(field: &Field, value: &Json) -> Result<Option<Warning>, RecipeError> {
    field.kind.check(field.name, value).map_err(|complaint| {
        let error = RecipeError::new(field.path(), complaint.message);
        match complaint.help {
            Some(help) => error.with_help(help),
            None => error,
        }
    })?;
    match field.state {
        State::Refused(_) if !field.kind.is_kept() => refuse(field, value).map(|()| None),
        State::Ignored(reason) if !field.is_harmless(value) => {
            let reason = Message::fixed(reason);
            let message = message!("{name} has no effect: {reason}", name = field.name, reason);
            Ok(Some(Warning::new(field.path(), message)))
        }
        _ => Ok(None),
    }
}

/// Returns the error for a setting that is refused, unless it has its default.
pub(crate) fn refuse(field: &Field, value: &Json) -> Result<(), RecipeError> {
    match field.state {
        State::Refused(reason) if !field.is_harmless(value) => {
            let shown = crate::kind::found(value);
            // A string stands in its quotes alone.
            let value = shown.argument("text").unwrap_or(&shown);
            let reason = Message::fixed(reason);
            let message =
                message!("{name} = {value} is not supported: {reason}", name = field.name, value, reason);
            Err(RecipeError::new(field.path(), message)
                .with_help(message!("leave it out, or at its default, {default}", default = field.default)))
        }
        _ => Ok(()),
    }
}

pub(crate) fn place(places: &[(String, usize)], key: &str) -> Option<usize> {
    places.iter().find(|(path, _)| path == key).map(|(_, at)| *at)
}

/// Converts the checked values of a section to a [`LoraConfig`].
pub(crate) fn lora(values: Map<String, Json>) -> Result<LoraConfig, RecipeError> {
    serde_json::from_value(Json::Object(values)).map_err(|error| RecipeError::new("lora", error.to_string()))
}
