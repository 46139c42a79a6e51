//! The run: how it stands and what it has reported.

use std::collections::VecDeque;

use leptos::prelude::*;
use lorelei_protocol::{Evaluation, Finished, SamplePrompt, Sampled, Started, StepLog};

use crate::logic::history::History;

/// Lines of the log that are on the page.
pub const LOG_LINES: usize = 500;
/// Longest sample, in tokens.
const SAMPLE_TOKENS: usize = 48;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There was none.
    Idle,
    /// Asked for.
    Starting,
    /// Going on.
    Running,
    /// Held.
    Paused,
    /// Asked to end.
    Stopping,
    /// Over.
    Finished,
    /// Over, and not as it should be.
    Failed,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number.
    pub id: u64,
    /// Whether it is a warning.
    pub warns: bool,
    /// What it says.
    pub text: String,
}

/// What the page knows of the run.
#[derive(Clone, Copy)]
pub struct Run {
    /// How it stands.
    pub status: RwSignal<Status>,
    /// Its size.
    pub started: RwSignal<Option<Started>>,
    /// Steps taken.
    pub step: RwSignal<usize>,
    /// The last logged step.
    pub last: RwSignal<Option<StepLog>>,
    /// The last evaluation.
    pub evaluation: RwSignal<Option<Evaluation>>,
    /// How it ended.
    pub finished: RwSignal<Option<Finished>>,
    /// The last answer to the sample prompt.
    pub sampled: RwSignal<Option<Sampled>>,
    /// Whether the last run that was started is a classifier's.
    pub classifies: StoredValue<bool>,
    /// Whether the model has an adapter that learnt something.
    pub has_adapter: RwSignal<bool>,
    /// All reports. They come faster than a screen shows them: views look again when `drawn` says so.
    pub history: StoredValue<History>,
    /// The last lines of the log; as `history`.
    pub log: StoredValue<VecDeque<LogLine>>,
    /// Counts the frames in which there was something new.
    pub drawn: RwSignal<u32>,
    /// A frame has been asked for.
    pending: StoredValue<bool>,
    lines: StoredValue<u64>,
    /// What to ask the model now and then.
    pub sample_prompt: RwSignal<String>,
    /// Steps between two answers; 0 for none.
    pub sample_every: RwSignal<String>,
    /// The interrupted run shall go on as soon as nothing is in the way.
    pub resuming: RwSignal<bool>,
    /// Its model has been asked for.
    pub fetched: StoredValue<bool>,
}

impl Run {
    /// None.
    pub fn new() -> Self {
        Self {
            status: RwSignal::new(Status::Idle),
            started: RwSignal::new(None),
            step: RwSignal::new(0),
            last: RwSignal::new(None),
            evaluation: RwSignal::new(None),
            finished: RwSignal::new(None),
            sampled: RwSignal::new(None),
            classifies: StoredValue::new(false),
            has_adapter: RwSignal::new(false),
            history: StoredValue::new(History::default()),
            log: StoredValue::new(VecDeque::new()),
            drawn: RwSignal::new(0),
            pending: StoredValue::new(false),
            lines: StoredValue::new(0),
            sample_prompt: RwSignal::new(String::new()),
            sample_every: RwSignal::new("20".into()),
            resuming: RwSignal::new(false),
            fetched: StoredValue::new(false),
        }
    }

    /// Forgets what the last run reported.
    pub fn clear(self) {
        self.started.set(None);
        self.step.set(0);
        self.last.set(None);
        self.evaluation.set(None);
        self.finished.set(None);
        self.sampled.set(None);
        self.history.set_value(History::default());
        self.log.set_value(VecDeque::new());
        self.redraw();
    }

    /// Adds a line to the log.
    pub fn say(self, text: String, warns: bool) {
        let id = self.lines.with_value(|lines| lines + 1);
        self.lines.set_value(id);
        self.log.update_value(|log| {
            log.push_back(LogLine { id, warns, text });
            while log.len() > LOG_LINES {
                log.pop_front();
            }
        });
        self.redraw();
    }

    /// Has charts and log drawn with the next frame, once, however much comes until then.
    pub fn redraw(self) {
        if !self.pending.get_value() {
            self.pending.set_value(true);
            request_animation_frame(move || {
                self.pending.set_value(false);
                self.drawn.update(|frames| *frames = frames.wrapping_add(1));
            });
        }
    }

    /// The prompt to answer now and then; none where there is none, or no number of steps.
    pub fn sample(self) -> Option<SamplePrompt> {
        let prompt = self.sample_prompt.get_untracked();
        let every = self.sample_every.get_untracked().trim().parse().unwrap_or(0);
        (every > 0 && !prompt.trim().is_empty()).then_some(SamplePrompt {
            prompt,
            every,
            max_new_tokens: SAMPLE_TOKENS,
        })
    }
}
