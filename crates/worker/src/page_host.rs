//! The page as the trainer's host: events become messages, and checkpoints are written into the browser's storage.

use lorelei_data::Tokenizer;
use lorelei_protocol::{Event, InterruptedRun, LogLine, Notice, Reply, Sampled};
use lorelei_recipe::{Recipe, message};
use lorelei_session::LOG_FILE;
use lorelei_train::{Host, SaveError, Signal};

use crate::{browser, port, run::Control, state, store};

/// The trainer's host in the worker, which reports to the page.
pub struct PageHost {
    recipe: Recipe,
    tokenizer: Tokenizer,
    total_steps: usize,
    files: Vec<(String, Vec<u8>)>,
    log: String,
}

impl PageHost {
    /// Creates a host for a run of `recipe`. `log` is the log of the run's part before it was resumed.
    pub fn new(recipe: Recipe, tokenizer: Tokenizer, log: String) -> Self {
        Self { recipe, tokenizer, total_steps: 0, files: Vec::new(), log }
    }

    /// Returns the adapter's files and the log.
    pub fn into_files(self) -> (Vec<(String, Vec<u8>)>, String) {
        (self.files, self.log)
    }

    /// Sends the page the events of the log.
    fn replay_log(&self) {
        for line in self.log.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok()) {
            port::post(&Reply::Event { event: line.into() });
        }
    }
}

impl Host for PageHost {
    fn event(&mut self, event: &Event) {
        let mut event = event.clone();
        if let Event::Sampled(Sampled { ids, text, .. }) = &mut event {
            *text = self.tokenizer.decode(ids, true).unwrap_or_default();
        }
        if let Some(line) = LogLine::of(&event).and_then(|line| serde_json::to_string(&line).ok()) {
            self.log += &line;
            self.log.push('\n');
        }
        let total_steps = match &event {
            Event::Started(started) => Some(started.total_steps),
            _ => None,
        };
        port::post(&Reply::Event { event });
        if let Some(total_steps) = total_steps {
            self.total_steps = total_steps;
            self.replay_log();
        }
    }

    fn seconds(&self) -> f64 {
        js_sys::Date::now() / 1000.0
    }

    fn memory_bytes(&self) -> u64 {
        browser::heap_bytes()
    }

    /// Receives the page's messages, and waits while the page has paused the run.
    async fn next_step(&mut self) -> Signal {
        browser::tick().await;
        loop {
            match state::with(|state| state.control).unwrap_or_default() {
                Control { stop: true, .. } => return Signal::Stop,
                Control { paused: true, .. } => browser::sleep(50.0).await,
                Control { .. } => return Signal::Continue,
            }
        }
    }

    async fn save(&mut self, directory: &str, files: Vec<(String, Vec<u8>)>) -> Result<(), SaveError> {
        let Some(step) = directory.strip_prefix("checkpoint-").and_then(|step| step.parse().ok()) else {
            self.files = files;
            return Ok(());
        };
        let mut files = files;
        files.push((LOG_FILE.to_owned(), self.log.clone().into_bytes()));
        let run = InterruptedRun { recipe: self.recipe.clone(), step, total_steps: self.total_steps };
        // A run in a tab continues although its checkpoint finds no room.
        if let Err(error) = store::checkpoint(&run, &files).await {
            let message = message!(
                "the checkpoint of step {step} is not kept: {reason}. The run goes on",
                step,
                reason = error
            );
            port::warn(Notice::new("checkpoint_not_kept", message));
        }
        Ok(())
    }
}
