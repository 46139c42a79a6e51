//! What a row teaches, found by the names of its fields: one of four forms.

use serde_json::{Map, Value};

use crate::chat::Message;
use crate::error::{DataError, DataErrorKind};

/// What one row teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `{"text"}`: a text to continue, learnt whole.
    Text(String),
    /// `{"prompt", "completion"}`: the completion is learnt.
    PromptCompletion {
        /// What is given.
        prompt: String,
        /// What is learnt.
        completion: String,
    },
    /// `{"messages"}`: a conversation, of which the assistant's turns are learnt.
    Messages(Vec<Message>),
    /// `{"input_ids", "labels"?, "attention_mask"?}`: tokens as they are. Without labels everything is learnt;
    /// positions whose mask is 0 are already dropped.
    Tokens {
        /// Token ids.
        input_ids: Vec<u32>,
        /// A label for each token, -100 where nothing is learnt.
        labels: Vec<i64>,
    },
}

const FORMS: &str = "messages, prompt + completion, input_ids or text";

pub(crate) fn bad(problem: impl Into<String>, help: &str) -> DataError {
    DataError::new(DataErrorKind::BadRow, problem, help)
}

/// Finds the form of a row by its fields.
pub(crate) fn from_fields(fields: &Map<String, Value>) -> Result<Row, DataError> {
    if let Some(messages) = fields.get("messages") {
        return parse_messages(messages);
    }
    match (fields.get("prompt"), fields.get("completion")) {
        (Some(prompt), Some(completion)) => {
            return Ok(Row::PromptCompletion {
                prompt: string("prompt", prompt)?,
                completion: string("completion", completion)?,
            });
        }
        (Some(_), None) => return Err(missing("prompt", "completion", fields)),
        (None, Some(_)) => return Err(missing("completion", "prompt", fields)),
        (None, None) => {}
    }
    if let Some(ids) = fields.get("input_ids") {
        return parse_tokens(ids, fields);
    }
    if let Some(text) = fields.get("text") {
        return Ok(Row::Text(string("text", text)?));
    }
    Err(bad(format!("no known field: looked for {FORMS}; found {}", names(fields)), "rename the fields"))
}

fn missing(has: &str, lacks: &str, fields: &Map<String, Value>) -> DataError {
    bad(format!("the row has {has} but no {lacks}; found {}", names(fields)), "a row needs both")
}

fn names(fields: &Map<String, Value>) -> String {
    const SHOWN: usize = 12;
    if fields.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<&str> = fields.keys().take(SHOWN).map(String::as_str).collect();
    if fields.len() > SHOWN {
        names.push("...");
    }
    names.join(", ")
}

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn string(name: &str, value: &Value) -> Result<String, DataError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(bad(format!("{name} must be a string, found {}", kind(other)), "")),
    }
}

fn parse_messages(value: &Value) -> Result<Row, DataError> {
    let help =
        "write [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", \"content\": \"...\"}]";
    let Value::Array(items) = value else {
        return Err(bad(format!("messages must be an array, found {}", kind(value)), help));
    };
    let field = |index: usize, item: &Value, name: &str| match item.get(name) {
        Some(value) => string(&format!("messages[{index}].{name}"), value),
        None => Err(bad(format!("messages[{index}] has no {name}"), help)),
    };
    let messages = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            Ok(Message { role: field(index, item, "role")?, content: field(index, item, "content")? })
        })
        .collect::<Result<Vec<_>, DataError>>()?;
    if messages.is_empty() {
        return Err(bad("messages is empty", help));
    }
    Ok(Row::Messages(messages))
}

fn parse_tokens(ids: &Value, fields: &Map<String, Value>) -> Result<Row, DataError> {
    let ids = integers("input_ids", ids)?;
    let mut input_ids = Vec::with_capacity(ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let id =
            u32::try_from(id).map_err(|_| bad(format!("input_ids[{index}] is {id}, no token id"), ""))?;
        input_ids.push(id);
    }
    // `null` is how a table writes that a row lacks the column.
    let column = |name: &str| -> Result<Option<Vec<i64>>, DataError> {
        let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let values = integers(name, value)?;
        if values.len() != input_ids.len() {
            let problem =
                format!("{name} has {} entries but input_ids has {}", values.len(), input_ids.len());
            return Err(bad(problem, "give one for each token"));
        }
        Ok(Some(values))
    };
    let mask = column("attention_mask")?;
    let mut labels = column("labels")?.unwrap_or_else(|| input_ids.iter().map(|&id| i64::from(id)).collect());
    if let Some(mask) = mask {
        if let Some((index, value)) = mask.iter().enumerate().find(|(_, value)| !matches!(value, 0 | 1)) {
            return Err(bad(format!("attention_mask[{index}] is {value}, expected 0 or 1"), ""));
        }
        let kept = |value: &&i64| **value == 1;
        let padding = mask.iter().take_while(|value| **value == 0).count();
        let row = mask.iter().skip(padding).take_while(kept).count();
        if mask[padding + row..].contains(&1) {
            let problem = format!("attention_mask has a 0 at {}, between tokens", padding + row);
            return Err(bad(problem, "padding may stand before or after the tokens only"));
        }
        let mut kept = mask.iter().map(|&value| value == 1);
        input_ids.retain(|_| kept.next() == Some(true));
        let mut kept = mask.iter().map(|&value| value == 1);
        labels.retain(|_| kept.next() == Some(true));
    }
    Ok(Row::Tokens { input_ids, labels })
}

fn integers(name: &str, value: &Value) -> Result<Vec<i64>, DataError> {
    let Value::Array(items) = value else {
        return Err(bad(format!("{name} must be an array of integers, found {}", kind(value)), ""));
    };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.as_i64()
                .ok_or_else(|| bad(format!("{name}[{index}] must be an integer, found {}", short(item)), ""))
        })
        .collect()
}

fn short(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}
