//! Everything that the page remembers, as signals. The handle is small and is passed to whoever needs it.

use leptos::prelude::*;

use super::answers::Answers;
use super::browser;
use super::data::Data;
use super::form::Form;
use super::model::Model;
use super::notice::Notices;
use super::run::Run;
use super::trainer::Trainer;
use crate::logic::texts::{Language, Texts};

/// See the module.
#[derive(Clone, Copy)]
pub struct Page {
    /// What the page speaks.
    pub language: RwSignal<Language>,
    /// What went wrong, and where.
    pub notices: Notices,
    /// The worker.
    pub trainer: Trainer,
    /// What is trained.
    pub model: Model,
    /// On what.
    pub data: Data,
    /// How.
    pub form: Form,
    /// The run.
    pub run: Run,
    /// What the model says.
    pub answers: Answers,
}

impl Page {
    /// A page on which nothing has happened.
    pub fn new() -> Self {
        let (model, data, language) = (Model::new(), Data::new(), RwSignal::new(browser::language()));
        Self {
            language,
            notices: Notices::new(),
            trainer: Trainer::new(),
            model,
            data,
            form: Form::new(model, data, language),
            run: Run::new(),
            answers: Answers::new(),
        }
    }

    /// The texts, for a view: it changes with the language.
    pub fn t(self) -> &'static Texts {
        self.language.get().texts()
    }

    /// The texts of this moment, for what is said once.
    pub fn t_now(self) -> &'static Texts {
        self.language.get_untracked().texts()
    }
}
