//! The places where a run can take place, and the treatment of settings that are not honoured there.

use serde_json::Value as Json;

use crate::fields::{self, Field};
use crate::text::Bilingual;
use crate::{Message, Recipe, RecipeError, Warning, message};

/// Kind of the place where a run takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// The native program, with a file system and a terminal.
    Program,
    /// The page, in a browser's tab.
    Page,
}

/// Treatment of a setting by a host that does not honour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The host trains as if the setting had its default.
    Ignored,
    /// The host does not train, because the setting changes the result of the training.
    Refused,
}

/// An exception of a setting: a host that does not honour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The host.
    pub host: HostKind,
    /// Treatment of the setting by the host.
    pub effect: Effect,
    /// The reason.
    pub reason: Bilingual,
    /// Values, as JSON, that match what the host does anyway.
    pub harmless: &'static [&'static str],
}

/// A setting of a recipe that a host does not honour, with a value other than its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Unhonoured {
    /// The setting.
    pub field: &'static Field,
    /// The value of the setting.
    pub value: Json,
    /// Treatment of the setting by the host, and the reason.
    pub limit: Limit,
}

impl HostKind {
    /// Returns the host's name in a message.
    pub fn name(self) -> Message {
        match self {
            HostKind::Program => message!("the program"),
            HostKind::Page => message!("the page"),
        }
    }
}

impl Unhonoured {
    /// Returns the path of the setting, such as `training.save_total_limit`.
    pub fn key(&self) -> String {
        self.field.path()
    }

    /// Formats the message: `save_total_limit = 3 has no effect in the page: …`.
    pub fn message(&self) -> Message {
        let (setting, value) = (self.field.name, self.value.to_string());
        let (host, reason) = (self.limit.host.name(), Message::fixed(self.limit.reason.english));
        match self.limit.effect {
            Effect::Ignored => {
                message!(
                    "{setting} = {value} has no effect in {host}: {reason}",
                    setting,
                    value,
                    host,
                    reason
                )
            }
            Effect::Refused => {
                message!(
                    "{setting} = {value} cannot be used in {host}: {reason}",
                    setting,
                    value,
                    host,
                    reason
                )
            }
        }
    }
}

impl Field {
    /// Whether the setting has an effect in a run on `host`.
    pub fn is_honoured_by(&self, host: HostKind) -> bool {
        self.state == fields::State::Supported && self.limit_of(host).is_none()
    }

    /// Returns the exception of the setting for `host`.
    pub fn limit_of(&self, host: HostKind) -> Option<Limit> {
        self.limit.filter(|limit| limit.host == host)
    }
}

impl Recipe {
    /// Returns the settings that `host` does not honour and whose value is not the default.
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

    /// Checks that `host` can run the recipe as it is. Returns warnings about the settings that have no effect there.
    ///
    /// # Errors
    /// If `host` refuses a setting, because ignoring it would change the result of the training: the first such setting.
    pub fn validate_for(&self, host: HostKind) -> Result<Vec<Warning>, RecipeError> {
        let unhonoured = self.unhonoured(host);
        match unhonoured.iter().find(|setting| setting.limit.effect == Effect::Refused) {
            Some(refused) => Err(RecipeError::new(refused.key(), refused.message()).with_help(message!(
                "leave it out, or at its default, {default}",
                default = refused.field.default
            ))),
            None => {
                Ok(unhonoured.iter().map(|ignored| Warning::new(ignored.key(), ignored.message())).collect())
            }
        }
    }
}
