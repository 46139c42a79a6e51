//! What the model says without and with its adapter, or of a text what a classifier does.

use leptos::prelude::*;
use lorelei_protocol::{GenerationConfig, Request, Verdict};

use super::notice::Place;
use super::state::Page;
use crate::logic::texts::{Texts, fill};

/// A number that says how answers are made.
pub struct Setting {
    /// Its `data-testid`.
    pub test_id: &'static str,
    /// Its name, in Transformers' words but for the first.
    pub title: fn(&Texts) -> &'static str,
    /// What it is unless someone says otherwise.
    pub usual: &'static str,
}

/// All of them; the first is always in sight.
pub const SETTINGS: [Setting; 7] = [
    Setting { test_id: "try-length", title: |t| t.answer_length, usual: "48" },
    Setting { test_id: "try-temperature", title: |_| "temperature", usual: "0" },
    Setting { test_id: "try-top-k", title: |_| "top_k", usual: "50" },
    Setting { test_id: "try-top-p", title: |_| "top_p", usual: "1" },
    Setting { test_id: "try-repetition-penalty", title: |_| "repetition_penalty", usual: "1" },
    Setting { test_id: "try-seed", title: |_| "seed", usual: "42" },
    Setting { test_id: "try-stop", title: |t| t.stop_text, usual: "" },
];

/// The answers.
#[derive(Clone, Copy)]
pub struct Answers {
    /// What to ask.
    pub prompt: RwSignal<String>,
    /// How they are made, as typed; see [`SETTINGS`].
    pub settings: [RwSignal<String>; SETTINGS.len()],
    /// Whether they still grow.
    pub going: RwSignal<bool>,
    /// The base model's.
    pub without: RwSignal<String>,
    /// With the adapter; none where there is none.
    pub with: RwSignal<Option<String>>,
    /// Whether what was trained is a classifier.
    pub classifies: RwSignal<bool>,
    /// In place of both, what a trained classifier says.
    pub verdict: RwSignal<Option<Verdict>>,
}

impl Answers {
    /// None.
    pub fn new() -> Self {
        Self {
            prompt: RwSignal::new("What is AI?".into()),
            settings: SETTINGS.map(|setting| RwSignal::new(setting.usual.into())),
            going: RwSignal::new(false),
            without: RwSignal::new(String::new()),
            with: RwSignal::new(None),
            classifies: RwSignal::new(false),
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
    page.notices.clear(Place::Try);
    let generation = match generation(answers) {
        Ok(generation) => generation,
        Err(name) => return page.notices.say(Place::Try, fill(page.t_now().no_number, &[("name", &name)])),
    };
    answers.clear();
    if page.trainer.send(&Request::Generate { prompt, generation }, &[]) {
        answers.going.set(true);
    }
}

/// What was typed, or the name of what is no number. What is empty is as usual.
fn generation(answers: Answers) -> Result<GenerationConfig, &'static str> {
    let typed = answers.settings.map(|setting| setting.get_untracked());
    let text = |at: usize| match typed[at].trim() {
        "" => SETTINGS[at].usual,
        text => text,
    };
    let float = |at: usize, name| text(at).parse().ok().filter(|number: &f64| number.is_finite()).ok_or(name);
    let whole = |at: usize, name| text(at).parse::<u64>().map_err(|_| name);
    Ok(GenerationConfig {
        max_new_tokens: whole(0, "max_new_tokens")?.clamp(1, 4096) as usize,
        temperature: float(1, "temperature")?,
        top_k: whole(2, "top_k")?.min(1 << 30) as usize,
        top_p: float(3, "top_p")?,
        repetition_penalty: float(4, "repetition_penalty")?,
        seed: whole(5, "seed")?,
        stop: Some(typed[6].clone()).filter(|stop| !stop.is_empty()).into_iter().collect(),
    })
}
