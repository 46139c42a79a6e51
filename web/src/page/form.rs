//! The recipe in the form: the typed texts, their values, and their errors.

use std::collections::BTreeMap;

use leptos::prelude::*;
use lorelei_recipe::fields::Field;
use lorelei_recipe::{Effect, HostKind, Recipe, RecipeError, Warning, hints};

use super::data::Data;
use super::model::Model;
use crate::logic::layout::all_shown;
use crate::logic::start::start_recipe;
use crate::logic::texts::{Language, fill};
use crate::logic::{field_docs, field_text, notices};

/// A setting: its section and name.
type Key = (&'static str, &'static str);

/// Errors and warnings about a recipe.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Errors by the path of their setting. Those of no single setting, or of one without an input, are under `""`.
    errors: BTreeMap<String, String>,
    warnings: BTreeMap<String, String>,
    /// Settings that the page does not honour and that do not have their default, one line each.
    unhonoured: Vec<String>,
}

impl Verdict {
    /// Whether there is no error.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether a setting of a section has an error.
    pub fn has_errors_in(&self, table: &str) -> bool {
        self.errors.keys().any(|path| path.split('.').next() == Some(table))
    }

    /// Returns the error of a setting, or that of the recipe as a whole under `""`.
    pub fn error(&self, path: &str) -> Option<String> {
        self.errors.get(path).cloned()
    }

    /// Returns the warning about a setting.
    pub fn warning(&self, path: &str) -> Option<String> {
        self.warnings.get(path).cloned()
    }

    /// Returns the settings that the page does not honour and that do not have their default, one line each.
    pub fn unhonoured(&self) -> &[String] {
        &self.unhonoured
    }

    fn add_unhonoured(&mut self, recipe: &Recipe, language: Language) {
        let texts = language.texts();
        for setting in recipe.unhonoured(HostKind::Page) {
            let reason = field_docs::in_language(language, setting.limit.reason);
            let (text, place) = match setting.limit.effect {
                Effect::Ignored => (texts.ignored_here, &mut self.warnings),
                Effect::Refused => (texts.refused_here, &mut self.errors),
            };
            let text = fill(
                text,
                &[("setting", &setting.field.name), ("value", &setting.value), ("reason", &reason)],
            );
            self.unhonoured.push(text.clone());
            place.entry(setting.key()).or_insert(text);
        }
    }

    fn add_error(&mut self, error: &RecipeError, language: Language) {
        let path = if all_shown().any(|field| field.path() == error.key) { error.key.as_str() } else { "" };
        // The setting is named where the message does not stand at its input.
        let text = match path {
            "" => notices::said(language, &error.to_message()),
            _ => words(language, error),
        };
        self.errors.entry(path.to_string()).or_insert(text);
    }
}

/// The recipe and the texts of its inputs.
#[derive(Clone, Copy)]
pub struct Form {
    /// The last valid recipe: a wrong text in an input does not change it.
    pub recipe: RwSignal<Recipe>,
    /// Errors and warnings about the recipe.
    pub verdict: Memo<Verdict>,
    texts: RwSignal<BTreeMap<Key, String>>,
    /// Errors of the typed texts that are no value of their setting.
    mistakes: RwSignal<BTreeMap<Key, RecipeError>>,
}

impl Form {
    /// Creates the form with the recipe of `web/start.toml`. The errors can depend on the model and the data.
    pub fn new(model: Model, data: Data, language: RwSignal<Language>) -> Self {
        let recipe = RwSignal::new(start_recipe());
        let mistakes = RwSignal::new(BTreeMap::new());
        let verdict = Memo::new(move |_| {
            let language = language.get();
            recipe.with(|recipe| mistakes.with(|mistakes| judge(recipe, mistakes, model, data, language)))
        });
        let texts = RwSignal::new(recipe.with_untracked(texts_of));
        Self { recipe, verdict, texts, mistakes }
    }

    /// Returns the text of an input; empty where the setting has its default.
    pub fn text(self, field: &'static Field) -> String {
        self.texts.with(|texts| texts.get(&key(field)).cloned().unwrap_or_default())
    }

    /// Handles a typed text. A text that is no value stays in its input and changes nothing else.
    pub fn typed(self, field: &'static Field, text: String) {
        let mut recipe = self.recipe.get_untracked();
        let result = recipe.set(&format!("{}={text}", field.path()));
        self.texts.update(|texts| {
            texts.insert(key(field), text);
        });
        match result {
            Ok(_) => {
                self.mistakes.update(|mistakes| {
                    mistakes.remove(&key(field));
                });
                self.recipe.set(recipe);
            }
            Err(error) => self.mistakes.update(|mistakes| {
                mistakes.insert(key(field), error);
            }),
        }
    }

    /// Sets a setting, as if its value were typed.
    pub fn set(self, path: &str, text: &str) {
        if let Some(field) = all_shown().find(|field| field.path() == path) {
            self.typed(field, text.to_owned());
        }
    }

    /// Replaces the recipe.
    pub fn replace(self, recipe: Recipe) {
        self.texts.set(texts_of(&recipe));
        self.mistakes.set(BTreeMap::new());
        self.recipe.set(recipe);
    }

    /// Changes settings without an input, such as the model and the files.
    pub fn change(self, how: impl FnOnce(&mut Recipe)) {
        let mut recipe = self.recipe.get_untracked();
        how(&mut recipe);
        if self.recipe.with_untracked(|old| *old != recipe) {
            self.recipe.set(recipe);
        }
    }
}

fn key(field: &'static Field) -> Key {
    (field.table.name(), field.name)
}

fn texts_of(recipe: &Recipe) -> BTreeMap<Key, String> {
    all_shown().map(|field| (key(field), field_text::shown(field, recipe))).collect()
}

/// Returns an error's message with the way out.
pub fn words(language: Language, error: &RecipeError) -> String {
    notices::said(language, &error.explanation())
}

fn judge(
    recipe: &Recipe,
    mistakes: &BTreeMap<Key, RecipeError>,
    model: Model,
    data: Data,
    language: Language,
) -> Verdict {
    let mut verdict = Verdict::default();
    for ((table, name), error) in mistakes {
        verdict.errors.insert(format!("{table}.{name}"), words(language, error));
    }
    match recipe.validate() {
        Ok(warnings) => {
            let said = |warning: Warning| (warning.key, notices::said(language, &warning.message));
            verdict.warnings = warnings.into_iter().map(said).collect()
        }
        Err(error) => verdict.add_error(&error, language),
    }
    verdict.add_unhonoured(recipe, language);
    if let Some(info) = model.info.get()
        && let Err(error) = lorelei_estimate::parameters(recipe, &info.shape)
    {
        verdict.add_error(&error, language);
    }
    let mut plan = None;
    if let Some(info) = data.info()
        && info.train_rows > 0
    {
        match lorelei_estimate::steps(recipe, info.train_rows) {
            Ok(found) => plan = Some(found),
            Err(error) => verdict.add_error(&error, language),
        }
    }
    for hint in hints(recipe, plan.as_ref()) {
        let text = notices::said(language, &hint.to_message());
        verdict.warnings.entry(hint.key.to_string()).or_insert(text);
    }
    verdict
}
