//! The answers of the model without and with its adapter, or a classifier's verdict on a text.

use leptos::prelude::*;
use lorelei_protocol::{GenerationConfig, Request, Verdict};

use super::notice::Place;
use super::state::Page;
use crate::logic::texts::{Texts, fill};

/// A setting of the generation of answers.
pub struct Setting {
    /// The `data-testid` of its input.
    pub test_id: &'static str,
    /// Its name; all but the first setting and the last have Transformers' names.
    pub title: fn(&Texts) -> &'static str,
    /// The value of an empty input, which is also the initial value.
    pub usual: &'static str,
}

/// All settings; the first one is always visible.
pub const SETTINGS: [Setting; 7] = [
    Setting { test_id: "try-length", title: |t| t.answer_length, usual: "48" },
    Setting { test_id: "try-temperature", title: |_| "temperature", usual: "0" },
    Setting { test_id: "try-top-k", title: |_| "top_k", usual: "50" },
    Setting { test_id: "try-top-p", title: |_| "top_p", usual: "1" },
    Setting { test_id: "try-repetition-penalty", title: |_| "repetition_penalty", usual: "1" },
    Setting { test_id: "try-seed", title: |_| "seed", usual: "42" },
    Setting { test_id: "try-stop", title: |t| t.stop_text, usual: "" },
];

/// The prompt, the settings, and the model's answers.
#[derive(Clone, Copy)]
pub struct Answers {
    /// The prompt.
    pub prompt: RwSignal<String>,
    /// The values of [`SETTINGS`], as typed.
    pub settings: [RwSignal<String>; SETTINGS.len()],
    /// Whether the answers are being generated.
    pub going: RwSignal<bool>,
    /// The answer of the base model.
    pub without: RwSignal<String>,
    /// The answer with the adapter; `None` where there is no adapter.
    pub with: RwSignal<Option<String>>,
    /// Whether the trained model is a classifier.
    pub classifies: RwSignal<bool>,
    /// The verdict of a trained classifier, in place of both answers.
    pub verdict: RwSignal<Option<Verdict>>,
}

impl Answers {
    /// Creates the state without answers.
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

    /// Clears the answers.
    pub fn clear(self) {
        self.without.set(String::new());
        self.with.set(None);
        self.verdict.set(None);
    }
}

/// Sends the prompt to the model.
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

/// Returns the settings that were typed, or the name of one that is not a number. An empty input has its usual value.
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
