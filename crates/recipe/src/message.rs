//! Messages that keep their template and its arguments beside their English text, so that a page can say them in its language.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A text for users: an English template with `{names}`, and the values that stand for the names. Dereferences to the English text.
///
/// [`message!`](crate::message!) makes one. A plain string is a message too, one without a template, which is the same in every language. An argument
/// is a message itself: a value is a plain string, a part of the sentence has a template of its own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Message(Inner);

/// A message as it is kept: no larger than a string, as errors have several.
#[derive(Clone)]
enum Inner {
    /// A text without a template.
    Plain(Cow<'static, str>),
    /// A template without arguments.
    Fixed(&'static str),
    Filled(Box<Filled>),
}

/// A template with its arguments, and the text in English.
#[derive(Clone)]
struct Filled {
    text: String,
    template: Cow<'static, str>,
    arguments: Arguments,
}

type Arguments = BTreeMap<Cow<'static, str>, Message>;

static NO_ARGUMENTS: Arguments = BTreeMap::new();

/// Form of a message in JSON: a string, or template and arguments, of which the English text is made again.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Plain(Cow<'static, str>),
    Filled {
        template: Cow<'static, str>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        arguments: Arguments,
    },
}

impl Message {
    /// Makes a message without arguments. [`message!`](crate::message!) does so for a literal.
    pub const fn fixed(template: &'static str) -> Self {
        Self(Inner::Fixed(template))
    }

    /// Makes a message of a template and its arguments. [`message!`](crate::message!) does so and checks that each name has its value.
    pub fn new<const COUNT: usize>(
        template: &'static str,
        arguments: [(&'static str, Message); COUNT],
    ) -> Self {
        let arguments = arguments.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        Self::of(Cow::Borrowed(template), arguments.collect())
    }

    fn of(template: Cow<'static, str>, arguments: Arguments) -> Self {
        let value = |name: &str| arguments.get(name).map(|value| Cow::Borrowed(value.as_str()));
        let text = filled(&template, value);
        Self(Inner::Filled(Box::new(Filled { text, template, arguments })))
    }

    /// Returns the English text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Inner::Plain(text) => text,
            Inner::Fixed(text) => text,
            Inner::Filled(message) => &message.text,
        }
    }

    /// Returns the template, if there is one.
    pub fn template(&self) -> Option<&str> {
        match &self.0 {
            Inner::Plain(_) => None,
            Inner::Fixed(template) => Some(template),
            Inner::Filled(message) => Some(&message.template),
        }
    }

    fn arguments(&self) -> &Arguments {
        match &self.0 {
            Inner::Plain(_) | Inner::Fixed(_) => &NO_ARGUMENTS,
            Inner::Filled(message) => &message.arguments,
        }
    }

    /// Returns the argument `name`.
    pub fn argument(&self, name: &str) -> Option<&Message> {
        self.arguments().get(name)
    }

    /// Returns the text in another language, whose templates `look_up` finds by the English ones. What it does not find stays English.
    pub fn translated(&self, look_up: &dyn Fn(&str) -> Option<&'static str>) -> String {
        let Some(template) = self.template() else { return self.as_str().to_owned() };
        filled(look_up(template).unwrap_or(template), |name| {
            self.argument(name).map(|value| Cow::Owned(value.translated(look_up)))
        })
    }

    /// Returns the message with plain values of more than `most` characters cut off, for a transport.
    pub fn cut_at(self, most: usize) -> Self {
        match self.0 {
            Inner::Plain(text) => match text.char_indices().nth(most) {
                Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
                None => Self(Inner::Plain(text)),
            },
            Inner::Fixed(template) => Self::fixed(template),
            Inner::Filled(message) => {
                let arguments = message.arguments.into_iter();
                Self::of(
                    message.template,
                    arguments.map(|(name, value)| (name, value.cut_at(most))).collect(),
                )
            }
        }
    }
}

/// Replaces the `{names}` in a text by their values. The values are not searched for names, and a name without a value stays.
pub fn filled<'v>(text: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}').and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

impl Deref for Message {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Default for Message {
    fn default() -> Self {
        Self(Inner::Plain(Cow::Borrowed("")))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.template() == other.template()
            && self.as_str() == other.as_str()
            && self.arguments() == other.arguments()
    }
}

impl Eq for Message {}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self(Inner::Plain(Cow::Owned(text)))
    }
}

impl From<Message> for String {
    fn from(message: Message) -> Self {
        match message.0 {
            Inner::Plain(text) => text.into_owned(),
            Inner::Fixed(text) => text.to_owned(),
            Inner::Filled(message) => message.text,
        }
    }
}

impl From<&Message> for Message {
    fn from(message: &Message) -> Self {
        message.clone()
    }
}

impl From<Form> for Message {
    fn from(form: Form) -> Self {
        match form {
            Form::Plain(text) => Self(Inner::Plain(text)),
            Form::Filled { template, arguments } => Self::of(template, arguments),
        }
    }
}

impl From<Message> for Form {
    fn from(message: Message) -> Self {
        match message.0 {
            Inner::Plain(text) => Form::Plain(text),
            Inner::Fixed(template) => {
                Form::Filled { template: Cow::Borrowed(template), arguments: BTreeMap::new() }
            }
            Inner::Filled(message) => {
                Form::Filled { template: message.template, arguments: message.arguments }
            }
        }
    }
}

/// Makes plain messages of values by their `Display`.
macro_rules! values {
    ($($type:ty),*) => {
        $(impl From<$type> for Message {
            fn from(value: $type) -> Self {
                value.to_string().into()
            }
        })*
    };
}

values!(&str, &&str, &String, char, bool, u8, i32, u32, u64, usize, i64, f64, &u32, &u64, &usize, &i64, &f64);

/// Makes a [`Message`] of a template and its arguments: `message!("{key} = {value} is above {most}", key, ?value, most = 2 * limit)`.
///
/// An argument is a name in scope, or `name = expression`; `?` before either takes the value's `Debug`, as in quotes. A name without an argument and
/// an argument without a name do not compile. The templates of all calls stand in the page's table of translations, as a test of the page's checks.
#[macro_export]
macro_rules! message {
    ($template:literal $(,)?) => {
        $crate::Message::fixed($template)
    };
    ($template:literal, $($arguments:tt)+) => {
        $crate::message!(@ $template [] $($arguments)+)
    };
    (@ $template:literal [$(($name:ident $value:expr))*]) => {{
        if false {
            let _ = ::std::format!(::std::concat!($template), $($name = ""),*);
        }
        $crate::Message::new($template, [$((::std::stringify!($name), ::std::convert::Into::<$crate::Message>::into($value))),*])
    }};
    (@ $template:literal [$($done:tt)*] ? $name:ident $(, $($rest:tt)*)?) => {
        $crate::message!(@ $template [$($done)* ($name ::std::format!("{:?}", $name))] $($($rest)*)?)
    };
    (@ $template:literal [$($done:tt)*] $name:ident = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::message!(@ $template [$($done)* ($name ::std::format!("{:?}", $value))] $($($rest)*)?)
    };
    (@ $template:literal [$($done:tt)*] $name:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::message!(@ $template [$($done)* ($name $value)] $($($rest)*)?)
    };
    (@ $template:literal [$($done:tt)*] $name:ident $(, $($rest:tt)*)?) => {
        $crate::message!(@ $template [$($done)* ($name $name)] $($($rest)*)?)
    };
}
