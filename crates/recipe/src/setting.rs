//! A setting declared once: [`settings!`] makes a section's struct, its defaults and its rows in the table of settings from one list.

use crate::Kind;
use crate::fields::{Field, Shown, State, Table};
use crate::host::{Effect, HostKind, Limit};
use crate::text::Bilingual;

/// What a setting has beside its name, type, default and documentation.
///
/// A row begins with the values that it takes and its documentation in Chinese, `Kind::Bool.zh("…")`; the rest follows where there is
/// something to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    kind: Kind,
    chinese: &'static str,
    advice: Option<Bilingual>,
    upstream: Option<&'static str>,
    state: State,
    shown: Shown,
    limit: Option<Limit>,
}

impl Kind {
    /// Begins a row: the documentation in Chinese.
    pub(crate) const fn zh(self, chinese: &'static str) -> About {
        About {
            kind: self,
            chinese,
            advice: None,
            upstream: None,
            state: State::Supported,
            shown: Shown::More,
            limit: None,
        }
    }
}

impl About {
    /// What to choose, from experience: a sentence or two, in English and in Chinese.
    pub(crate) const fn advice(self, english: &'static str, chinese: &'static str) -> Self {
        Self { advice: Some(Bilingual { english, chinese }), ..self }
    }

    /// The default in PEFT or Transformers where it is another; see [`Field::upstream`].
    pub(crate) const fn upstream(self, default: &'static str) -> Self {
        Self { upstream: Some(default), ..self }
    }

    /// A name that is neither PEFT's nor Transformers'.
    pub(crate) const fn ours(self) -> Self {
        self.upstream(Field::OURS)
    }

    /// It is kept in a recipe and makes no difference.
    pub(crate) const fn ignored(self, reason: &'static str) -> Self {
        Self { state: State::Ignored(reason), ..self }
    }

    /// The form shows it among those that most runs touch.
    pub(crate) const fn shown_first(self) -> Self {
        Self { shown: Shown::First, ..self }
    }

    /// The form has no input for it: it follows from the files that are chosen.
    pub(crate) const fn chosen(self) -> Self {
        Self { shown: Shown::Elsewhere, ..self }
    }

    /// The page does not honour it: a value other than the default gives a warning there.
    pub(crate) const fn ignored_by_page(self, english: &'static str, chinese: &'static str) -> Self {
        self.limited(Effect::Ignored, english, chinese)
    }

    /// The page does not honour it: a value other than the default is an error there, since it changes what is learnt.
    pub(crate) const fn refused_by_page(self, english: &'static str, chinese: &'static str) -> Self {
        self.limited(Effect::Refused, english, chinese)
    }

    /// Values, as JSON, that say what the page does anyway.
    pub(crate) const fn unless(self, harmless: &'static [&'static str]) -> Self {
        let limit = match self.limit {
            Some(limit) => Some(Limit { harmless, ..limit }),
            None => None,
        };
        Self { limit, ..self }
    }

    const fn limited(self, effect: Effect, english: &'static str, chinese: &'static str) -> Self {
        let reason = Bilingual { english, chinese };
        Self { limit: Some(Limit { host: HostKind::Page, effect, reason, harmless: &[] }), ..self }
    }

    /// The row of the table.
    pub(crate) const fn field(
        self,
        table: Table,
        name: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> Field {
        let upstream = match self.upstream {
            Some(upstream) => upstream,
            None => default,
        };
        Field {
            table,
            name,
            kind: self.kind,
            default,
            upstream,
            harmless: &[],
            state: self.state,
            doc: doc.trim_ascii(),
            chinese: self.chinese,
            advice: self.advice,
            shown: self.shown,
            limit: self.limit,
        }
    }
}

/// A value that a literal in a row stands for.
pub(crate) trait FromLiteral<T> {
    fn from_literal(literal: T) -> Self;
}

/// Implements [`FromLiteral`] by an expression.
macro_rules! literals {
    ($($literal:ty => $type:ty: $convert:expr;)*) => {
        $(impl FromLiteral<$literal> for $type {
            fn from_literal(literal: $literal) -> Self {
                $convert(literal)
            }
        })*
    };
}

literals! {
    bool => bool: std::convert::identity;
    bool => crate::InitLoraWeights: crate::InitLoraWeights::Bool;
    u32 => u64: u64::from;
    u32 => usize: |literal| literal as usize;
    i64 => i64: std::convert::identity;
    u32 => f64: f64::from;
    f64 => f64: std::convert::identity;
    &'static str => String: String::from;
}

/// Declares the settings of a section, one a row:
///
/// ```text
/// /// Documentation, of the struct's field and of the table.
/// #[serde(…)]
/// name: Type = default => Kind.zh("documentation in Chinese").advice("…", "…").shown_first();
/// ```
///
/// A default is a literal, `None`, `{}` (empty), or a variant of an enum made by `choices!`; a negative number stands in parentheses.
macro_rules! settings {
    ($(#[$outer:meta])* pub struct $Section:ident in $table:ident {
        $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])?
        $name:ident: $type:ty = $default:tt $(:: $variant:ident)? => $about:expr;)+
    }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Section {
            $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $name: $type,)+
        }

        impl Default for $Section {
            fn default() -> Self {
                Self { $($name: crate::setting::default_value!($default $(:: $variant)?),)+ }
            }
        }

        impl $Section {
            /// Rows of the table of settings.
            pub(crate) const FIELDS: &'static [crate::fields::Field] = &[$(crate::setting::About::field(
                $about,
                crate::fields::Table::$table,
                stringify!($name),
                crate::setting::default_json!($default $(:: $variant)?),
                concat!($($doc),+),
            )),+];
        }
    };
}

/// The default of a row as a value.
macro_rules! default_value {
    (None) => {
        None
    };
    ({}) => {
        Default::default()
    };
    ((-$number:literal)) => {
        crate::setting::FromLiteral::from_literal(-$number)
    };
    ($literal:literal) => {
        crate::setting::FromLiteral::from_literal($literal)
    };
    ($Choice:ident :: $variant:ident) => {
        $Choice::$variant
    };
}

/// The default of a row as JSON.
macro_rules! default_json {
    (None) => {
        "null"
    };
    ({}) => {
        "{}"
    };
    ((-$number:literal)) => {
        concat!("-", stringify!($number))
    };
    ($literal:literal) => {
        stringify!($literal)
    };
    ($Choice:ident :: $variant:ident) => {
        $Choice::$variant.json()
    };
}

pub(crate) use {default_json, default_value, settings};
