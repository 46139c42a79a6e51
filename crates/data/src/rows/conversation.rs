//! Parses conversations, in the forms in which data sets have them.

use lorelei_recipe::message;
use serde_json::{Map, Value};

use super::field::{bad, get, kind, must_be, short, string, structured};
use crate::chat::{Conversation, Message};
use crate::error::DataError;

const HELP: lorelei_recipe::Message = message!(
    "write [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", \"content\": \"...\"}]"
);

/// Speakers of ShareGPT and its relatives, with the roles that templates know.
const SPEAKERS: &[(&str, &str)] = &[
    ("system", "system"),
    ("human", "user"),
    ("user", "user"),
    ("gpt", "assistant"),
    ("assistant", "assistant"),
    ("chatgpt", "assistant"),
    ("bing", "assistant"),
    ("bard", "assistant"),
    ("model", "assistant"),
    ("bot", "assistant"),
    ("function_call", "assistant"),
    ("tool_call", "assistant"),
    ("tool", "tool"),
    ("function_response", "tool"),
    ("tool_response", "tool"),
    ("observation", "tool"),
];

/// Parses `{"messages": [{"role", "content"}]}` or `{"conversations": [{"from", "value"}]}`. The turns may have either form under either name.
pub(super) fn from_turns(
    name: &str,
    turns: &Value,
    fields: &Map<String, Value>,
) -> Result<Conversation, DataError> {
    finish(parse_turns(name, turns)?, 0, fields)
}

/// Parses `{"prompt": [...], "completion": [...]}`. One of them may be a string, which becomes a turn of the user or of the assistant.
pub(super) fn from_prompt(
    prompt: &Value,
    completion: &Value,
    fields: &Map<String, Value>,
) -> Result<Conversation, DataError> {
    let side = |name: &str, value: &Value, role: &str| match value {
        Value::String(text) => Ok(vec![Message::new(role, text)]),
        Value::Array(_) => parse_turns(name, value),
        other => Err(must_be(name, message!("a string or an array of messages"), kind(other))),
    };
    let mut messages = side("prompt", prompt, "user")?;
    let given = messages.len();
    messages.extend(side("completion", completion, "assistant")?);
    finish(messages, given, fields)
}

/// Parses `{"instruction", "input"?, "output", "system"?, "history"?}`. The user's turn is the instruction and, on the next line, the input.
pub(super) fn from_instruction(
    instruction: &Value,
    output: &Value,
    fields: &Map<String, Value>,
) -> Result<Conversation, DataError> {
    let mut messages = Vec::new();
    if let Some(history) = get(fields, "history") {
        let history = structured("history", history)?;
        let help = || message!("write [[\"question\", \"answer\"], ...]");
        let Value::Array(turns) = &*history else {
            let error = must_be("history", message!("an array"), kind(&history));
            return Err(DataError { help: help(), ..error });
        };
        for (index, turn) in turns.iter().enumerate() {
            let Some([question, answer]) = turn.as_array().map(Vec::as_slice) else {
                let problem = message!("history[{index}] must be a question and its answer", index);
                return Err(bad(problem, help()));
            };
            messages.push(Message::new("user", string(&format!("history[{index}][0]"), question)?));
            messages.push(Message::new("assistant", string(&format!("history[{index}][1]"), answer)?));
        }
    }
    let mut question = string("instruction", instruction)?;
    if let Some(input) = get(fields, "input") {
        let input = string("input", input)?;
        if !input.is_empty() {
            if !question.is_empty() {
                question.push('\n');
            }
            question.push_str(&input);
        }
    }
    messages.push(Message::new("user", question));
    messages.push(Message::new("assistant", string("output", output)?));
    finish(messages, 0, fields)
}

/// Completes a conversation with the other fields of its row: a system prompt, tools, and variables of the template.
fn finish(
    mut messages: Vec<Message>,
    mut given: usize,
    fields: &Map<String, Value>,
) -> Result<Conversation, DataError> {
    let has_system = messages.first().is_some_and(|message| message.role == "system");
    if let Some(system) = get(fields, "system").filter(|_| !has_system) {
        let system = string("system", system)?;
        if !system.is_empty() {
            messages.insert(0, Message::new("system", system));
            given += usize::from(given > 0);
        }
    }
    let tools = match get(fields, "tools").map(|tools| structured("tools", tools)).transpose()? {
        None => None,
        Some(tools) => match &*tools {
            Value::Array(list) if list.is_empty() => None,
            Value::Array(_) => Some(tools.into_owned()),
            other => return Err(must_be("tools", message!("an array"), kind(other))),
        },
    };
    let variables = match get(fields, "chat_template_kwargs") {
        None => Map::new(),
        Some(value) => match structured("chat_template_kwargs", value)?.into_owned() {
            Value::Object(variables) => variables,
            other => return Err(must_be("chat_template_kwargs", message!("an object"), kind(&other))),
        },
    };
    Ok(Conversation { messages, given, tools, variables })
}

fn parse_turns(name: &str, value: &Value) -> Result<Vec<Message>, DataError> {
    let value = structured(name, value)?;
    let Value::Array(items) = &*value else {
        return Err(DataError { help: HELP, ..must_be(name, message!("an array"), kind(&value)) });
    };
    if items.is_empty() {
        return Err(bad(message!("{name} is empty", name), HELP));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| match item {
            Value::Object(turn) if turn.contains_key("from") && !turn.contains_key("role") => {
                from_sharegpt(&format!("{name}[{index}]"), turn)
            }
            _ => from_openai(&format!("{name}[{index}]"), item),
        })
        .collect()
}

fn from_sharegpt(name: &str, turn: &Map<String, Value>) -> Result<Message, DataError> {
    let from = string(&format!("{name}.from"), turn.get("from").unwrap_or(&Value::Null))?;
    let Some((_, role)) = SPEAKERS.iter().find(|(speaker, _)| speaker.eq_ignore_ascii_case(&from)) else {
        let known: Vec<&str> = SPEAKERS.iter().map(|(speaker, _)| *speaker).collect();
        let known = known.join(", ");
        return Err(bad(message!("{name}.from is {from}; known are {known}", name, ?from, known), ""));
    };
    let value = turn.get("value").ok_or_else(|| {
        let help = message!("write {\"from\": \"human\", \"value\": \"...\"}");
        bad(message!("{name} has no {part}", name, part = "value"), help)
    })?;
    let message = Message::new(*role, string(&format!("{name}.value"), value)?);
    Ok(Message { masked: is_masked(name, turn)?, ..message })
}

/// Whether a turn is not to be learnt: `"weight": 0`, as OpenAI writes it, or `"train": false`, as axolotl does.
fn is_masked(name: &str, turn: &Map<String, Value>) -> Result<bool, DataError> {
    let mut masked = false;
    for field in ["weight", "train", "training"] {
        masked |= match turn.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(learnt)) => !learnt,
            Some(Value::Number(weight)) if weight.as_f64() == Some(0.0) => true,
            Some(Value::Number(weight)) if weight.as_f64() == Some(1.0) => false,
            Some(other) => {
                let problem = message!("{name}.{field} is {value}", name, field, value = short(other));
                let help = message!("write 0 or false for a turn that is not learnt, else 1 or true");
                return Err(bad(problem, help));
            }
        };
    }
    match turn.get("train_detail").filter(|detail| detail.as_array().is_none_or(|list| !list.is_empty())) {
        None | Some(Value::Null) => Ok(masked),
        Some(_) => Err(bad(
            message!(
                "{name}.train_detail sets which characters of a turn are learnt; a turn is learnt whole or not",
                name
            ),
            message!("remove it, and write \"train\": false where a turn is not learnt"),
        )),
    }
}

fn from_openai(name: &str, item: &Value) -> Result<Message, DataError> {
    let lacks = |part: &str| bad(message!("{name} has no {part}", name, part), HELP);
    let Some(role) = item.get("role") else { return Err(lacks("role")) };
    let role = string(&format!("{name}.role"), role)?;
    let fields: Map<String, Value> = item
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| !matches!(field.as_str(), "role" | "content") && !value.is_null())
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    let calls = match fields.get("tool_calls") {
        Some(Value::Array(calls)) => !calls.is_empty(),
        _ => fields.contains_key("function_call"),
    };
    let message = match item.get("content") {
        // An assistant's turn that only calls a tool has no content.
        None | Some(Value::Null) if calls => Message { content_is_none: true, ..Message::new(role, "") },
        None => return Err(lacks("content")),
        Some(Value::Array(parts)) => Message::new(role, join(&format!("{name}.content"), parts)?),
        Some(content) => Message::new(role, string(&format!("{name}.content"), content)?),
    };
    let masked = item.as_object().map_or(Ok(false), |turn| is_masked(name, turn))?;
    Ok(Message { masked, fields, ..message })
}

/// Joins `[{"type": "text", "text": "..."}]` to one text.
fn join(name: &str, parts: &[Value]) -> Result<String, DataError> {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let words = part.get("text").filter(|_| part.get("type").is_none_or(|sort| sort == "text"));
        match words.and_then(Value::as_str) {
            Some(words) => text.push_str(words),
            None => {
                let problem = message!("{name}[{index}] is not text", name, index);
                return Err(bad(problem, message!("images and sounds are not learnt")));
            }
        }
    }
    Ok(text)
}
