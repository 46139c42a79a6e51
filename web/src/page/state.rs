//! The whole state of the page, as signals.

use leptos::prelude::*;

use super::answers::Answers;
use super::browser;
use super::data::Data;
use super::download::Download;
use super::form::Form;
use super::model::Model;
use super::notice::Notices;
use super::paste::Paste;
use super::run::Run;
use super::trainer::Trainer;
use crate::logic::texts::{Language, Texts};

/// The state of the page. It is a small handle, passed to every function that needs it.
#[derive(Clone, Copy)]
pub struct Page {
    /// The language of the page.
    pub language: RwSignal<Language>,
    /// The error messages, by their place.
    pub notices: Notices,
    /// The worker.
    pub trainer: Trainer,
    /// The model to train.
    pub model: Model,
    /// The data to train on.
    pub data: Data,
    /// The form of the recipe.
    pub form: Form,
    /// The box for pasted text.
    pub paste: Paste,
    /// The training run.
    pub run: Run,
    /// The answers of the model.
    pub answers: Answers,
    /// The download of the adapter.
    pub download: Download,
}

impl Page {
    /// Creates the initial state of a page.
    pub fn new() -> Self {
        let (model, data, language) = (Model::new(), Data::new(), RwSignal::new(browser::language()));
        Self {
            language,
            notices: Notices::new(),
            trainer: Trainer::new(),
            model,
            data,
            form: Form::new(model, data, language),
            paste: Paste::new(),
            run: Run::new(),
            answers: Answers::new(),
            download: Download::new(),
        }
    }

    /// Returns the texts for a view, which changes with the language.
    pub fn t(self) -> &'static Texts {
        self.language.get().texts()
    }

    /// Returns the texts in the current language, for a message that is shown once.
    pub fn t_now(self) -> &'static Texts {
        self.language.get_untracked().texts()
    }
}
