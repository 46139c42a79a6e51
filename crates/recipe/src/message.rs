//! Messages that keep their template and its arguments beside their English text, so that a page can say them in its language.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A text for users: an English template with `{names}`, and the values that stand for the names. Dereferences to the English text.
///
/// [`message!`](crate::message) makes one. A plain string is a message too, one without a template, which is the same in every language. An argument
/// is a message itself: a value is a plain string, a part of the sentence has a template of its own.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Message {
    /// The text in English.
    text: Cow<'static, str>,
    /// The template; empty where there is none.
    template: Cow<'static, str>,
    arguments: Arguments,
}

type Arguments = BTreeMap<Cow<'static, str>, Message>;

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
    /// Makes a message without arguments. [`message!`](crate::message) does so for a literal.
    pub const fn fixed(template: &'static str) -> Self {
        Self { text: Cow::Borrowed(template), template: Cow::Borrowed(template), arguments: BTreeMap::new() }
    }

    /// Makes a message of a template and its arguments. [`message!`](crate::message) does so and checks that each name has its value.
    pub fn new<const COUNT: usize>(
        template: &'static str,
        arguments: [(&'static str, Message); COUNT],
    ) -> Self {
        let arguments = arguments.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        Self::of(Cow::Borrowed(template), arguments.collect())
    }

    fn of(template: Cow<'static, str>, arguments: Arguments) -> Self {
        let value = |name: &str| arguments.get(name).map(|value| Cow::Borrowed(&*value.text));
        let text = Cow::Owned(filled(&template, value));
        Self { text, template, arguments }
    }

    /// Returns the English text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the template, if there is one.
    pub fn template(&self) -> Option<&str> {
        Some(&*self.template).filter(|template| !template.is_empty())
    }

    /// Returns the argument `name`.
    pub fn argument(&self, name: &str) -> Option<&Message> {
        self.arguments.get(name)
    }

    /// Returns the text in another language, whose templates `look_up` finds by the English ones. What it does not find stays English.
    pub fn translated(&self, look_up: &dyn Fn(&str) -> Option<&'static str>) -> String {
        let Some(template) = self.template() else { return self.text.clone().into_owned() };
        let template = look_up(template).unwrap_or(template);
        filled(template, |name| self.arguments.get(name).map(|value| Cow::Owned(value.translated(look_up))))
    }

    /// Returns the message with plain values of more than `most` characters cut off, for a transport.
    pub fn cut_at(self, most: usize) -> Self {
        if self.template.is_empty() {
            return match self.text.char_indices().nth(most) {
                Some((at, _)) => format!("{}…", self.text.get(..at).unwrap_or_default()).into(),
                None => self,
            };
        }
        let arguments = self.arguments.into_iter().map(|(name, value)| (name, value.cut_at(most)));
        Self::of(self.template, arguments.collect())
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
        &self.text
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text: Cow::Owned(text), ..Self::default() }
    }
}

impl From<Message> for String {
    fn from(message: Message) -> Self {
        message.text.into_owned()
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
            Form::Plain(text) => Self { text, ..Self::default() },
            Form::Filled { template, arguments } => Self::of(template, arguments),
        }
    }
}

impl From<Message> for Form {
    fn from(Message { text, template, arguments }: Message) -> Self {
        if template.is_empty() { Form::Plain(text) } else { Form::Filled { template, arguments } }
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
