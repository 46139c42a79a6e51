//! Kinds of settings: the type, the range and the choices of their values.

use serde_json::Value as Json;

use crate::schedule::LrSchedulerKwargs;
use crate::suggest::nearest;
use crate::targets::{end_pattern, layer_pattern, whole_pattern};
use crate::{InitLoraWeights, Message, message};

/// The largest integer that JSON, TOML and JavaScript all keep exactly.
pub(crate) const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The highest rank that is accepted.
pub(crate) const MAX_RANK: i64 = 4096;

/// The fields that a row of data can have. The first [`FORM_FIELDS`] of them determine the form of the row.
pub const ROW_FIELDS: &[&str] = &[
    "messages",
    "conversations",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "text",
    "text_pair",
    "label",
    "labels",
    "tokens",
    "tags",
    "ner_tags",
    "input_ids",
    "attention_mask",
    "history",
    "system",
    "tools",
    "chat_template_kwargs",
];

/// Number of the fields by which a row's form is found.
pub const FORM_FIELDS: usize = 15;

/// The values that a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// An integer from `min` to `max`.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A finite number.
    Number(Bounds),
    /// Any text.
    Text,
    /// One of a few words.
    Choice {
        /// The words that are accepted.
        takes: &'static [&'static str],
        /// The words that PEFT or Transformers accept, and Lorelei does not yet.
        later: &'static [&'static str],
    },
    /// A name, or a list of names.
    Names,
    /// A list of module names, or one regex, or `"all-linear"`.
    Targets,
    /// A layer number, from 0 or from the last layer as -1, or a list of them.
    Indices,
    /// A map from module name or regex to rank.
    Ranks,
    /// A map from module name or regex to alpha.
    Alphas,
    /// A map from the field of a row to the column of a file.
    Columns,
    /// The values of `init_lora_weights`.
    Init,
    /// The values of `trainable_token_indices`.
    TokenIndices,
    /// The values of `lr_scheduler_kwargs`.
    SchedulerKwargs,
    /// Any value, because the setting is not kept.
    Any,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Lower end.
    pub min: f64,
    /// Whether `min` itself is excluded.
    pub above: bool,
    /// Upper end.
    pub max: f64,
    /// Whether `max` itself is excluded.
    pub below: bool,
}

/// The numbers from 0.
pub(crate) const NOT_NEGATIVE: Bounds = Bounds { min: 0.0, above: false, max: f64::INFINITY, below: false };
/// The numbers above 0.
pub(crate) const POSITIVE: Bounds = Bounds { above: true, ..NOT_NEGATIVE };
/// The numbers from 0 to 1.
pub(crate) const SHARE: Bounds = Bounds { max: 1.0, ..NOT_NEGATIVE };
/// The numbers from 0 up to, not including, 1.
pub(crate) const BELOW_ONE: Bounds = Bounds { below: true, ..SHARE };
/// The numbers between 0 and 100, without these two.
pub(crate) const PERCENTAGE: Bounds = Bounds { min: 0.0, above: true, max: 100.0, below: true };

/// Reason why a value is not accepted, with help.
#[derive(Debug, PartialEq)]
pub(crate) struct Complaint {
    pub(crate) message: Message,
    pub(crate) help: Option<Message>,
}

impl Bounds {
    /// Whether `value` is finite and in the range.
    pub fn contains(&self, value: f64) -> bool {
        value.is_finite()
            && (value > self.min || value == self.min && !self.above)
            && (value < self.max || value == self.max && !self.below)
    }

    /// Formats the range around a name: `0 <= lora_dropout < 1`.
    pub fn around(&self, name: &str) -> String {
        let low = if self.above { "<" } else { "<=" };
        if self.max.is_infinite() {
            return format!("{name} {} {}", if self.above { ">" } else { ">=" }, self.min);
        }
        format!("{} {low} {name} {} {}", self.min, if self.below { "<" } else { "<=" }, self.max)
    }
}

impl Kind {
    /// Adds words to a choice that PEFT or Transformers accept and Lorelei does not yet.
    pub(crate) const fn later(self, later: &'static [&'static str]) -> Self {
        match self {
            Kind::Choice { takes, .. } => Kind::Choice { takes, later },
            other => other,
        }
    }

    /// Describes the accepted values in a few words.
    pub fn describe(&self) -> Message {
        match self {
            Kind::Bool => message!("true or false"),
            Kind::Int { min, max } if *max >= MAX_INTEGER => message!("an integer, {min} or more", min),
            Kind::Int { min, max } => message!("an integer, {min} to {max}", min, max),
            Kind::Number(bounds) => message!("a number, {range}", range = bounds.around("x")),
            Kind::Text => message!("a string"),
            Kind::Choice { takes, .. } => words(takes).into(),
            Kind::Names => message!("a list of names"),
            Kind::Targets => message!("a list of module names, a regex, or \"all-linear\""),
            Kind::Indices => message!("a layer number, from 0 or from the last as -1, or a list of them"),
            Kind::Ranks => message!("a table of module name to rank, 1 to {max}", max = MAX_RANK),
            Kind::Alphas => message!("a table of module name to alpha, more than 0"),
            Kind::Columns => {
                message!("a table of field to column; fields: {fields}", fields = ROW_FIELDS.join(", "))
            }
            Kind::Init => InitLoraWeights::DESCRIPTION,
            Kind::TokenIndices => {
                message!("a list of token ids, or a table of the embedding's name to such a list")
            }
            Kind::SchedulerKwargs => {
                let names: Vec<_> = LrSchedulerKwargs::names().collect();
                message!("a table with {names}", names = names.join(", "))
            }
            Kind::Any => message!("anything"),
        }
    }

    /// Returns the words that a form can offer, if the values are a few words. Others may be accepted too: `"pissa_niter_16"`.
    pub fn choices(&self) -> Option<Vec<&'static str>> {
        match self {
            Kind::Choice { takes, .. } => Some(takes.to_vec()),
            Kind::Init => Some(["true", "false"].iter().chain(InitLoraWeights::WORDS).copied().collect()),
            Kind::Bool
            | Kind::Int { .. }
            | Kind::Number(_)
            | Kind::Text
            | Kind::Names
            | Kind::Targets
            | Kind::Indices
            | Kind::Ranks
            | Kind::Alphas
            | Kind::Columns
            | Kind::TokenIndices
            | Kind::SchedulerKwargs
            | Kind::Any => None,
        }
    }

    /// Whether a recipe keeps the value.
    pub fn is_kept(&self) -> bool {
        *self != Kind::Any
    }

    /// Checks a value of the setting `name`.
    pub(crate) fn check(&self, name: &str, value: &Json) -> Result<(), Complaint> {
        let fits = match self {
            Kind::Any => true,
            Kind::Bool => value.is_boolean(),
            Kind::Text if value.as_str() == Some("") => {
                return Err(Complaint::new(message!("{name} is empty", name)));
            }
            Kind::Text => value.is_string(),
            Kind::Int { min, max } => return check_int(self, name, value, *min, *max),
            Kind::Number(bounds) => return check_number(self, name, value, bounds),
            Kind::Choice { takes, later } => return check_choice(self, name, value, takes, later),
            Kind::Init => {
                let is_known = value.as_str().is_some_and(|text| InitLoraWeights::named(text).is_some());
                if is_known || value.is_boolean() {
                    return Ok(());
                }
                return check_choice(self, name, value, InitLoraWeights::WORDS, InitLoraWeights::LATER);
            }
            Kind::Names => {
                strings(value, true).is_some_and(|names| names.iter().all(|name| layer_pattern(name).is_ok()))
            }
            Kind::Targets => return self.check_targets(name, value),
            Kind::TokenIndices => {
                let is_list = |value: &Json| value.as_array().is_some_and(|list| list.iter().all(is_index));
                is_list(value) || value.as_object().is_some_and(|table| table.values().all(is_list))
            }
            Kind::Indices => match value {
                Json::Array(list) => list.iter().all(is_layer),
                one => is_layer(one),
            },
            Kind::Ranks => {
                let rank = Kind::Int { min: 1, max: MAX_RANK };
                return self.check_map(name, value, &rank);
            }
            Kind::Alphas => return self.check_map(name, value, &Kind::Number(POSITIVE)),
            Kind::Columns => return self.check_columns(name, value),
            Kind::SchedulerKwargs => return LrSchedulerKwargs::check(name, value),
        };
        if fits { Ok(()) } else { Err(self.wrong_type(name, value)) }
    }

    fn check_targets(&self, name: &str, value: &Json) -> Result<(), Complaint> {
        let Some(names) = strings(value, true) else { return Err(self.wrong_type(name, value)) };
        if names.iter().any(|name| name.is_empty()) || (names.is_empty() && name == "target_modules") {
            return Err(Complaint::new(message!("{name} names no module", name)).help(self.taken_by(name)));
        }
        match value {
            Json::String(pattern) => {
                whole_pattern(pattern).map(drop).map_err(|error| bad_regex(name, pattern, &error))
            }
            _ => Ok(()),
        }
    }

    fn check_map(&self, name: &str, value: &Json, values: &Kind) -> Result<(), Complaint> {
        let Json::Object(map) = value else { return Err(self.wrong_type(name, value)) };
        for (key, value) in map {
            end_pattern(key).map_err(|error| bad_regex(name, key, &error))?;
            values.check(&format!("{name}[{key:?}]"), value)?;
        }
        Ok(())
    }

    fn check_columns(&self, name: &str, value: &Json) -> Result<(), Complaint> {
        let Json::Object(map) = value else { return Err(self.wrong_type(name, value)) };
        for (key, column) in map {
            if !ROW_FIELDS.contains(&key.as_str()) {
                let help = match nearest(key, ROW_FIELDS.iter().copied()) {
                    Some(near) => message!("did you mean {near}?", ?near),
                    None => self.taken_by(name),
                };
                return Err(
                    Complaint::new(message!("{name}: {key} is no field of a row", name, ?key)).help(help)
                );
            }
            if column.as_str().is_none_or(str::is_empty) {
                let column = found(column);
                return Err(Complaint::new(message!(
                    "{name}.{key} takes the name of a column, not {column}",
                    name,
                    key,
                    column
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn wrong_type(&self, name: &str, value: &Json) -> Complaint {
        let (values, found) = (self.describe(), found(value));
        Complaint::new(message!("{name} takes {values}, not {found}", name, values, found))
    }

    /// Returns what the setting `name` takes.
    pub(crate) fn taken_by(&self, name: &str) -> Message {
        message!("{name} takes {values}", name, values = self.describe())
    }
}

impl Complaint {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, help: None }
    }

    pub(crate) fn help(mut self, help: Message) -> Self {
        self.help = Some(help);
        self
    }
}

fn check_int(kind: &Kind, name: &str, value: &Json, min: i64, max: i64) -> Result<(), Complaint> {
    let whole = value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.abs() >= 9e15);
    match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Ok(()),
        _ if !whole => Err(kind.wrong_type(name, value)),
        _ if max >= MAX_INTEGER && value.as_f64().is_some_and(|number| number < 1.0) => {
            Err(out_of_range(name, value, format!("{name} >= {min}")))
        }
        _ => Err(out_of_range(name, value, format!("{min} <= {name} <= {max}"))),
    }
}

fn check_number(kind: &Kind, name: &str, value: &Json, bounds: &Bounds) -> Result<(), Complaint> {
    match value.as_f64() {
        None if value.is_null() => Err(Complaint::new(message!("{name} is not a finite number", name))),
        None => Err(kind.wrong_type(name, value)),
        Some(number) if bounds.contains(number) => Ok(()),
        Some(_) => Err(out_of_range(name, value, bounds.around(name))),
    }
}

fn check_choice(
    kind: &Kind,
    name: &str,
    value: &Json,
    takes: &[&str],
    later: &[&str],
) -> Result<(), Complaint> {
    let Some(word) = value.as_str() else { return Err(kind.wrong_type(name, value)) };
    if takes.contains(&word) {
        Ok(())
    } else if later.contains(&word) {
        Err(not_yet(name, value).help(kind.taken_by(name)))
    } else {
        let help = match nearest(word, takes.iter().copied()) {
            Some(near) => message!("did you mean {near}?", ?near),
            None => kind.taken_by(name),
        };
        let value = value.to_string();
        Err(Complaint::new(message!("{name} = {value} is not one of its values", name, value)).help(help))
    }
}

fn out_of_range(name: &str, value: &Json, range: String) -> Complaint {
    let value = value.to_string();
    Complaint::new(message!("{name} = {value} is out of range: {range}", name, value, range))
}

fn not_yet(name: &str, value: &Json) -> Complaint {
    Complaint::new(message!("{name} = {value} is not supported yet", name, value = value.to_string()))
}

fn bad_regex(name: &str, pattern: &str, error: &fancy_regex::Error) -> Complaint {
    // The place that the error names is to be one of the pattern itself, not of the one that it is a part of.
    let own = fancy_regex::Regex::new(pattern).err();
    let text = own.as_ref().unwrap_or(error).to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let message =
        message!("{name}: {pattern} is not a regex that can be used: {reason}", name, ?pattern, reason);
    Complaint::new(message).help(message!("patterns are Python's; a list of names may do"))
}

/// Returns the strings of a list of strings, or, if `one`, a single string.
fn strings(value: &Json, one: bool) -> Option<Vec<&str>> {
    match value {
        Json::String(text) if one => Some(vec![text]),
        Json::Array(list) => list.iter().map(Json::as_str).collect(),
        _ => None,
    }
}

fn is_layer(value: &Json) -> bool {
    value.as_i64().is_some_and(|number| number.unsigned_abs() <= u64::from(u32::MAX))
}

fn is_index(value: &Json) -> bool {
    value.as_u64().is_some_and(|index| index <= u64::from(u32::MAX))
}

/// Formats a value for a message.
pub(crate) fn found(value: &Json) -> Message {
    match value {
        Json::Null => message!("nothing"),
        Json::Bool(_) | Json::Number(_) => value.to_string().into(),
        Json::String(text) if text.chars().count() <= 40 => message!("the string {text}", ?text),
        Json::String(_) => message!("a string"),
        Json::Array(_) => message!("a list"),
        Json::Object(_) => message!("a table"),
    }
}

fn words(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
