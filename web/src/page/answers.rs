//! What the model says without and with its adapter, or of a text what a classifier does.

use leptos::prelude::*;
use lorelei_protocol::{Request, Verdict};

use super::notice::Place;
use super::state::Page;

/// The answers.
#[derive(Clone, Copy)]
pub struct Answers {
    /// What to ask.
    pub prompt: RwSignal<String>,
    /// Longest answer, in tokens, as typed.
    pub length: RwSignal<String>,
    /// Whether they still grow.
    pub going: RwSignal<bool>,
    /// The base model's.
    pub without: RwSignal<String>,
    /// With the adapter; none where there is none.
    pub with: RwSignal<Option<String>>,
    /// In place of both, what a trained classifier says.
    pub verdict: RwSignal<Option<Verdict>>,
}

impl Answers {
    /// None.
    pub fn new() -> Self {
        Self {
            prompt: RwSignal::new("What is AI?".into()),
            length: RwSignal::new("48".into()),
            going: RwSignal::new(false),
            without: RwSignal::new(String::new()),
            with: RwSignal::new(None),
            verdict: RwSignal::new(None),
        }
    }

    /// Forgets them.
    pub fn clear(self) {
        self.without.set(String::new());
        self.with.set(None);
        self.verdict.set(None);
    }
}

/// Asks the model.
pub fn ask(page: Page) {
    let answers = page.answers;
    let prompt = answers.prompt.get_untracked();
    if page.is_engaged() || prompt.trim().is_empty() || page.model.info.with_untracked(Option::is_none) {
        return;
    }
    let max_new_tokens = answers.length.get_untracked().trim().parse().unwrap_or(48usize).clamp(1, 1024);
    page.notices.clear(Place::Try);
    answers.clear();
    if page.trainer.send(&Request::Generate { prompt, max_new_tokens }, &[]) {
        answers.going.set(true);
    }
}
