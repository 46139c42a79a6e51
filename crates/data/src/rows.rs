//! Parses rows, whose form is found by the names of their fields.

mod conversation;
mod field;
mod tokens;
mod words;

use std::collections::BTreeMap;

use lorelei_recipe::{FORM_FIELDS, Message, ROW_FIELDS, message};
use serde_json::{Map, Value};

use crate::chat::Conversation;
use crate::error::DataError;
use crate::json_value;

pub(crate) use field::{bad, kind};
use field::{get, names, string};

/// A row of data, by the kind of its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `{"text"}`: a text to continue, learnt whole.
    Text(String),
    /// `{"text", "text_pair"?, "label"}`: one text or two with their label, for a classifier. A language model learns the text, not the label.
    Labelled {
        /// The text.
        text: String,
        /// The second text of a pair.
        text_pair: Option<String>,
        /// The label: a number or a name.
        label: Value,
    },
    /// `{"prompt", "completion"}` as texts: the completion is learnt.
    PromptCompletion {
        /// The text that is given.
        prompt: String,
        /// The text that is learnt.
        completion: String,
    },
    /// `{"messages"}`, `{"conversations"}` (ShareGPT), `{"instruction", "input"?, "output"}` (Alpaca), or `{"prompt", "completion"}` as lists of
    /// messages: a conversation, of which the assistant's turns are learnt.
    Conversation(Conversation),
    /// `{"input_ids", "labels"?, "attention_mask"?}`: tokens, taken unchanged. Without labels everything is learnt; positions whose mask is 0 are
    /// already dropped.
    Tokens {
        /// Token ids.
        input_ids: Vec<u32>,
        /// A label for each token, -100 where nothing is learnt.
        labels: Vec<i64>,
    },
    /// `{"tokens", "tags"}` (or `ner_tags`, `labels`): words with their tags, for a classifier of tokens. A language model learns the words.
    Words {
        /// The words.
        words: Vec<String>,
        /// Tag of each word: a number or a name.
        tags: Vec<Value>,
    },
    /// A piece of a text that is one stream: the rows are cut from its tokens, not from its lines.
    Stream {
        /// The piece.
        text: String,
        /// Whether it is the first of its file.
        begins: bool,
    },
}

const FORMS: Message = message!(
    "messages, conversations, prompt + completion, instruction + output, input_ids, tokens + tags, text + label or text"
);

/// Names of the fields by which a row's form is found.
const FIELDS: &[&str] = ROW_FIELDS.split_at(FORM_FIELDS).0;

impl Row {
    /// Approximate number of bytes of text.
    pub(crate) fn size(&self) -> usize {
        match self {
            Row::Text(text) | Row::Stream { text, .. } => text.len(),
            Row::Labelled { text, text_pair, .. } => text.len() + text_pair.as_ref().map_or(0, String::len),
            Row::PromptCompletion { prompt, completion } => prompt.len() + completion.len(),
            Row::Conversation(conversation) => conversation.size(),
            Row::Tokens { input_ids, .. } => 12 * input_ids.len(),
            Row::Words { words, .. } => words.iter().map(String::len).sum(),
        }
    }
}

/// Names that a list of tags may have; the first that is there is taken.
const TAGS: [&str; 3] = ["tags", "ner_tags", "labels"];

/// The column of a file for each field of a row (`data.columns`). An empty map takes the fields by their own names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns(pub(crate) BTreeMap<String, String>);

impl Columns {
    /// Returns the column of that field.
    pub(crate) fn of<'c>(&'c self, field: &'c str) -> Option<&'c str> {
        if self.0.is_empty() { Some(field) } else { self.0.get(field).map(String::as_str) }
    }

    /// Whether rows are read from a column of that name.
    pub(crate) fn know(&self, column: &str) -> bool {
        match self.0.is_empty() {
            true => FIELDS.contains(&column),
            false => self.0.values().any(|known| known == column),
        }
    }

    /// Returns the fields of a row under their own names. With a map only the columns that it names are read.
    fn apply(&self, mut fields: Map<String, Value>) -> Result<Map<String, Value>, DataError> {
        if self.0.is_empty() {
            return Ok(fields);
        }
        let mut mapped = Map::new();
        for (field, column) in &self.0 {
            // Two fields may be the same column.
            let value = fields.get_mut(column).map(|value| {
                match self.0.values().filter(|other| *other == column).count() {
                    1 => value.take(),
                    _ => value.clone(),
                }
            });
            match value {
                Some(value) => mapped.insert(field.clone(), value),
                None => {
                    let problem = message!(
                        "the row has no column {column}, which data.columns names as {field}; found {found}",
                        ?column,
                        field,
                        found = names(&fields)
                    );
                    return Err(bad(problem, message!("correct data.columns, or the row")));
                }
            };
        }
        Ok(mapped)
    }
}

/// Finds the form of a row by its fields.
pub(crate) fn from_fields(fields: Map<String, Value>, columns: &Columns) -> Result<Row, DataError> {
    let fields = columns.apply(fields)?;
    for name in ["messages", "conversations"] {
        if let Some(turns) = get(&fields, name) {
            return conversation::from_turns(name, turns, &fields).map(Row::Conversation);
        }
    }
    match (get(&fields, "prompt"), get(&fields, "completion")) {
        (Some(prompt), Some(completion)) if prompt.is_string() && completion.is_string() => {
            return Ok(Row::PromptCompletion {
                prompt: string("prompt", prompt)?,
                completion: string("completion", completion)?,
            });
        }
        (Some(prompt), Some(completion)) => {
            return conversation::from_prompt(prompt, completion, &fields).map(Row::Conversation);
        }
        (Some(_), None) => return Err(missing("prompt", "completion", &fields)),
        (None, Some(_)) => return Err(missing("completion", "prompt", &fields)),
        (None, None) => {}
    }
    match (get(&fields, "instruction"), get(&fields, "output")) {
        (Some(instruction), Some(output)) => {
            return conversation::from_instruction(instruction, output, &fields).map(Row::Conversation);
        }
        (Some(_), None) => return Err(missing("instruction", "output", &fields)),
        (None, _) => {}
    }
    if let Some(ids) = get(&fields, "input_ids") {
        return tokens::parse(ids, &fields);
    }
    let tags = TAGS.into_iter().find_map(|name| Some((name, get(&fields, name)?)));
    if let (Some(words), Some((name, tags))) = (get(&fields, "tokens"), tags) {
        return words::parse(words, name, tags);
    }
    if let Some(text) = get(&fields, "text") {
        let text = string("text", text)?;
        let label =
            get(&fields, "label").or_else(|| get(&fields, "labels").filter(|labels| labels.is_array()));
        let label = label.map(list_of_cell).transpose()?;
        // An empty cell is no label.
        let label = label.filter(|label| label.as_str() != Some(""));
        return Ok(match label {
            Some(label @ (Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_))) => {
                Row::Labelled {
                    text,
                    text_pair: get(&fields, "text_pair").map(|pair| string("text_pair", pair)).transpose()?,
                    label,
                }
            }
            _ => Row::Text(text),
        });
    }
    // A field that is there and has no value is the likeliest mistake.
    let is_bare = |name: &str| fields.contains_key(name) && get(&fields, name).is_none();
    if let Some(name) = FIELDS.iter().copied().find(|name| is_bare(name)) {
        let is_null = fields.get(name).is_some_and(Value::is_null);
        let value = if is_null { message!("null") } else { message!("empty") };
        return Err(bad(
            message!(
                "no known field has a value: {name} is {value}; found {found}",
                name,
                value,
                found = names(&fields)
            ),
            message!("fill it, or leave the row out"),
        ));
    }
    Err(bad(
        message!("no known field: looked for {forms}; found {found}", forms = FORMS, found = names(&fields)),
        message!("rename the fields, or say in data.columns which column is which"),
    ))
}

/// Returns a label, and as a list where it is a list in a table's cell.
///
/// # Errors
///
/// If it is a list as Python prints it.
fn list_of_cell(label: &Value) -> Result<Value, DataError> {
    let Value::String(text) = label else { return Ok(label.clone()) };
    let text = text.trim();
    match text.strip_prefix('[').map(|_| json_value::parse(text)) {
        Some(Ok(list)) => Ok(list),
        Some(Err(_)) if text.starts_with("['") && text.ends_with(']') => {
            let help = message!("its texts stand in double quotes: [\"a\", \"b\"]");
            Err(bad(message!("label is a list that is not JSON"), help))
        }
        _ => Ok(label.clone()),
    }
}

fn missing(has: &str, lacks: &str, fields: &Map<String, Value>) -> DataError {
    if fields.contains_key(lacks) {
        let problem = message!("the row has {has}, and {lacks} has no value", has, lacks);
        return bad(problem, message!("fill it, or leave the row out"));
    }
    let problem =
        message!("the row has {has} but no {lacks}; found {found}", has, lacks, found = names(fields));
    bad(problem, message!("a row needs both"))
}
