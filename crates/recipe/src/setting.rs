//! Declaration of settings: [`settings!`] makes a section's struct, its defaults and its rows in the table of settings from one list.

use crate::Kind;
use crate::fields::{Field, Shown, State, Table};
use crate::host::{Effect, HostKind, Limit};
use crate::text::Bilingual;

/// Properties of a setting beside its name, type, default and documentation.
///
/// A row begins with the values that the setting takes and its documentation in Chinese, `Kind::Bool.zh("…")`. Further properties follow if the
/// setting has any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    kind: Kind,
    chinese: &'static str,
    advice: Option<Bilingual>,
    upstream: Option<&'static str>,
    state: State,
    shown: Shown,
    limit: Option<Limit>,
    free_on_resume: bool,
}

impl Kind {
    /// Begins a row, with the documentation in Chinese.
    pub(crate) const fn zh(self, chinese: &'static str) -> About {
        About {
            kind: self,
            chinese,
            advice: None,
            upstream: None,
            state: State::Supported,
            shown: Shown::More,
            limit: None,
            free_on_resume: false,
        }
    }
}

impl About {
    /// Adds advice on the value to choose, from experience: a sentence or two, in English and in Chinese.
    pub(crate) const fn advice(self, english: &'static str, chinese: &'static str) -> Self {
        Self { advice: Some(Bilingual { english, chinese }), ..self }
    }

    /// Sets the default in PEFT or Transformers, if it differs from Lorelei's: [`Field::upstream`].
    pub(crate) const fn upstream(self, default: &'static str) -> Self {
        Self { upstream: Some(default), ..self }
    }

    /// Marks the setting as neither PEFT's nor Transformers'.
    pub(crate) const fn ours(self) -> Self {
        self.upstream(Field::OURS)
    }

    /// Marks the setting as kept in a recipe and without effect, for a reason.
    pub(crate) const fn ignored(self, reason: &'static str) -> Self {
        Self { state: State::Ignored(reason), ..self }
    }

    /// Shows the setting in the form among those that most runs change.
    pub(crate) const fn shown_first(self) -> Self {
        Self { shown: Shown::First, ..self }
    }

    /// Omits the setting from the form, because it follows from the chosen files.
    pub(crate) const fn chosen(self) -> Self {
        Self { shown: Shown::Elsewhere, ..self }
    }

    /// Marks the setting as one that does not change what a run computes, so that a resumed run may have another value.
    pub(crate) const fn free_on_resume(self) -> Self {
        Self { free_on_resume: true, ..self }
    }

    /// Marks the setting as ignored by the page: a value other than the default gives a warning there.
    pub(crate) const fn ignored_by_page(self, english: &'static str, chinese: &'static str) -> Self {
        self.limited(Effect::Ignored, english, chinese)
    }

    /// Marks the setting as refused by the page: a value other than the default is an error there, because it changes the result of the training.
    pub(crate) const fn refused_by_page(self, english: &'static str, chinese: &'static str) -> Self {
        self.limited(Effect::Refused, english, chinese)
    }

    /// Adds values, as JSON, that match what the page does anyway.
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

    /// Makes the row of the table of settings.
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
            free_on_resume: self.free_on_resume,
        }
    }
}

/// Conversion from a literal in a row to a setting's value.
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
/// A default is a literal, `None`, `{}` (empty), or a variant of an enum made by `choices!`. A negative number is in parentheses.
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

/// Makes the default of a row as a value.
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

/// Makes the default of a row as JSON.
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
