//! Descriptions and advice of the settings in the page's language, as the recipe declares them.

use lorelei_recipe::fields::{self, Field};
use lorelei_recipe::{Bilingual, HostKind};

use super::texts::Language;

/// The lines under a setting. Names and values are in backticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Description of the setting.
    pub doc: &'static str,
    /// Advice on the choice of a value.
    pub advice: Option<&'static str>,
    /// The reason why the setting has no effect in the page, if it has none.
    pub limit: Option<&'static str>,
}

/// Returns the lines under a setting.
pub fn of(language: Language, field: &Field) -> Words {
    Words {
        doc: in_language(language, Bilingual { english: field.doc, chinese: field.chinese }),
        advice: field.advice.map(|advice| in_language(language, advice)),
        limit: field.limit_of(HostKind::Page).map(|limit| in_language(language, limit.reason)),
    }
}

/// Returns the advice for the setting at `path`.
pub fn advice(language: Language, path: &str) -> Option<&'static str> {
    fields::all().find(|field| field.path() == path).and_then(|field| of(language, field).advice)
}

/// Returns a text in the page's language.
pub fn in_language(language: Language, text: Bilingual) -> &'static str {
    match language {
        Language::English => text.english,
        Language::Chinese => text.chinese,
    }
}

/// Splits a text into its parts, each with whether it is in backticks.
pub fn parts(text: &'static str) -> impl Iterator<Item = (&'static str, bool)> {
    text.split('`')
        .enumerate()
        .map(|(index, part)| (part, index % 2 == 1))
        .filter(|(part, _)| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::layout::all_shown;

    #[test]
    fn every_setting_is_explained_in_every_language() {
        for field in all_shown() {
            for language in Language::ALL {
                let words = of(language, field);
                let said = [Some(words.doc), words.advice, words.limit];
                assert!(said.iter().flatten().all(|text| !text.is_empty()), "{}", field.path());
                assert!(
                    said.iter().flatten().all(|text| text.matches('`').count() % 2 == 0),
                    "{}",
                    field.path()
                );
            }
            let (english, chinese) = (of(Language::English, field), of(Language::Chinese, field));
            assert_eq!(english.doc, field.doc);
            assert!(chinese.doc.chars().any(|letter| letter as u32 > 0x2e80), "{}", field.path());
            assert_eq!(english.advice.is_some(), chinese.advice.is_some(), "{}", field.path());
        }
        assert!(advice(Language::Chinese, "model.model_name_or_path").is_some());
    }

    #[test]
    fn backticks_become_parts() {
        let found: Vec<_> = parts("`r`, or `alpha / r`.").collect();
        assert_eq!(found, [("r", true), (", or ", false), ("alpha / r", true), (".", false)]);
    }
}
