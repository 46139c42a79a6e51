//! Control of a run: start, pause, stop, and resuming an interrupted one.

use leptos::prelude::*;
use lorelei_protocol::Request;

use super::notice::Place;
use super::run::Status;
use super::state::Page;
use super::{link, model};
use crate::logic::format::id_and_revision;

/// Starts a run, or resumes the interrupted one.
pub fn start(page: Page, resume: bool) {
    if untrack(move || page.obstacle()).is_some() {
        return;
    }
    let run = page.run;
    let recipe = page.form.recipe.get_untracked();
    page.notices.clear(Place::Run);
    run.clear();
    page.answers.clear();
    run.classifies.set_value(page.data.info().is_some_and(|info| info.classifies));
    run.resuming.set(false);
    if page.trainer.send(&Request::Start { recipe, resume, sample: run.sample() }, &[]) {
        run.status.set(Status::Starting);
    }
}

/// Pauses the run, or resumes it.
pub fn pause_or_resume(page: Page) {
    match page.run.status.get_untracked() {
        Status::Running => page.trainer.send(&Request::Pause, &[]),
        Status::Paused => page.trainer.send(&Request::Resume, &[]),
        _ => false,
    };
}

/// Stops the run.
pub fn stop(page: Page) {
    if page.run.status.get_untracked().is_active() && page.trainer.send(&Request::Stop, &[]) {
        page.run.status.set(Status::Stopping);
    }
}

/// Puts the interrupted run's recipe into the form, and resumes the run once its model and data are there.
pub fn resume_interrupted(page: Page) {
    let interrupted = page
        .trainer
        .capabilities
        .with_untracked(|found| found.as_ref().and_then(|found| found.interrupted.clone()));
    if let Some(interrupted) = interrupted {
        link::take_recipe(page, interrupted.recipe);
        page.run.fetched.set_value(false);
        page.run.resuming.set(true);
    }
}

/// Loads the recipe's model where that needs no file of the user's. It does so only once, as a model that cannot be had would otherwise be requested
/// for ever.
fn fetch_model(page: Page) {
    let name = model::named_by_recipe(page);
    if page.is_engaged() || page.run.fetched.get_value() || page.model.name_now().as_ref() == Some(&name) {
        return;
    }
    page.run.fetched.set_value(true);
    let cached = page.trainer.capabilities.with_untracked(|found| {
        let mut cached = found.iter().flat_map(|found| &found.cached);
        cached.find(|cached| id_and_revision(&cached.name) == id_and_revision(&name)).cloned()
    });
    if name.starts_with("builtin:") {
        model::load_builtin(page, &name);
    } else if let Some(cached) = cached {
        page.model.hub_id.set(id_and_revision(&name).0.to_string());
        page.model.hub_revision.set(id_and_revision(&cached.name).1.to_string());
        model::load_hub(page);
    }
}

/// Deletes the interrupted run.
pub fn discard_interrupted(page: Page) {
    page.run.resuming.set(false);
    if page.trainer.send(&Request::Discard, &[]) {
        page.trainer.capabilities.update(|capabilities| {
            if let Some(capabilities) = capabilities {
                capabilities.interrupted = None;
            }
        });
    }
}

/// Resumes an interrupted run as soon as that is possible.
pub fn keep_resuming(page: Page) {
    Effect::new(move |_| {
        if page.run.resuming.get() {
            match page.obstacle() {
                None => start(page, true),
                Some(_) => fetch_model(page),
            }
        }
    });
}
