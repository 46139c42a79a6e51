//! A conversation as the model wants to read it: its Jinja chat template, rendered as Transformers renders it.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::clock;
use crate::error::{DataError, DataErrorKind};
use crate::python_json::tojson;
use crate::tokenizer_config::TokenizerConfig;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// The words.
    pub content: String,
}

/// What one rendering may spend: about as many template instructions, and 64 bytes of text for each. Transformers'
/// longest templates take a few thousand for a conversation; a template that loops for ever stops within a second.
const FUEL: u64 = 2_000_000;

const NAME: &str = "chat_template";

/// For a model that has none: ChatML. A turn ends with the model's own end token where it has one, so that generation
/// stops there.
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
}

impl ChatTemplate {
    /// Compiles `source`, which sees the config's special tokens by name and, with `adds_bos`, a variable of that name.
    /// `{% generation %}` blocks, which only mark the assistant's words, are rendered as if the marks were not there.
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
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| template_error(&error))?;
        let mut variables: BTreeMap<String, Value> = config
            .special_tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::from(token.as_str())))
            .collect();
        // Transformers passes these always, so a template may test them without `is defined`.
        variables.insert("tools".to_owned(), Value::from(()));
        variables.insert("documents".to_owned(), Value::from(()));
        if adds_bos {
            variables.insert("adds_bos".to_owned(), Value::from(true));
        }
        let template = Self { environment, variables };
        Ok(match clock::now() {
            Some(now) => template.with_now(now),
            None => template,
        })
    }

    /// Sets what `strftime_now` takes for now, in seconds since 1970 (UTC).
    pub(crate) fn with_now(mut self, seconds: i64) -> Self {
        self.environment.add_function("strftime_now", move |format: String| {
            clock::strftime(seconds, &format)
                .map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
        });
        self
    }

    pub(crate) fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        let message = |message: &Message| -> Value {
            Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
        };
        let mut context = self.variables.clone();
        context.insert("messages".to_owned(), Value::from(messages.iter().map(message).collect::<Vec<_>>()));
        context.insert("add_generation_prompt".to_owned(), Value::from(add_generation_prompt));
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from(context)))
            .map_err(|error| template_error(&error))
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

/// Writes `{% generation %}` as `{% if true %}` and its end as `endif`: the whitespace rules and the line numbers stay.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let inside = &rest[at + 2..];
        let tag = inside.trim_start_matches(['-', '+']).trim_start();
        let word = tag.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next();
        let replacement = match word {
            Some("generation") => "if true",
            Some("endgeneration") => "endif",
            _ => {
                out.push_str(&rest[..at + 2]);
                rest = inside;
                continue;
            }
        };
        let lead = inside.len() - tag.len();
        out.push_str(&rest[..at + 2 + lead]);
        out.push_str(replacement);
        rest = &tag[word.map_or(0, str::len)..];
    }
    out.push_str(rest);
    out
}
