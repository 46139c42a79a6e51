//! Events of a run, added to the page's state.

use leptos::prelude::*;
use lorelei_protocol::{Event, Finished, Started, StepLog};

use super::run::Status;
use super::state::Page;
use crate::logic::format::{bytes, decimal, duration, grouped, percent, rate};
use crate::logic::texts::fill;
use crate::logic::{metrics, notices};

/// Handles an event.
pub fn take(page: Page, event: Event) {
    let (run, t) = (page.run, page.t_now());
    if matches!(run.status.get_untracked(), Status::Starting) {
        run.status.set(Status::Running);
    }
    match event {
        Event::Started(started) => {
            run.say(started_line(page, &started), false);
            run.step.set(started.first_step);
            run.started.set(Some(started));
        }
        Event::Progress { step } => run.step.set(step),
        Event::Step(log) => {
            run.say(step_line(page, &log), false);
            run.step.set(log.step);
            run.history.update_value(|history| history.log(log.clone()));
            run.last.set(Some(log));
        }
        Event::Evaluated(evaluation) => {
            let loss = decimal(evaluation.loss());
            let mut line = fill(t.log_evaluated, &[("step", &evaluation.step), ("loss", &loss)]);
            for (name, value) in evaluation.other_metrics() {
                let (name, value) = (metrics::name(t, name), metrics::value(name, value));
                line += &fill(t.log_measured, &[("name", &name), ("value", &value)]);
            }
            run.say(line, false);
            run.history.update_value(|history| history.evaluate(evaluation.clone()));
            run.evaluation.set(Some(evaluation));
            run.redraw();
        }
        Event::Sampled(sampled) => {
            run.say(fill(t.log_sampled, &[("step", &sampled.step), ("text", &sampled.text)]), false);
            run.sampled.set(Some(sampled));
        }
        Event::Saved(saved) => {
            let place = if saved.directory.is_empty() { t.log_saved_end } else { saved.directory.as_str() };
            run.say(fill(t.log_saved, &[("step", &saved.step), ("place", &place)]), false);
        }
        Event::Warned(notice) => run.say(notices::said(page.language.get_untracked(), &notice.message), true),
        Event::Finished(finished) => {
            run.say(finished_line(page, &finished), false);
            run.step.set(finished.steps);
            run.has_adapter.set(true);
            page.answers.classifies.set(run.classifies.get_value());
            run.finished.set(Some(finished));
            run.status.set(Status::Finished);
            page.trainer.capabilities.update(|capabilities| {
                if let Some(capabilities) = capabilities {
                    capabilities.interrupted = None;
                }
            });
        }
    }
}

fn started_line(page: Page, started: &Started) -> String {
    let share = percent(started.trainable_parameters as f64, started.all_parameters as f64);
    fill(
        page.t_now().log_started,
        &[
            ("rows", &grouped(started.num_examples as u64)),
            ("steps", &grouped(started.total_steps as u64)),
            ("batch", &grouped(started.effective_batch_size as u64)),
            ("warmup", &grouped(started.warmup_steps as u64)),
            ("trainable", &grouped(started.trainable_parameters as u64)),
            ("share", &share),
        ],
    )
}

fn step_line(page: Page, log: &StepLog) -> String {
    let total = page.run.started.with_untracked(|started| started.map_or(0, |started| started.total_steps));
    fill(
        page.t_now().log_step,
        &[
            ("step", &log.step),
            ("total", &total),
            ("loss", &decimal(log.loss)),
            ("rate", &rate(log.learning_rate)),
            ("norm", &decimal(log.grad_norm)),
            ("speed", &grouped(log.tokens_per_second.max(0.0) as u64)),
        ],
    )
}

fn finished_line(page: Page, finished: &Finished) -> String {
    let t = page.t_now();
    let text = if finished.stopped { t.log_stopped } else { t.log_finished };
    let memory = if finished.memory_bytes > 0 { bytes(finished.memory_bytes) } else { "—".into() };
    fill(
        text,
        &[
            ("steps", &finished.steps),
            ("loss", &decimal(finished.train_loss)),
            ("time", &duration(finished.train_runtime)),
            ("speed", &grouped(finished.tokens_per_second.max(0.0) as u64)),
            ("memory", &memory),
        ],
    )
}
