//! Renders a conversation by the model's Jinja chat template, as Transformers renders it.

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

use crate::clock;
use crate::error::{DataError, DataErrorKind};
use crate::python_json::tojson;
use crate::tokenizer_config::TokenizerConfig;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The speaker: `system`, `user`, `assistant`, or another role that the template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
    /// Other fields that the template may read: `tool_calls`, `name`, `reasoning_content`, ...
    pub fields: Map<String, Json>,
}

impl Message {
    /// Creates a turn of `role` with the text `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), fields: Map::new() }
    }

    fn value(&self) -> Value {
        let own =
            [("role", Value::from(self.role.as_str())), ("content", Value::from(self.content.as_str()))];
        let more = self.fields.iter().map(|(name, value)| (name.as_str(), of_json(value)));
        // Transformers passes a thought under the name that templates read and under gpt-oss's, whatever its name in the data is.
        let thought = REASONING_FIELDS.iter().find_map(|name| self.fields.get(*name)).map(of_json);
        let first = thought.iter().map(|thought| ("thinking", thought.clone()));
        let last = thought.iter().map(|thought| ("reasoning_content", thought.clone()));
        let pairs: Vec<_> = first.chain(own).chain(more).chain(last).collect();
        Value::from_pairs(pairs)
    }
}

/// Names under which a message has the thought that precedes its text.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A conversation with the other inputs of its template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The turns.
    pub messages: Vec<Message>,
    /// Number of first turns that are a prompt: they are given, not learnt.
    pub given: usize,
    /// The tools that the model may call, as JSON schemas.
    pub tools: Option<Json>,
    /// Variables of the template (`chat_template_kwargs`), such as `enable_thinking`.
    pub variables: Map<String, Json>,
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }
}

impl Conversation {
    /// Approximate number of bytes of text.
    pub(crate) fn size(&self) -> usize {
        self.messages.iter().map(|message| message.content.len()).sum()
    }
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The text.
    pub(crate) text: String,
    /// Bytes of the text that `{% generation %}` marks; `None` where the template has no such block.
    pub(crate) generated: Option<Vec<Range<usize>>>,
}

/// Limit of one rendering: about as many template instructions, and 64 bytes of text for each. Transformers' longest templates take a few thousand
/// instructions for a conversation; a template that loops for ever stops within a second.
const FUEL: u64 = 2_000_000;

const NAME: &str = "chat_template";

/// The ChatML template, for a model that has none. A turn ends with the model's own end token where it has one, so that generation stops there.
pub(crate) const DEFAULT_TEMPLATE: &str = "\
{%- if adds_bos is defined %}{{ bos_token }}{% endif %}\
{%- set end_of_turn = eos_token if eos_token is defined else '<|im_end|>' %}\
{%- for message in messages %}\
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + end_of_turn + '\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}";

/// A compiled chat template with the variables that do not depend on the conversation.
#[derive(Debug, Clone)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    variables: BTreeMap<String, Value>,
    /// Whether it has `{% generation %}` blocks.
    marks: bool,
}

impl ChatTemplate {
    /// Compiles `source`, which sees the config's special tokens by name and, with `adds_bos`, a variable of that name. `{% generation %}` blocks
    /// become calls of a function that marks the rendered text of the block. So white space and scopes are the same as in Transformers, where the
    /// block is a call, too.
    pub(crate) fn compile(source: &str, config: &TokenizerConfig, adds_bos: bool) -> Result<Self, DataError> {
        let mut environment = Environment::new();
        let whitespace = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(whitespace.map_err(|error| template_error(&error))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
        });
        environment.add_function(GENERATION, |state: &mut State, options: Kwargs| -> Result<Value, Error> {
            let caller: Value = options.get("caller")?;
            let text = caller.call(state, &[])?;
            Ok(Value::from_safe_string(format!("{BEGIN}{text}{END}")))
        });
        // Jinja2 does so with every template.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        let (source, marks) = with_generation_calls(&source);
        environment.add_template_owned(NAME, source).map_err(|error| template_error(&error))?;
        let mut variables: BTreeMap<String, Value> = config
            .special_tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::from(token.as_str())))
            .collect();
        // Transformers always passes these, so a template may test them without `is defined`.
        variables.insert("tools".to_owned(), Value::from(()));
        variables.insert("documents".to_owned(), Value::from(()));
        if adds_bos {
            variables.insert("adds_bos".to_owned(), Value::from(true));
        }
        let template = Self { environment, variables, marks };
        Ok(match clock::now() {
            Some(now) => template.with_now(now),
            None => template,
        })
    }

    /// Sets the current time for `strftime_now`, in seconds since 1970 (UTC).
    pub(crate) fn with_now(mut self, seconds: i64) -> Self {
        self.environment.add_function("strftime_now", move |format: String| {
            clock::strftime(seconds, &format)
                .map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
        });
        self
    }

    /// Renders the first `turns` of a conversation as text.
    pub(crate) fn render(
        &self,
        conversation: &Conversation,
        turns: usize,
        add_generation_prompt: bool,
    ) -> Result<Rendered, DataError> {
        let mut context = self.variables.clone();
        let variables = conversation.variables.iter();
        context.extend(variables.map(|(name, value)| (name.clone(), of_json(value))));
        if let Some(tools) = &conversation.tools {
            context.insert("tools".to_owned(), of_json(tools));
        }
        let messages: Vec<Value> = conversation.messages.iter().take(turns).map(Message::value).collect();
        context.insert("messages".to_owned(), Value::from(messages));
        context.insert("add_generation_prompt".to_owned(), Value::from(add_generation_prompt));
        let text = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from(context)))
            .map_err(|error| template_error(&error))?;
        Ok(match self.marks {
            true => without_marks(&text),
            false => Rendered { text, generated: None },
        })
    }
}

/// Converts JSON to the value that a template sees.
fn of_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(of_json).collect::<Vec<_>>()),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), of_json(value))))
        }
    }
}

/// Marks an error that the template itself raised.
#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised;

fn template_error(error: &Error) -> DataError {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let detail = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let raised = std::error::Error::source(error).is_some_and(|source| source.is::<Raised>());
    let (problem, help) = match error.kind() {
        _ if raised => (
            format!(
                "the chat template{line}, refuses this conversation: {}",
                error.detail().unwrap_or_default()
            ),
            "change the order or the roles of its messages, or use another template",
        ),
        ErrorKind::OutOfFuel => (
            format!("the chat template{line}, ran for too long and was stopped"),
            "it loops without end, or the conversation is very long",
        ),
        _ => (format!("the chat template{line}: {detail}"), "correct the template, or give another one"),
    };
    DataError::new(DataErrorKind::Template, problem, help)
}

/// Name of the function that marks the assistant's text in a template.
const GENERATION: &str = "lorelei_generation";

/// Marks around the rendered text of a `{% generation %}` block. No text has these two characters: Unicode reserves them for use inside a program.
const BEGIN: char = '\u{FDD0}';
const END: char = '\u{FDD1}';

/// Removes the marks from a rendering and returns their places. A block inside a block is a part of it.
fn without_marks(marked: &str) -> Rendered {
    let mut text = String::with_capacity(marked.len());
    let mut generated: Vec<Range<usize>> = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for piece in marked.split_inclusive([BEGIN, END]) {
        let Some(words) = piece.strip_suffix(BEGIN) else {
            match piece.strip_suffix(END) {
                Some(words) => {
                    text.push_str(words);
                    depth = depth.saturating_sub(1);
                    if depth == 0 && start < text.len() {
                        generated.push(start..text.len());
                    }
                }
                None => text.push_str(piece),
            }
            continue;
        };
        text.push_str(words);
        if depth == 0 {
            start = text.len();
        }
        depth += 1;
    }
    Rendered { text, generated: Some(generated) }
}

/// Writes `{% generation %}` as a `{% call %}` and its end as `endcall`. Returns whether there was one.
fn with_generation_calls(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut found = false;
    while let Some(at) = rest.find("{%") {
        let inside = &rest[at + 2..];
        let tag = inside.trim_start_matches(['-', '+']).trim_start();
        let word = tag.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next();
        let lead = inside.len() - tag.len();
        out.push_str(&rest[..at + 2 + lead]);
        match word {
            Some("generation") => out.push_str(&format!("call {GENERATION}()")),
            Some("endgeneration") => out.push_str("endcall"),
            _ => {
                rest = tag;
                continue;
            }
        }
        found = true;
        rest = &tag[word.map_or(0, str::len)..];
    }
    out.push_str(rest);
    (out, found)
}
