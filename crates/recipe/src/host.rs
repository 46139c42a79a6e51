//! Where a run takes place, and what becomes of the settings that are not honoured there.

use serde_json::Value as Json;

use crate::fields::{self, Field};
use crate::text::Bilingual;
use crate::{Recipe, RecipeError, Warning};

/// Where a run takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// The native program, with a file system and a terminal.
    Program,
    /// The page, in a browser's tab.
    Page,
}

/// What a host makes of a setting that it does not honour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It trains as if the setting had its default.
    Ignored,
    /// It does not train: the setting changes what is learnt.
    Refused,
}

/// A setting's exception: a host that does not honour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The host.
    pub host: HostKind,
    /// What it makes of the setting.
    pub effect: Effect,
    /// Why.
    pub reason: Bilingual,
    /// Values, as JSON, that say what the host does anyway.
    pub harmless: &'static [&'static str],
}

/// A setting of a recipe that a host does not honour, and that does not have its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Unhonoured {
    /// The setting.
    pub field: &'static Field,
    /// Its value.
    pub value: Json,
    /// What the host makes of it, and why.
    pub limit: Limit,
}

impl HostKind {
    /// Name in a message.
    pub fn name(self) -> &'static str {
        match self {
            HostKind::Program => "the program",
            HostKind::Page => "the page",
        }
    }
}

impl Unhonoured {
    /// Path of the setting, such as `training.save_total_limit`.
    pub fn key(&self) -> String {
        self.field.path()
    }

    /// The message in English: `save_total_limit = 3 has no effect in the page: …`.
    pub fn message(&self) -> String {
        let host = self.limit.host.name();
        let effect = match self.limit.effect {
            Effect::Ignored => format!("has no effect in {host}"),
            Effect::Refused => format!("cannot be used in {host}"),
        };
        format!("{} = {} {effect}: {}", self.field.name, self.value, self.limit.reason.english)
    }
}

impl Field {
    /// Whether the setting does something where a run takes place on `host`.
    pub fn is_honoured_by(&self, host: HostKind) -> bool {
        self.state == fields::State::Supported && self.limit_of(host).is_none()
    }

    /// The exception that `host` makes of the setting.
    pub fn limit_of(&self, host: HostKind) -> Option<Limit> {
        self.limit.filter(|limit| limit.host == host)
    }
}

impl Recipe {
    /// The settings that `host` does not honour and that do not have their default.
    pub fn unhonoured(&self, host: HostKind) -> Vec<Unhonoured> {
        let recipe = serde_json::to_value(self).unwrap_or_default();
        let value = |field: &Field| recipe.get(field.table.name())?.get(field.name).cloned();
        fields::all()
            .filter_map(|field| {
                let (limit, value) = (field.limit_of(host)?, value(field)?);
                let is_harmless = field.is_harmless(&value) || fields::is_one_of(&value, limit.harmless);
                (!is_harmless).then_some(Unhonoured { field, value, limit })
            })
            .collect()
    }

    /// Checks that `host` can run the recipe as it is. The warnings tell what has no effect there.
    ///
    /// # Errors
    /// The first setting that `host` refuses, since what is learnt would be another thing.
    pub fn validate_for(&self, host: HostKind) -> Result<Vec<Warning>, RecipeError> {
        let unhonoured = self.unhonoured(host);
        match unhonoured.iter().find(|setting| setting.limit.effect == Effect::Refused) {
            Some(refused) => Err(RecipeError::new(refused.key(), refused.message())
                .with_help(format!("leave it out, or at its default, {}", refused.field.default))),
            None => {
                Ok(unhonoured.iter().map(|ignored| Warning::new(ignored.key(), ignored.message())).collect())
            }
        }
    }
}
