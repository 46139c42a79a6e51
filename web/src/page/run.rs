//! The state of the run, and its reports.

use std::collections::VecDeque;

use leptos::prelude::*;
use lorelei_protocol::{Evaluation, Finished, SamplePrompt, Sampled, Started, StepLog};

use crate::logic::history::History;

/// Largest number of the log's lines on the page.
pub const LOG_LINES: usize = 500;
/// Longest sample, in tokens.
const SAMPLE_TOKENS: usize = 48;

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No run was started.
    Idle,
    /// The run was requested.
    Starting,
    /// The run is in progress.
    Running,
    /// The run is paused.
    Paused,
    /// The run was requested to stop.
    Stopping,
    /// The run has ended.
    Finished,
    /// The run has ended with an error.
    Failed,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number.
    pub id: u64,
    /// Whether it is a warning.
    pub warns: bool,
    /// Its text.
    pub text: String,
}

/// The page's state of the run.
#[derive(Clone, Copy)]
pub struct Run {
    /// The status.
    pub status: RwSignal<Status>,
    /// The sizes of the run, reported at its start.
    pub started: RwSignal<Option<Started>>,
    /// Number of steps taken.
    pub step: RwSignal<usize>,
    /// The last logged step.
    pub last: RwSignal<Option<StepLog>>,
    /// The last evaluation.
    pub evaluation: RwSignal<Option<Evaluation>>,
    /// The report of the run's end.
    pub finished: RwSignal<Option<Finished>>,
    /// The last answer to the sample prompt.
    pub sampled: RwSignal<Option<Sampled>>,
    /// Whether the last run that was started trains a classifier.
    pub classifies: StoredValue<bool>,
    /// Whether the model has a trained adapter.
    pub has_adapter: RwSignal<bool>,
    /// All reports. They come faster than a screen shows them: views read them again when `drawn` changes.
    pub history: StoredValue<History>,
    /// The last lines of the log, read like `history`.
    pub log: StoredValue<VecDeque<LogLine>>,
    /// Number of frames in which there was something new.
    pub drawn: RwSignal<u32>,
    /// Whether a frame has been requested.
    pending: StoredValue<bool>,
    lines: StoredValue<u64>,
    /// The prompt that the model answers from time to time.
    pub sample_prompt: RwSignal<String>,
    /// Number of steps between two answers; 0 for none.
    pub sample_every: RwSignal<String>,
    /// Whether the interrupted run is to be resumed as soon as there is no obstacle.
    pub resuming: RwSignal<bool>,
    /// Whether the model of the interrupted run has been requested.
    pub fetched: StoredValue<bool>,
}

impl Run {
    /// Creates the state without a run.
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

    /// Clears the reports of the last run.
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

    /// Requests that charts and log are drawn in the next frame, once for all calls until then.
    pub fn redraw(self) {
        if !self.pending.get_value() {
            self.pending.set_value(true);
            request_animation_frame(move || {
                self.pending.set_value(false);
                self.drawn.update(|frames| *frames = frames.wrapping_add(1));
            });
        }
    }

    /// Returns the prompt to answer from time to time, or `None` where there is no prompt or no number of steps.
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
