//! The file that names a classifier's classes.

use lorelei_recipe::{Message, message};
use serde_json::Value;

use super::Labels;
use crate::{error::DataError, rows::bad};

/// Name of the file beside a classifier's adapter that holds the names of its classes, which PEFT's own files lack.
pub const LABELS_FILE: &str = "labels.json";

/// The `problem_type` of words.
const TOKENS: &str = "token_classification";

impl Labels {
    /// Formats the contents of [`LABELS_FILE`], with Transformers' keys `problem_type` and `id2label`.
    pub fn to_json(&self) -> String {
        let named =
            self.names().iter().enumerate().map(|(number, name)| (number.to_string(), name.as_str().into()));
        let id2label: serde_json::Map<String, Value> = named.collect();
        let json = serde_json::json!({ "problem_type": self.problem_type(), "id2label": id2label });
        format!("{json:#}\n")
    }

    /// Parses the text that [`Self::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// If the text has another form.
    pub fn from_json(text: &str) -> Result<Self, DataError> {
        let wrong = |problem: Message| bad(problem, message!("train the adapter again, or remove the file"));
        let json: Value = serde_json::from_str(text)
            .map_err(|error| wrong(message!("it is no JSON: {reason}", reason = error.to_string())))?;
        let name = |number: usize| json["id2label"][number.to_string()].as_str().map(str::to_owned);
        let names: Vec<String> = (0..).map_while(name).collect();
        match json["problem_type"].as_str() {
            Some("regression") => Ok(Self::Number),
            Some(problem) if !names.is_empty() => match problem {
                "single_label_classification" => Ok(Self::Classes(names.into())),
                "multi_label_classification" => Ok(Self::Several(names.into())),
                TOKENS => Ok(Self::Tags(names.into())),
                other => Err(wrong(message!("problem_type {value} is none that is known", value = ?other))),
            },
            _ => Err(wrong(message!("it lacks problem_type or id2label"))),
        }
    }

    /// Returns Transformers' `problem_type`, or for words, which have none there, [`TOKENS`].
    pub(super) fn problem_type(&self) -> &'static str {
        match self {
            Self::Classes(_) => "single_label_classification",
            Self::Tags(_) => TOKENS,
            Self::Several(_) | Self::MultiHot(_) => "multi_label_classification",
            Self::Number => "regression",
        }
    }
}
