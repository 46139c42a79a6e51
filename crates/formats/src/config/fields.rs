//! Typed access to a JSON object, with errors that name the key.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{FormatError, Place};

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
            Err(error) => {
                Err(FormatError::corrupt(file, Place::File, format!("it is no valid JSON: {error}")))
            }
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

    /// Reads a finite number above zero.
    pub fn positive(&self, key: &str) -> Result<f64, FormatError> {
        self.optional_positive(key)?.ok_or_else(|| self.missing(key))
    }

    pub fn optional_positive(&self, key: &str) -> Result<Option<f64>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(self.wrong_type(key, value, "a number above zero")),
        }
    }

    /// Reads a finite number.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, FormatError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.wrong_type(key, value, "a number")),
        }
    }

    /// Reads a list of finite numbers above zero.
    pub fn positives(&self, key: &str) -> Result<Vec<f32>, FormatError> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        let number = |value: &Value| {
            value.as_f64().map(|number| number as f32).filter(|number| number.is_finite() && *number > 0.0)
        };
        let numbers = value.as_array().and_then(|values| values.iter().map(number).collect());
        numbers.ok_or_else(|| self.wrong_type(key, value, "a list of numbers above zero"))
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
