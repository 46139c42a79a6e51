//! Every setting there is: all of PEFT 0.21's `LoraConfig`, all of Transformers 5.23's `TrainingArguments` and the
//! names these had in version 4, and the few of our own.
//!
//! This table is the only place that knows a setting's type, range and state: the readers, the validation, the
//! suggestions and FEATURES.md are made from it.

mod lora;
mod model_data;
mod training;
mod training_old;

use std::fmt;

use serde_json::Value as Json;

use crate::Kind;

/// A section of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Table {
    Model,
    Data,
    Lora,
    Training,
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
    /// One line on what it is.
    pub doc: &'static str,
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
        let same = |text: &str| serde_json::from_str(text).is_ok_and(|default: Json| equal(&default, value));
        value.is_null() || same(self.default) || self.harmless.iter().any(|text| same(text))
    }
}

/// All settings, section after section.
pub fn all() -> impl Iterator<Item = &'static Field> {
    Table::ALL.into_iter().flat_map(of)
}

/// The settings of a section.
pub fn of(table: Table) -> &'static [Field] {
    match table {
        Table::Model => model_data::MODEL,
        Table::Data => model_data::DATA,
        Table::Lora => lora::FIELDS,
        Table::Training => training::FIELDS,
    }
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

/// Rows of the form `name: kind => "default" theirs "default" also ["value"], state, "doc";`.
macro_rules! rows {
    ($table:ident; $($name:ident: $kind:expr => $default:literal $(theirs $upstream:literal)?
        $(also [$($also:literal),*])?, $state:expr, $doc:literal;)*) => {
        &[$(crate::fields::Field {
            table: crate::fields::Table::$table,
            name: stringify!($name),
            kind: $kind,
            default: $default,
            upstream: crate::fields::theirs!($default $(, $upstream)?),
            harmless: &[$($($also),*)?],
            state: $state,
            doc: $doc,
        }),*]
    };
}

macro_rules! theirs {
    ($default:literal) => {
        $default
    };
    ($default:literal, $upstream:literal) => {
        $upstream
    };
}

use {rows, theirs};
