//! The trainer's host on a terminal: a progress bar, `trainer_log.jsonl`, `eval_results.json`, and the folder `output_dir`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use lorelei_recipe::{Recipe, ReportTo, TrainingArguments};
use lorelei_session::LOG_FILE;
use lorelei_train::{Evaluation, Event, Host, LogLine, SaveError, Signal};
use miette::{Context, IntoDiagnostic, Result};

use crate::{
    appended_file::AppendedFile, checkpoint, claim::Claim, disk, interrupt::Interrupt,
    tensorboard::EventFile, tui::Tui,
};

/// Reads the lines of a log. A torn last line, as of a run that is still going or was cut off, is skipped.
///
/// # Errors
///
/// If the log cannot be read.
pub fn read_log(path: &std::path::Path) -> std::io::Result<Vec<serde_json::Value>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The trainer's host on a terminal.
pub struct Terminal {
    output: PathBuf,
    log: AppendedFile,
    began: Instant,
    bar: ProgressBar,
    /// TensorBoard's event file, with `report_to = "tensorboard"`.
    events: Option<EventFile>,
    /// Set by `disable_tqdm`.
    without_bar: bool,
    /// The curves in place of the bar, with `--tui`.
    tui: Option<Tui>,
    /// Signals that end the run; `None` if nothing listens for them.
    interrupt: Option<Interrupt>,
    /// The claim on `output`, held until the run ends.
    claim: Claim,
}

impl Terminal {
    /// Creates `output` and begins its log. A run that is resumed after `first_step` keeps the lines that were logged until then.
    ///
    /// # Errors
    ///
    /// If the folder or the log cannot be created.
    pub fn new(output: PathBuf, first_step: usize) -> Result<Self> {
        fs::create_dir_all(&output)
            .into_diagnostic()
            .wrap_err_with(|| format!("cannot make training.output_dir {}", output.display()))?;
        let claim = Claim::take(&output)?;
        disk::sweep(&output);
        let path = output.join(LOG_FILE);
        let before = match first_step {
            0 => String::new(),
            step => checkpoint::log_until(&fs::read_to_string(&path).unwrap_or_default(), step),
        };
        let log = AppendedFile::create(path.clone(), before.as_bytes());
        let log = log.into_diagnostic().wrap_err_with(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            output,
            log,
            began: Instant::now(),
            bar: ProgressBar::hidden(),
            events: None,
            without_bar: false,
            tui: None,
            interrupt: None,
            claim,
        })
    }

    /// Shows a run in the way that its recipe asks for: with a bar or without, and in TensorBoard's files.
    ///
    /// # Errors
    ///
    /// If TensorBoard's files cannot be written.
    pub fn follow(&mut self, recipe: &Recipe) -> Result<()> {
        self.without_bar = recipe.training.disable_tqdm == Some(true);
        match recipe.training.report_to {
            ReportTo::None => Ok(()),
            ReportTo::Tensorboard => self.report_to_tensorboard(&logging_dir(&recipe.training)),
        }
    }

    /// Lets signals interrupt the run from now on. Returns the signal that came, once one has.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub fn listen(&mut self) -> Result<Interrupt> {
        let interrupt = Interrupt::listen().into_diagnostic().wrap_err("cannot listen for signals")?;
        self.interrupt = Some(interrupt.clone());
        Ok(interrupt)
    }

    /// Shows the curves in place of a bar.
    ///
    /// # Errors
    ///
    /// If the output is no terminal.
    pub fn with_curves(&mut self) -> Result<()> {
        self.tui = Some(Tui::new()?);
        Ok(())
    }

    /// Writes TensorBoard's files into `folder`, too.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    fn report_to_tensorboard(&mut self, folder: &std::path::Path) -> Result<()> {
        let events = EventFile::create(folder).into_diagnostic();
        self.events = Some(events.wrap_err_with(|| {
            format!("cannot write TensorBoard's files into training.logging_dir {}", folder.display())
        })?);
        Ok(())
    }

    /// Prints a line above the bar, or plainly where there is no terminal for a bar.
    fn say(&mut self, line: &str) {
        match &mut self.tui {
            Some(tui) => tui.say(line),
            None if self.bar.is_hidden() => say!("{line}"),
            None => self.bar.println(line),
        }
    }

    /// Makes `output` again, with its log, if it was removed during the run.
    fn restore(&mut self) -> std::io::Result<()> {
        if !self.log.restore()? {
            return Ok(());
        }
        self.say(&format!(
            "warning: {} was removed during the run, and is made again with its log; the checkpoints that were in it are lost",
            self.output.display()
        ));
        match Claim::take(&self.output) {
            Ok(claim) => self.claim = claim,
            Err(error) => self.say(&format!("warning: {error:#}")),
        }
        Ok(())
    }

    /// Returns the folder that the run writes into.
    pub fn output(&self) -> &std::path::Path {
        &self.output
    }
}

/// Returns the folder of TensorBoard's files: `logging_dir`, or `runs/NAME` in `output_dir`.
fn logging_dir(training: &TrainingArguments) -> PathBuf {
    let name = training.run_name.as_deref().unwrap_or("run");
    match &training.logging_dir {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&training.output_dir).join("runs").join(name.replace(['/', '\\'], "-")),
    }
}

/// Formats the line of PEFT's `print_trainable_parameters`.
pub fn parameters_line(trainable: usize, all: usize) -> String {
    let share = 100.0 * trainable as f64 / all.max(1) as f64;
    let (trainable, all) = (grouped(trainable), grouped(all));
    format!("trainable params: {trainable} || all params: {all} || trainable%: {share:.4}")
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats the last evaluation as Transformers' example scripts write it.
fn eval_results(evaluation: &Evaluation) -> (String, Vec<u8>) {
    let mut results = serde_json::to_value(evaluation).unwrap_or_default();
    // Transformers' scripts give this metric no prefix.
    if let Some(perplexity) = evaluation.metric("perplexity") {
        results["perplexity"] = perplexity.into();
    }
    ("eval_results.json".to_owned(), format!("{results:#}\n").into_bytes())
}

/// Formats an evaluation as a line.
fn evaluation_line(evaluation: &Evaluation) -> String {
    let others = evaluation.other_metrics().map(|(name, value)| format!(", {name} {value:.4}"));
    format!("step {}: eval_loss {:.4}{}", evaluation.step, evaluation.loss(), others.collect::<String>())
}

impl Host for Terminal {
    fn event(&mut self, event: &Event) {
        if let Some(events) = &mut self.events
            && let Err(error) = events.write(event)
        {
            self.events = None;
            self.say(&format!("warning: TensorBoard's file cannot be written, and ends here: {error}"));
        }
        if let Some(tui) = &mut self.tui {
            tui.event(event);
        }
        if let Some(line) = LogLine::of(event).and_then(|line| serde_json::to_string(&line).ok())
            && let Err(error) = self.restore().and_then(|()| self.log.append(format!("{line}\n").as_bytes()))
        {
            self.say(&format!("warning: {LOG_FILE} cannot be written: {error}"));
        }
        match event {
            Event::Started(started) => {
                self.say(&parameters_line(started.trainable_parameters, started.all_parameters));
                self.say(&format!(
                    "{} rows, {} optimizer steps of {} rows, {} of them warm-up",
                    grouped(started.num_examples),
                    grouped(started.total_steps),
                    started.effective_batch_size,
                    started.warmup_steps
                ));
                self.bar = match self.without_bar || self.tui.is_some() {
                    true => ProgressBar::hidden(),
                    false => ProgressBar::new(started.total_steps as u64),
                };
                let style = "{bar:30} {pos}/{len} {msg} [{elapsed} gone, {eta} left]";
                if let Ok(style) = ProgressStyle::with_template(style) {
                    self.bar.set_style(style);
                }
                self.bar.tick();
            }
            Event::Progress { step } => self.bar.set_position(*step as u64),
            Event::Step(log) => {
                self.bar.set_position(log.step as u64);
                let progress = format!("loss {:.4}, {:.0} tokens/s", log.loss, log.tokens_per_second);
                if self.bar.is_hidden() && self.tui.is_none() {
                    let total = self.bar.length().unwrap_or_default();
                    say!("{}/{total} {progress}, {:.0} s left", log.step, log.remaining_seconds);
                }
                self.bar.set_message(progress);
            }
            Event::Evaluated(evaluation) => {
                self.say(&evaluation_line(evaluation));
                if let Err(error) = disk::save(&self.output, &[eval_results(evaluation)]) {
                    self.say(&format!("warning: {error}"));
                }
            }
            Event::Saved(saved) if !saved.directory.is_empty() => {
                self.say(&format!("saved {}", saved.directory));
            }
            Event::Saved(_) => {}
            Event::Sampled(sampled) => self.say(&format!("step {}: {}", sampled.step, sampled.text)),
            Event::Warned(warned) => self.say(&format!("warning: {}", warned.message)),
            Event::Finished(finished) => {
                self.bar.finish_and_clear();
                // The lines that follow stay on the screen.
                self.tui = None;
                say!(
                    "{} steps in {:.1} s, mean loss {:.4}, {:.0} tokens/s, peak memory {} MiB",
                    grouped(finished.steps),
                    finished.train_runtime,
                    finished.train_loss,
                    finished.tokens_per_second,
                    finished.memory_bytes >> 20
                );
            }
        }
    }

    async fn next_step(&mut self) -> Signal {
        match self.tui.as_mut().is_some_and(Tui::is_over) {
            _ if self.is_interrupted() => Signal::Interrupt,
            true => Signal::Stop,
            false => Signal::Continue,
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::is_set)
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Returns the process's peak resident set, where the system reports it.
    fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    async fn save(&mut self, directory: &str, files: Vec<(String, Vec<u8>)>) -> Result<(), SaveError> {
        if let Err(error) = self.restore() {
            self.say(&format!("warning: {LOG_FILE} cannot be written: {error}"));
        }
        disk::save(&self.output.join(directory), &files)
    }

    async fn rotate(&mut self, keep: usize, best: Option<&str>) {
        if let Err(error) = checkpoint::rotate(&self.output, keep, best) {
            self.say(&format!("warning: an old checkpoint could not be removed: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_is_peft_s() {
        assert_eq!(
            super::parameters_line(460_800, 134_975_808),
            "trainable params: 460,800 || all params: 134,975,808 || trainable%: 0.3414"
        );
    }
}
