//! The table of all settings: those of PEFT 0.21's `LoraConfig`, those of Transformers 5.23's `TrainingArguments` and
//! the names that these had in version 4, and the few of Lorelei's own.
//!
//! A setting that a recipe keeps is declared with its section's struct, by `settings!`. The others, which are read and
//! have no effect, or are refused, are in this module's files. The readers, the validation, the suggestions,
//! FEATURES.md and the page's form are derived from the table.

mod lora;
mod model;
mod training;
mod training_old;

use std::fmt;

use serde_json::Value as Json;

use crate::host::Limit;
use crate::text::Bilingual;
use crate::{DataSection, Kind, LoraConfig, ModelSection, TrainingArguments};

/// A section of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Table {
    Model,
    Data,
    Lora,
    Training,
}

/// Position of a setting in the page's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Among the settings that most runs change.
    First,
    /// Among the other settings, which are folded away.
    More,
    /// Not in the form: the setting follows from the chosen files, or is not kept.
    Elsewhere,
}

/// Support of a setting by Lorelei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The setting works as in PEFT or Transformers.
    Supported,
    /// The setting is read and has no effect, for the given reason. A value other than the default gives a warning.
    Ignored(&'static str),
    /// Any value but the default is an error, for the given reason.
    Refused(&'static str),
    /// An older or newer name of another setting of the same table.
    Renamed(&'static str),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// The section of the setting.
    pub table: Table,
    /// Name of the setting, as in PEFT or Transformers.
    pub name: &'static str,
    /// The values that the setting takes.
    pub kind: Kind,
    /// Lorelei's default, as JSON; `null` if the setting is absent by default.
    pub default: &'static str,
    /// The default in PEFT or Transformers, with a note if they removed the setting; `—` if it is not theirs.
    pub upstream: &'static str,
    /// Further values, as JSON, that mean the same as the default.
    pub harmless: &'static [&'static str],
    /// Support of the setting by Lorelei.
    pub state: State,
    /// Documentation of one line, with names and values in backticks.
    pub doc: &'static str,
    /// Documentation in Chinese; empty if a recipe does not keep the setting.
    pub chinese: &'static str,
    /// Advice on the value to choose, from experience, if there is any.
    pub advice: Option<Bilingual>,
    /// Position in the page's form.
    pub shown: Shown,
    /// The host that does not honour the setting, if there is one.
    pub limit: Option<Limit>,
    /// Whether a resumed run may have another value, because the setting does not change what a run computes.
    pub free_on_resume: bool,
}

impl Table {
    /// All sections, in the order of a recipe.
    pub const ALL: [Table; 4] = [Table::Model, Table::Data, Table::Lora, Table::Training];

    /// Returns the section's name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Table::Model => "model",
            Table::Data => "data",
            Table::Lora => "lora",
            Table::Training => "training",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Field {
    /// The value of [`Field::upstream`] for a setting that is neither PEFT's nor Transformers'.
    pub const OURS: &'static str = "—";

    /// Returns the path of the setting: `lora.r`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// Returns the default as a value.
    pub fn default_value(&self) -> Json {
        serde_json::from_str(self.default).unwrap_or(Json::Null)
    }

    /// Whether a value is the default, or equivalent to it.
    pub(crate) fn is_harmless(&self, value: &Json) -> bool {
        value.is_null() || is_one_of(value, &[self.default]) || is_one_of(value, self.harmless)
    }
}

/// Whether a value is one of `texts`, which are JSON.
pub(crate) fn is_one_of(value: &Json, texts: &[&str]) -> bool {
    texts.iter().any(|text| serde_json::from_str(text).is_ok_and(|known: Json| equal(&known, value)))
}

/// Returns all settings, section by section.
pub fn all() -> impl Iterator<Item = &'static Field> {
    Table::ALL.into_iter().flat_map(of)
}

/// Returns the settings of a section: those that a recipe keeps, then the others.
pub fn of(table: Table) -> &'static [Field] {
    static MODEL: [Field; ModelSection::FIELDS.len() + model::OTHERS.len()] =
        joined([ModelSection::FIELDS, model::OTHERS]);
    static LORA: [Field; LoraConfig::FIELDS.len() + lora::OTHERS.len()] =
        joined([LoraConfig::FIELDS, lora::OTHERS]);
    static TRAINING: [Field;
        TrainingArguments::FIELDS.len() + training::OTHERS.len() + training_old::OTHERS.len()] =
        joined([TrainingArguments::FIELDS, training::OTHERS, training_old::OTHERS]);
    match table {
        Table::Model => &MODEL,
        Table::Data => DataSection::FIELDS,
        Table::Lora => &LORA,
        Table::Training => &TRAINING,
    }
}

/// Concatenates lists.
const fn joined<const LISTS: usize, const LENGTH: usize>(lists: [&[Field]; LISTS]) -> [Field; LENGTH] {
    let mut fields = [lists[0][0]; LENGTH];
    let (mut list, mut at, mut next) = (0, 0, 0);
    while next < LENGTH {
        if at == lists[list].len() {
            (list, at) = (list + 1, 0);
        } else {
            fields[next] = lists[list][at];
            (at, next) = (at + 1, next + 1);
        }
    }
    fields
}

/// Finds the setting called `name` in a section. A renamed setting is found under its name in [`crate::Recipe`].
pub fn find(table: Table, name: &str) -> Option<&'static Field> {
    let field = of(table).iter().find(|field| field.name == name)?;
    match field.state {
        State::Renamed(current) => of(table).iter().find(|field| field.name == current),
        _ => Some(field),
    }
}

/// Compares JSON values. `1` and `1.0` are equal.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Declares settings that a recipe does not keep, in rows of the form
/// `name: "default" upstream "default" also ["value"], state, "documentation";`.
macro_rules! others {
    ($table:ident; $($name:ident: $default:literal $(upstream $upstream:literal)?
        $(also [$($also:literal),*])?, $state:expr, $doc:literal;)*) => {
        &[$(crate::fields::Field {
            table: crate::fields::Table::$table,
            name: stringify!($name),
            kind: crate::Kind::Any,
            default: $default,
            upstream: crate::fields::upstream!($default $(, $upstream)?),
            harmless: &[$($($also),*)?],
            state: $state,
            doc: $doc,
            chinese: "",
            advice: None,
            shown: crate::fields::Shown::Elsewhere,
            limit: None,
            free_on_resume: false,
        }),*]
    };
}

macro_rules! upstream {
    ($default:literal) => {
        $default
    };
    ($default:literal, $upstream:literal) => {
        $upstream
    };
}

use {others, upstream};
