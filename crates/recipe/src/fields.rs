//! Every setting there is: all of PEFT 0.21's `LoraConfig`, all of Transformers 5.23's `TrainingArguments` and the
//! names these had in version 4, and the few of our own.
//!
//! A setting that a recipe keeps is declared with its section's struct, by `settings!`; the others, which are read and
//! make no difference, or are refused, are in this module's files. The readers, the validation, the suggestions,
//! FEATURES.md and the page's form are made from the table.

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

/// Where the page's form has a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Among those that most runs touch.
    First,
    /// Among the others, folded away.
    More,
    /// Nowhere: it follows from the files that are chosen, or is not kept.
    Elsewhere,
}

/// What Lorelei makes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does what it does in PEFT or Transformers.
    Supported,
    /// It is read and makes no difference; the reason says why. A value other than the default gives a warning.
    Ignored(&'static str),
    /// Any value but the default is an error; the reason says why.
    Refused(&'static str),
    /// An older or newer name of another setting of the same table.
    Renamed(&'static str),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// The section it belongs to.
    pub table: Table,
    /// Its name, as in PEFT or Transformers.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Our default, as JSON; `null` where it is absent.
    pub default: &'static str,
    /// The default in PEFT or Transformers, with a word on where it went if they removed it; `—` if it is not theirs.
    pub upstream: &'static str,
    /// Further values, as JSON, that mean the same as the default.
    pub harmless: &'static [&'static str],
    /// What we make of it.
    pub state: State,
    /// One line on what it is, with names and values in backticks.
    pub doc: &'static str,
    /// The same in Chinese; empty where a recipe does not keep the setting.
    pub chinese: &'static str,
    /// What to choose, from experience, where there is something to say.
    pub advice: Option<Bilingual>,
    /// Where the form has it.
    pub shown: Shown,
    /// The host that does not honour it, where there is one.
    pub limit: Option<Limit>,
}

impl Table {
    /// All sections, in the order in which a recipe has them.
    pub const ALL: [Table; 4] = [Table::Model, Table::Data, Table::Lora, Table::Training];

    /// The name in a file.
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
    /// [`Field::upstream`] of a setting that is neither PEFT's nor Transformers'.
    pub const OURS: &'static str = "—";

    /// The path of the setting: `lora.r`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// The default as a value.
    pub fn default_value(&self) -> Json {
        serde_json::from_str(self.default).unwrap_or(Json::Null)
    }

    /// Whether a value is the default, or means the same.
    pub(crate) fn is_harmless(&self, value: &Json) -> bool {
        value.is_null() || is_one_of(value, &[self.default]) || is_one_of(value, self.harmless)
    }
}

/// Whether a value is one of `texts`, which are JSON.
pub(crate) fn is_one_of(value: &Json, texts: &[&str]) -> bool {
    texts.iter().any(|text| serde_json::from_str(text).is_ok_and(|known: Json| equal(&known, value)))
}

/// All settings, section after section.
pub fn all() -> impl Iterator<Item = &'static Field> {
    Table::ALL.into_iter().flat_map(of)
}

/// The settings of a section: those that a recipe keeps, then the others.
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

/// Several lists, one after the other.
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

/// The setting called `name` in a section, under the name that it has in [`crate::Recipe`].
pub fn find(table: Table, name: &str) -> Option<&'static Field> {
    let field = of(table).iter().find(|field| field.name == name)?;
    match field.state {
        State::Renamed(current) => of(table).iter().find(|field| field.name == current),
        _ => Some(field),
    }
}

/// Equality of JSON in which `1` and `1.0` are the same.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Settings that a recipe does not keep, in rows of the form
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
