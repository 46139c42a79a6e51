//! Collects settings into a recipe, one by one, and lists the settings that could not be imported.

use serde_json::{Map, Value as Json};

use super::{ImportFormat, Imported, TAKEN};
use crate::fields::{self, Table};
use crate::read::{check, place, refuse};
use crate::source::{Node, Source, Value};
use crate::suggest::nearest;
use crate::{Kind, Message, Recipe, RecipeError, Warning};

/// Most keys that are listed one by one although nothing is known of them.
const MAX_UNKNOWN: usize = 50;

pub(super) struct Collector<'a> {
    source: &'a Source<'a>,
    whole: Map<String, Json>,
    places: Vec<(String, usize)>,
    left_out: Vec<Warning>,
    warnings: Vec<Warning>,
    is_accepted: bool,
    /// Number of keys of which nothing is known, and the first beyond those that are listed.
    unknown: usize,
    first_unlisted: Option<(String, usize)>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self {
            source,
            whole: Map::new(),
            places: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            is_accepted: false,
            unknown: 0,
            first_unlisted: None,
        }
    }

    /// Says that the text describes a run, even if none of its settings is known.
    pub(super) fn accept(&mut self) {
        self.is_accepted = true;
    }

    /// Imports a setting, or lists it as left out with the reason. Ignores a value that is absent, or refused and at its default.
    pub(super) fn take(&mut self, table: Table, name: &str, at: usize, node: &Node) {
        let Some(field) = fields::find(table, name) else { return self.leave_unknown(name, at) };
        let path = field.path();
        if self.places.iter().any(|(known, _)| *known == path) {
            return self.leave(name, at, format!("{} was given before", field.name));
        }
        let value = match (&node.value, field.kind) {
            // YAML 1.1 writes true and false in this way.
            (Value::Text(word), Kind::Bool) if matches!(word.as_str(), "yes" | "on") => Json::Bool(true),
            (Value::Text(word), Kind::Bool) if matches!(word.as_str(), "no" | "off") => Json::Bool(false),
            (Value::Bool(false), Kind::Choice { takes, .. }) if takes.contains(&"no") => "no".into(),
            _ => match crate::read::value(field, node) {
                Ok(value) => value,
                Err(error) => return self.leave_error(name, at, &error),
            },
        };
        if value.is_null() {
            return;
        }
        match check(field, &value).and_then(|warning| refuse(field, &value).map(|()| warning)) {
            Err(error) => self.leave_error(name, at, &error),
            Ok(Some(warning)) => self.leave(name, at, warning.message),
            Ok(None) => {
                self.places.push((path, at));
                if field.kind.is_kept() {
                    self.insert(table, field.name, value);
                }
            }
        }
    }

    /// Imports a setting like [`Collector::take`]. What is left out has the name that the text has for it, `theirs`.
    pub(super) fn take_as(&mut self, table: Table, name: &str, theirs: &str, at: usize, node: &Node) {
        let before = self.left_out.len();
        self.take(table, name, at, node);
        for warning in self.left_out.iter_mut().skip(before).filter(|warning| warning.key != theirs) {
            warning.key = theirs.to_owned();
            warning.message = format!("{theirs}: {}", warning.message).into();
        }
    }

    /// Sets a value that the text implies, unless the text gives another.
    pub(super) fn imply(&mut self, table: Table, name: &str, value: impl Into<Json>) {
        let given = self.whole.get(table.name()).is_some_and(|section| section.get(name).is_some());
        if !given {
            self.insert(table, name, value.into());
        }
    }

    /// Replaces a value that was imported, or sets it.
    pub(super) fn replace(&mut self, table: Table, name: &str, value: impl Into<Json>) {
        self.insert(table, name, value.into());
    }

    fn insert(&mut self, table: Table, name: &str, value: Json) {
        let section = self.whole.entry(table.name()).or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(section) = section {
            section.insert(name.to_owned(), value);
        }
    }

    /// Returns the value that was imported for a setting so far.
    pub(super) fn taken(&self, table: Table, name: &str) -> Option<&Json> {
        self.whole.get(table.name())?.get(name)
    }

    /// Lists a setting as left out, with the reason.
    pub(super) fn leave(&mut self, name: &str, at: usize, reason: impl Into<String>) {
        let warning = Warning::new(name, format!("{name} was left out: {}", reason.into()));
        self.left_out.push(self.source.locate_warning(Some(at), warning));
    }

    /// Counts a key of which nothing is known. Returns whether it is to be listed: those beyond some dozens are one warning.
    pub(super) fn counts_unknown(&mut self, name: &str, at: usize) -> bool {
        self.unknown += 1;
        if self.unknown > MAX_UNKNOWN && self.first_unlisted.is_none() {
            self.first_unlisted = Some((name.to_owned(), at));
        }
        self.unknown <= MAX_UNKNOWN
    }

    pub(super) fn leave_unknown(&mut self, name: &str, at: usize) {
        if !self.counts_unknown(name, at) {
            return;
        }
        let near = nearest(name, fields::all().map(|field| field.name));
        let reason = match near {
            Some(near) => format!("there is no such setting; is {near:?} meant?"),
            None => "there is no such setting here".into(),
        };
        self.leave(name, at, reason);
    }

    fn leave_error(&mut self, name: &str, at: usize, error: &RecipeError) {
        let help = error.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        self.leave(name, at, format!("{}{help}", error.message));
    }

    /// Adds a warning about a setting that was imported.
    pub(super) fn note(&mut self, name: &str, at: usize, message: impl Into<Message>) {
        let warning = Warning::new(name, message);
        self.warnings.push(self.source.locate_warning(Some(at), warning));
    }

    /// Adds a warning about a setting that the text does not give.
    pub(super) fn remark(&mut self, name: &str, message: impl Into<Message>) {
        let warning = Warning::new(name, message);
        self.warnings.push(self.source.locate_warning(None, warning));
    }

    /// Returns the recipe. Leaves out a setting that contradicts the others.
    pub(super) fn finish(mut self, format: ImportFormat) -> Result<Imported, RecipeError> {
        if self.places.is_empty() && !self.is_accepted {
            let error = RecipeError::new("", "there is no setting in it that is known").with_help(TAKEN);
            return Err(self.source.locate(None, error));
        }
        if let Some((name, at)) = self.first_unlisted.take() {
            let more = self.unknown - MAX_UNKNOWN;
            self.leave(
                &name,
                at,
                format!("from here on, {more} keys are not known here, and not listed one by one"),
            );
        }
        loop {
            let error = match read(self.whole.clone()) {
                Ok((recipe, warnings)) => {
                    self.warnings.extend(warnings.into_iter().map(|warning| {
                        self.source.locate_warning(place(&self.places, &warning.key), warning)
                    }));
                    let Self { left_out, warnings, .. } = self;
                    return Ok(Imported { recipe, format, left_out, warnings });
                }
                Err(error) => error,
            };
            let at = place(&self.places, &error.key);
            let removed =
                error.key.split_once('.').and_then(|(table, name)| match self.whole.get_mut(table) {
                    Some(Json::Object(section)) => section.remove(name).map(|_| name.to_owned()),
                    _ => None,
                });
            // What is missing cannot be left out: the setting that needs it can.
            let removed = match removed {
                Some(name) => Some((name, at)),
                None => self.remove_cause(&error),
            };
            let Some((name, at)) = removed else { return Err(self.source.locate(at, error)) };
            self.leave_error(&name, at.unwrap_or_default(), &error);
        }
    }

    /// Removes a setting without which an error does not come up. Returns its name and place.
    fn remove_cause(&mut self, error: &RecipeError) -> Option<(String, Option<usize>)> {
        let sections = self.whole.iter().filter_map(|(table, section)| Some((table, section.as_object()?)));
        let all = sections.flat_map(|(table, section)| section.keys().map(move |name| (table, name)));
        let is_cause = |(table, name): &(&String, &String)| {
            let mut whole = self.whole.clone();
            if let Some(Json::Object(section)) = whole.get_mut(*table) {
                section.remove(*name);
            }
            read(whole).err().is_none_or(|other| other.key != error.key)
        };
        let (table, name) =
            all.into_iter().find(is_cause).map(|(table, name)| (table.clone(), name.clone()))?;
        self.whole.get_mut(&table)?.as_object_mut()?.remove(&name);
        let at = place(&self.places, &format!("{table}.{name}"));
        Some((name, at))
    }
}

/// Reads and checks a recipe. Returns it with its warnings.
fn read(whole: Map<String, Json>) -> Result<(Recipe, Vec<Warning>), RecipeError> {
    let recipe = serde_json::from_value::<Recipe>(Json::Object(whole))
        .map_err(|error| RecipeError::new("", error.to_string()))?;
    let warnings = recipe.validate()?;
    Ok((recipe, warnings))
}
