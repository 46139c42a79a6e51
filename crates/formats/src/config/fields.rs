//! Typed access to a JSON object, with errors that name the key.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::{FormatError, Place};

/// Numbers that a key may have. All are normal in float32, in which they are used, as are their inverses.
pub(super) enum Bounds {
    /// From the first to the second.
    Within(f64, f64),
    /// Above the first, and at most the second.
    Above(f64, f64),
}

/// Bases of rotary frequencies. One at or below 1 makes no frequencies that fall.
pub(super) const ROTARY_BASE: Bounds = Bounds::Above(1.0, 1e15);
/// Numbers added to a mean square or a variance, which is about one.
pub(super) const EPSILON: Bounds = Bounds::Within(1e-30, 1.0);
/// Factors, divisors and caps.
pub(super) const FACTOR: Bounds = Bounds::Within(1e-6, 1e6);
/// Numbers by which a context grows.
pub(super) const GROWTH: Bounds = Bounds::Within(1.0, 1e6);
/// Standard deviations of weights that are drawn.
pub(super) const DEVIATION: Bounds = Bounds::Within(0.0, 10.0);
/// Shares of a whole.
pub(super) const SHARE: Bounds = Bounds::Above(0.0, 1.0);

impl Bounds {
    fn allow(&self, number: f64) -> bool {
        match self {
            Self::Within(least, most) => (*least..=*most).contains(&number),
            Self::Above(least, most) => number > *least && number <= *most,
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(least, most) => write!(f, "from {least:?} to {most:?}"),
            Self::Above(least, most) => write!(f, "above {least:?} and at most {most:?}"),
        }
    }
}

/// A JSON object of a file. A `null` counts as absent.
pub(super) struct Fields<'a> {
    pub file: &'a str,
    /// Prefix of the keys in errors, such as `rope_scaling.`.
    prefix: String,
    values: Cow<'a, Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub fn parse(text: &str, file: &'a str) -> Result<Self, FormatError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => Ok(Self { file, prefix: String::new(), values: Cow::Owned(values) }),
            Ok(_) => Err(FormatError::corrupt(file, Place::File, "it is no JSON object")),
            Err(error) => match python_number(text, &error) {
                Some((key, number)) => {
                    let problem = format!("{number} is not a number");
                    Err(FormatError::corrupt(file, Place::Key(key.to_owned()), problem))
                }
                None => Err(FormatError::corrupt(file, Place::File, format!("it is no valid JSON: {error}"))),
            },
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key exists, even if its value is `null`.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Returns the object at `key`, unless it is absent or empty.
    pub fn object(&'a self, key: &str) -> Result<Option<Self>, FormatError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(values)) if values.is_empty() => Ok(None),
            Some(Value::Object(values)) => {
                let prefix = format!("{}{key}.", self.prefix);
                Ok(Some(Self { file: self.file, prefix, values: Cow::Borrowed(values) }))
            }
            Some(other) => Err(self.wrong_type(key, other, "an object")),
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, other, "text")),
        }
    }

    /// Reads a flag, which is off unless the file turns it on.
    pub fn flag(&self, key: &str) -> Result<bool, FormatError> {
        Ok(self.optional_flag(key)?.unwrap_or(false))
    }

    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>, FormatError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong_type(key, other, "true or false")),
        }
    }

    /// Reads a whole number from 1 to `most`.
    pub fn size(&self, key: &str, most: u64) -> Result<usize, FormatError> {
        self.optional_size(key, most)?.ok_or_else(|| self.missing(key))
    }

    pub fn optional_size(&self, key: &str, most: u64) -> Result<Option<usize>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_u64().map(|size| (size, usize::try_from(size))) {
            Some((1.., Ok(size))) if size as u64 <= most => Ok(Some(size)),
            _ => Err(self.wrong_type(key, value, &format!("a whole number from 1 to {most}"))),
        }
    }

    /// Reads a number that `bounds` allow.
    pub fn number(&self, key: &str, bounds: &Bounds) -> Result<f64, FormatError> {
        self.optional_number(key, bounds)?.ok_or_else(|| self.missing(key))
    }

    pub fn optional_number(&self, key: &str, bounds: &Bounds) -> Result<Option<f64>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if bounds.allow(number) => Ok(Some(number)),
            _ => Err(self.wrong_type(key, value, &format!("a number {bounds}"))),
        }
    }

    /// Reads a list of numbers that `bounds` allow.
    pub fn numbers(&self, key: &str, bounds: &Bounds) -> Result<Vec<f32>, FormatError> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        let number =
            |value: &Value| value.as_f64().filter(|number| bounds.allow(*number)).map(|number| number as f32);
        let numbers = value.as_array().and_then(|values| values.iter().map(number).collect());
        numbers.ok_or_else(|| self.wrong_type(key, value, &format!("a list of numbers {bounds}")))
    }

    /// Reads a list of texts.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let texts = value.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| self.wrong_type(key, value, "a list of texts"))
    }

    /// Reads a list of zeros and ones.
    pub fn bits(&self, key: &str) -> Result<Option<Vec<bool>>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let bit = |value: &Value| value.as_u64().filter(|bit| *bit < 2).map(|bit| bit == 1);
        let bits = value.as_array().and_then(|values| values.iter().map(bit).collect());
        bits.map(Some).ok_or_else(|| self.wrong_type(key, value, "a list of zeros and ones"))
    }

    /// Reads a token's id. Returns `default` when the key is absent, and `None` when it is `null`.
    pub fn token(&self, key: &str, default: Option<u32>) -> Result<Option<u32>, FormatError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(value) => self.as_token(key, value).map(Some),
        }
    }

    /// Reads one token's id or several. Returns `default` when the key is absent.
    pub fn tokens(&self, key: &str, default: &[u32]) -> Result<Vec<u32>, FormatError> {
        match self.values.get(key) {
            None => Ok(default.to_vec()),
            Some(Value::Array(values)) => values.iter().map(|value| self.as_token(key, value)).collect(),
            Some(_) => Ok(self.token(key, None)?.into_iter().collect()),
        }
    }

    fn as_token(&self, key: &str, value: &Value) -> Result<u32, FormatError> {
        value
            .as_u64()
            .and_then(|id| id.try_into().ok())
            .ok_or_else(|| self.wrong_type(key, value, "a token's id"))
    }

    pub fn wrong(&self, key: &str, problem: String) -> FormatError {
        FormatError::corrupt(self.file, self.place(key), problem)
    }

    pub fn unsupported(&self, key: &str, problem: String, help: &'static str) -> FormatError {
        FormatError::unsupported(self.file, self.place(key), problem, help)
    }

    fn wrong_type(&self, key: &str, value: &Value, wanted: &str) -> FormatError {
        let value = value.to_string();
        self.wrong(key, format!("{:?} is not {wanted}", crate::error::Shortened(&value)))
    }

    fn missing(&self, key: &str) -> FormatError {
        let help = "use the config.json that belongs to the model";
        FormatError::missing(self.file, self.place(key), "it is not there", help)
    }

    fn place(&self, key: &str) -> Place {
        Place::Key(format!("{}{key}", self.prefix))
    }
}

/// Returns the key and the text of a number that Python writes and JSON does not have, if that is the cause of `error`.
fn python_number<'t>(text: &'t str, error: &serde_json::Error) -> Option<(&'t str, &'static str)> {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let near = lines.map(str::len).sum::<usize>() + error.column();
    // The error is at the number's first letter or its second.
    (near.saturating_sub(3)..=near).find_map(|at| {
        let (before, rest) = text.split_at_checked(at)?;
        let number = ["NaN", "Infinity", "-Infinity"].into_iter().find(|number| rest.starts_with(number))?;
        let (_, key) = before.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?.rsplit_once('"')?;
        Some((key, number))
    })
}
