//! The progress of the run, in numbers.

use leptos::prelude::*;

use lorelei_protocol::StepLog;

use super::state::Page;
use crate::logic::format::{bytes, decimal, duration, grouped, rate};
use crate::logic::metrics;
use crate::logic::texts::Texts;

/// Shows the numbers, and a bar.
pub fn numbers(page: Page) -> impl IntoView {
    let number =
        move |test_id: &'static str, text: fn(&Texts) -> &'static str, value: fn(Page) -> Option<String>| {
            view! {
                <div>
                    <dt>{move || text(page.t())}</dt>
                    <dd data-testid=test_id>{move || value(page).unwrap_or_else(|| "—".into())}</dd>
                </div>
            }
        };
    view! {
        {move || bar(page)}
        <dl class="facts numbers">
            {number("run-step", |t| t.step, step)}
            {number("run-loss", |t| t.loss, |page| page.run.last.with(|log| log.as_ref().map(|log| decimal(log.loss))))}
            {number("run-eval-loss", |t| t.eval_loss, |page| page.run.evaluation.get().map(|eval| decimal(eval.loss())))}
            {move || measured(page).into_iter().map(|(test_id, name, value)| view! {
                <div><dt>{name}</dt><dd data-testid=test_id>{value}</dd></div>
            }).collect_view()}
            {number("run-learning-rate", |t| t.learning_rate, |page| {
                page.run.last.with(|log| log.as_ref().map(|log| rate(log.learning_rate)))
            })}
            {number("run-grad-norm", |t| t.grad_norm, |page| {
                page.run.last.with(|log| log.as_ref().map(|log| decimal(log.grad_norm)))
            })}
            {number("run-speed", |t| t.speed, |page| {
                page.run.last.with(|log| log.as_ref().map(|log| grouped(log.tokens_per_second.max(0.0) as u64)))
            })}
            {number("run-eta", |t| t.eta, eta)}
            {number("run-memory", |t| t.memory_now, |page| {
                page.run.last.with(|log| log.as_ref().filter(|log| log.memory_bytes > 0).map(|log| bytes(log.memory_bytes)))
            })}
            {number("run-gpu-memory", |t| t.gpu_memory_now, |page| {
                let of = |log: &StepLog| Some(log.device_memory_bytes).filter(|count| *count > 0).map(bytes);
                page.run.last.with(|log| log.as_ref().and_then(of))
            })}
        </dl>
    }
}

/// Returns the last evaluation's metrics other than the loss: the test id, name and value of each.
fn measured(page: Page) -> Vec<(String, String, String)> {
    let t = page.t();
    let one = |(name, value): (&str, f64)| {
        (format!("run-{name}"), metrics::name(t, name), metrics::value(name, value))
    };
    page.run.evaluation.with(|found| found.iter().flat_map(|found| found.other_metrics().map(one)).collect())
}

fn step(page: Page) -> Option<String> {
    let started = page.run.started.get()?;
    Some(format!("{} / {}", page.run.step.get(), started.total_steps))
}

fn eta(page: Page) -> Option<String> {
    if !page.run.status.get().is_active() {
        return page.run.finished.get().map(|_| duration(0.0));
    }
    page.run.last.with(|log| log.as_ref().map(|log| duration(log.remaining_seconds)))
}

fn bar(page: Page) -> Option<impl IntoView> {
    let total = page.run.started.get()?.total_steps;
    let step = move || page.run.step.get().to_string();
    Some(
        view! { <progress class="run" max=total.max(1).to_string() value=step aria-label=move || page.t().step></progress> },
    )
}
