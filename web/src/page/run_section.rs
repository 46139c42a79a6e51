//! The section for training and watching a run.

use leptos::prelude::*;

use super::chart::{Curve, chart};
use super::notice::{Place, notice};
use super::run::Status;
use super::state::Page;
use super::{run_control, run_log, run_numbers};
use crate::logic::format::{decimal, rate};
use crate::logic::history::History;
use crate::logic::texts::fill;

const LOSS: Curve = Curve {
    test_id: "chart-loss",
    title: |t| t.loss,
    line: History::losses,
    dots: Some((History::eval_losses, |t| t.eval_loss)),
    number: decimal,
};
const ACCURACY: Curve = Curve {
    test_id: "chart-accuracy",
    title: |t| t.accuracy,
    line: History::eval_accuracies,
    dots: None,
    number: decimal,
};
const LEARNING_RATE: Curve = Curve {
    test_id: "chart-learning-rate",
    title: |t| t.learning_rate,
    line: History::learning_rates,
    dots: None,
    number: rate,
};
const GRAD_NORM: Curve = Curve {
    test_id: "chart-grad-norm",
    title: |t| t.grad_norm,
    line: History::grad_norms,
    dots: None,
    number: decimal,
};

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    // The metrics of a classifier are shown.
    let measures =
        Memo::new(move |_| page.run.evaluation.get().is_some_and(|found| found.metric("accuracy").is_some()));
    view! {
        <section id="run" aria-labelledby="run-heading">
            <h2 id="run-heading">{move || page.t().run}</h2>
            {move || interrupted(page)}
            {notice(page, Place::Run)}
            {sample(page)}
            {buttons(page)}
            <p class="status" data-testid="run-status" aria-live="polite">{move || status(page)}</p>
            {run_numbers::numbers(page)}
            <div class="charts">
                {chart(page, LOSS)} {move || measures.get().then(|| chart(page, ACCURACY))}
                {chart(page, LEARNING_RATE)} {chart(page, GRAD_NORM)}
            </div>
            {move || page.run.sampled.get().map(|sampled| view! {
                <h3>{move || fill(page.t().sampled, &[("step", &sampled.step)])}</h3>
                <blockquote data-testid="run-sample">{sampled.text}</blockquote>
            })}
            {run_log::log(page)}
        </section>
    }
}

fn buttons(page: Page) -> impl IntoView {
    let obstacle = Memo::new(move |_| page.obstacle());
    let status = page.run.status;
    let held = move || matches!(status.get(), Status::Running | Status::Paused);
    let pause = move || if status.get() == Status::Paused { page.t().go_on } else { page.t().pause };
    view! {
        <div class="row">
            <button
                type="button"
                class="main"
                data-testid="run-start"
                aria-describedby="run-obstacle"
                prop:disabled=move || obstacle.with(Option::is_some)
                on:click=move |_| run_control::start(page, false)
            >
                {move || page.t().start}
            </button>
            <button type="button" data-testid="run-pause" prop:disabled=move || !held() on:click=move |_| run_control::pause_or_resume(page)>
                {pause}
            </button>
            <button type="button" data-testid="run-stop" prop:disabled=move || !held() on:click=move |_| run_control::stop(page)>
                {move || page.t().stop}
            </button>
        </div>
        <p class="hint" id="run-obstacle" data-testid="run-obstacle" aria-live="polite">
            {move || obstacle.get().filter(|_| !status.get().is_active())}
        </p>
    }
}

fn sample(page: Page) -> impl IntoView {
    let run = page.run;
    view! {
        <fieldset class="row" prop:disabled=move || run.status.get().is_active()>
            <legend class="unseen">{move || page.t().sample_prompt}</legend>
            <label class="wide">
                <span>{move || page.t().sample_prompt}</span>
                <input
                    type="text"
                    data-testid="run-sample-prompt"
                    placeholder="What is AI?"
                    prop:value=run.sample_prompt
                    on:input=move |event| run.sample_prompt.set(event_target_value(&event))
                />
            </label>
            <label>
                <span>{move || page.t().sample_every}</span>
                <input
                    type="text"
                    inputmode="numeric"
                    data-testid="run-sample-every"
                    prop:value=run.sample_every
                    on:input=move |event| run.sample_every.set(event_target_value(&event))
                />
            </label>
        </fieldset>
    }
}

fn status(page: Page) -> String {
    let t = page.t();
    match page.run.status.get() {
        Status::Idle => t.status_idle.into(),
        Status::Starting => t.status_starting.into(),
        Status::Running => t.status_running.into(),
        Status::Paused => t.status_paused.into(),
        Status::Stopping => t.status_stopping.into(),
        Status::Failed => t.status_failed.into(),
        Status::Finished => match page.run.finished.get() {
            Some(finished) if finished.stopped => fill(t.status_stopped, &[("steps", &finished.steps)]),
            finished => {
                let loss = finished.map_or_else(|| "—".into(), |finished| decimal(finished.train_loss));
                let steps = finished.map_or(0, |finished| finished.steps);
                fill(t.status_finished, &[("steps", &steps), ("loss", &loss)])
            }
        },
    }
}

/// Shows the offer to resume an interrupted run.
fn interrupted(page: Page) -> Option<impl IntoView> {
    let found = page
        .trainer
        .capabilities
        .with(|capabilities| capabilities.as_ref().and_then(|found| found.interrupted.clone()))?;
    if page.run.status.get().is_active() {
        return None;
    }
    let words = move || fill(page.t().interrupted, &[("step", &found.step), ("total", &found.total_steps)]);
    let waiting = move || page.run.resuming.get().then(|| page.obstacle()).flatten();
    Some(view! {
        <div class="notice calm" role="status" data-testid="interrupted">
            <p>{words}</p>
            <p class="hint">{waiting}</p>
            <div class="row">
                <button type="button" data-testid="resume-run" on:click=move |_| run_control::resume_interrupted(page)>
                    {move || page.t().resume}
                </button>
                <button type="button" class="quiet" data-testid="resume-discard" on:click=move |_| run_control::discard_interrupted(page)>
                    {move || page.t().discard}
                </button>
            </div>
        </div>
    })
}
