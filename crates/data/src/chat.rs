//! Renders a conversation by the model's Jinja chat template, as Transformers renders it.

use std::collections::BTreeMap;
use std::ops::Range;

use lorelei_recipe::message;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use crate::clock;
use crate::error::{DataError, DataErrorKind};
use crate::panics::caught;
use crate::python_json::tojson;
use crate::template_changes::calls;
use crate::template_guard::guard;
use crate::template_marks::{self, Turn};
use crate::{template_source, template_values};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The speaker: `system`, `user`, `assistant`, or another role that the template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
    /// Whether the turn has no text at all (`"content": null`), as one that only calls tools: a template that asks for it sees none.
    pub content_is_none: bool,
    /// Other fields that the template may read: `tool_calls`, `name`, `reasoning_content`, ...
    pub fields: Map<String, Json>,
    /// Whether the turn is not to be learnt (`"weight": 0`, `"train": false`).
    pub masked: bool,
}

impl Message {
    /// Creates a turn of `role` with the text `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }

    /// Returns the message as a template sees it. `none_content` is the value of a content that is none.
    fn value(&self, index: usize, none_content: &Value) -> Value {
        let content = match self.content_is_none {
            true => none_content.clone(),
            false => Value::from(self.content.as_str()),
        };
        let own = [("role", Value::from(self.role.as_str())), ("content", content)];
        let more = self.fields.iter().map(|(name, value)| (name.as_str(), of_json(value)));
        // Transformers passes a thought under the name that templates read and under gpt-oss's, whatever its name in the data is.
        let thought = REASONING_FIELDS.iter().find_map(|name| self.fields.get(*name)).map(of_json);
        let first = thought.iter().map(|thought| ("thinking", thought.clone()));
        let last = thought.iter().map(|thought| ("reasoning_content", thought.clone()));
        let pairs: Vec<_> = first.chain(own).chain(more).chain(last).collect();
        Value::from_object(Turn::new(index, Value::from_pairs(pairs)))
    }

    /// The thought that precedes the text, where it is a field of its own.
    pub(crate) fn reasoning(&self) -> Option<&str> {
        REASONING_FIELDS.iter().find_map(|name| self.fields.get(*name)?.as_str())
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

    /// Whether a text of it has a character that marks use.
    fn has_marks(&self) -> bool {
        let fields = |message: &Message| message.fields.values().any(json_has_marks);
        self.messages.iter().any(|message| {
            template_marks::has_marks(&message.content)
                || template_marks::has_marks(&message.role)
                || fields(message)
        }) || self.tools.as_ref().is_some_and(json_has_marks)
            || self.variables.values().any(json_has_marks)
    }
}

fn json_has_marks(value: &Json) -> bool {
    match value {
        Json::String(text) => template_marks::has_marks(text),
        Json::Array(items) => items.iter().any(json_has_marks),
        Json::Object(fields) => {
            fields.iter().any(|(name, value)| template_marks::has_marks(name) || json_has_marks(value))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The text.
    pub(crate) text: String,
    /// Bytes of the text that `{% generation %}` marks; `None` where the template has no such block.
    pub(crate) generated: Option<Vec<Range<usize>>>,
    /// Bytes of each message's turn, from its header to its end token; `None` where the template does not write it in one piece, or in a loop over
    /// the messages.
    pub(crate) turns: Vec<Option<Range<usize>>>,
}

/// Limit of one rendering: about as many template instructions, and 64 bytes of text for each. Transformers' longest templates take a few thousand
/// instructions for a conversation; a template that loops for ever stops within seconds.
const FUEL: u64 = 4_000_000;

/// Limit of blocks inside blocks while rendering, a call of a macro counting as four.
const MAX_RECURSION: usize = 200;

const NAME: &str = "chat_template";

/// Name of the same template with calls that mark the turns.
const MARKED: &str = "marked_chat_template";

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
    generates: bool,
    /// Whether there is a form of it that marks the turns.
    marks_turns: bool,
    /// Value of a content that is none: none where the template asks for it, else an empty text, which no template takes for a word.
    none_content: Value,
}

impl ChatTemplate {
    /// Compiles `source`, which sees the special tokens by name and, with `adds_bos`, a variable of that name. `{% generation %}` blocks
    /// become calls of a function that marks the rendered text of the block. So white space and scopes are the same as in Transformers, where the
    /// block is a call, too.
    pub(crate) fn compile(
        source: &str,
        special_tokens: &BTreeMap<String, String>,
        adds_bos: bool,
    ) -> Result<Self, DataError> {
        let mut environment = Environment::new();
        let whitespace = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = whitespace.map_err(|error| template_error(&error))?;
        environment.set_syntax(syntax.clone());
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.add_filter("tojson", tojson);
        // In Python, none is not iterable, and what is undefined is.
        environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
        });
        template_marks::add_functions(&mut environment);
        template_values::add_functions(&mut environment);
        // Jinja2 does so with every template.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        template_source::check(&source, &syntax).map_err(|error| template_error(&error))?;
        let none_content = if asks_for_none(&source) { Value::from(()) } else { Value::from("") };
        let instrumented = template_marks::instrument(&source);
        let mut add =
            |name: &'static str, source: &str| environment.add_template_owned(name, guard(source, &syntax)?);
        add(NAME, &instrumented.plain).map_err(|error| template_error(&error))?;
        let marks_turns = add(MARKED, &instrumented.marked).is_ok();
        let mut variables: BTreeMap<String, Value> =
            special_tokens.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str()))).collect();
        // Transformers always passes these, so a template may test them without `is defined`.
        variables.insert("tools".to_owned(), Value::from(()));
        variables.insert("documents".to_owned(), Value::from(()));
        if adds_bos {
            variables.insert("adds_bos".to_owned(), Value::from(true));
        }
        let generates = instrumented.generates;
        let template = Self { environment, variables, generates, marks_turns, none_content };
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
    ) -> Result<String, DataError> {
        let text = self.run(NAME, conversation, turns, add_generation_prompt)?;
        Ok(match self.generates {
            true => template_marks::read(&text, 0).text,
            false => text,
        })
    }

    /// Renders a whole conversation, and finds the text of its turns.
    pub(crate) fn render_marked(&self, conversation: &Conversation) -> Result<Rendered, DataError> {
        let count = conversation.messages.len();
        // A text with the characters of the marks is only rendered.
        let can_mark = self.marks_turns && !conversation.has_marks();
        let marked = can_mark.then(|| self.run(MARKED, conversation, count, false)).transpose();
        // The marked form needs a little more fuel than the template itself, which must decide alone.
        if let Ok(Some(marked)) = marked {
            let found = template_marks::read(&marked, count);
            if !found.captured || self.render(conversation, count, false)? == found.text {
                let generated = self.generates.then_some(found.generated);
                return Ok(Rendered { text: found.text, generated, turns: found.turns });
            }
        }
        if self.generates && conversation.has_marks() {
            return Err(DataError::new(
                DataErrorKind::BadRow,
                message!(
                    "the conversation has one of the characters U+FDD0 to U+FDD4, which mark what is learnt in the template's output"
                ),
                message!("remove them: Unicode reserves them for use inside programs"),
            ));
        }
        let text = self.run(NAME, conversation, count, false)?;
        let turns = vec![None; count];
        Ok(match self.generates {
            false => Rendered { text, generated: None, turns },
            true => {
                let found = template_marks::read(&text, 0);
                Rendered { text: found.text, generated: Some(found.generated), turns }
            }
        })
    }

    fn run(
        &self,
        name: &str,
        conversation: &Conversation,
        turns: usize,
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        let render = |none_content: &Value| {
            let mut context = self.variables.clone();
            let variables = conversation.variables.iter();
            context.extend(variables.map(|(name, value)| (name.clone(), of_json(value))));
            if let Some(tools) = &conversation.tools {
                context.insert("tools".to_owned(), of_json(tools));
            }
            let messages = conversation.messages.iter().take(turns).enumerate();
            let messages: Vec<Value> =
                messages.map(|(index, message)| message.value(index, none_content)).collect();
            context.insert("messages".to_owned(), Value::from(messages));
            context.insert("add_generation_prompt".to_owned(), Value::from(add_generation_prompt));
            let template = self.environment.get_template(name)?;
            let failed = |panic| Err(Error::new(ErrorKind::InvalidOperation, panic));
            caught(|| template.render(Value::from(context))).unwrap_or_else(failed)
        };
        let rendered = render(&self.none_content).or_else(|error| {
            // A template may ask for none in one place and take a text for granted in another.
            let is_none = |message: &&Message| message.content_is_none;
            let without_text: Vec<&Message> =
                conversation.messages.iter().take(turns).filter(is_none).collect();
            if !self.none_content.is_none() || without_text.is_empty() {
                return Err(error);
            }
            let mut names = without_text.iter().flat_map(|message| calls(message));
            match render(&Value::from("")) {
                Ok(text) if names.all(|name| text.contains(name)) => Ok(text),
                _ => Err(error),
            }
        });
        rendered.map_err(|error| template_error(&error))
    }
}

/// Whether a template asks whether a message's content is none.
fn asks_for_none(source: &str) -> bool {
    const QUESTIONS: [&str; 5] = ["is none", "is not none", "is None", "== none", "!= none"];
    source.match_indices("content").any(|(at, word)| {
        let rest = source[at + word.len()..].trim_start_matches(['\'', '"', ']', ')', ' ']);
        QUESTIONS.iter().any(|question| rest.starts_with(question))
    })
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
    let line = error.line().map(|line| message!(", line {line}", line)).unwrap_or_default();
    let detail = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let raised = std::error::Error::source(error).is_some_and(|source| source.is::<Raised>());
    let (problem, help) = match error.kind() {
        _ if raised => (
            message!(
                "the chat template{line}, refuses this conversation: {reason}",
                line,
                reason = error.detail().unwrap_or_default()
            ),
            message!("change the order or the roles of its messages, or use another template"),
        ),
        ErrorKind::OutOfFuel => (
            message!("the chat template{line}, ran for too long and was stopped", line),
            message!("it loops without end, or the conversation is very long"),
        ),
        _ => (
            message!("the chat template{line}: {reason}", line, reason = detail),
            message!("correct the template, or give another one"),
        ),
    };
    DataError::new(DataErrorKind::Template, problem, help)
}
