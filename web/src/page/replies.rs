//! Handling of the worker's messages.

use std::sync::Arc;

use js_sys::{Reflect, Uint8Array};
use leptos::prelude::*;
use lorelei_protocol::{Capabilities, ModelChoice, ModelInfo, Reply, Request};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

use super::notice::Place;
use super::run::Status;
use super::state::Page;
use super::trainer::{Life, Progress};
use super::{browser, link, model, paste, run_events};
use crate::logic::notices;
use crate::logic::texts::fill;

/// The worker's name for the loading of its own module.
const TRAINER: &str = "trainer";

/// Handles a message from the worker.
pub fn receive(page: Page, message: &JsValue) {
    let get = |name: &str| Reflect::get(message, &name.into()).ok();
    let Some(json) = get("json").and_then(|json| json.as_string()) else { return };
    match serde_json::from_str(&json) {
        Ok(reply) => {
            let bytes = get("bytes").and_then(|bytes| bytes.dyn_into().ok());
            take(page, reply, bytes, get("file").and_then(|file| file.dyn_into().ok()));
        }
        Err(error) => {
            page.answers.going.set(false);
            page.notices.say(Place::Page, fill(page.t_now().not_understood, &[("error", &error)]));
        }
    }
}

fn take(page: Page, reply: Reply, bytes: Option<Uint8Array>, file: Option<File>) {
    match reply {
        Reply::Ready => {
            page.trainer.progress.set(None);
            page.trainer.life.set(Life::Ready);
            page.trainer.send(&Request::Probe, &[]);
        }
        Reply::Capabilities(capabilities) => probed(page, capabilities),
        Reply::Progress { what, done, total } => {
            let progress = Some(Progress { what, done, total });
            let ours = page.trainer.life.with_untracked(|life| *life == Life::Loading);
            if ours || progress.as_ref().is_some_and(|progress| progress.what == TRAINER) {
                page.trainer.progress.set(progress);
            } else {
                page.model.progress.set(progress);
            }
        }
        Reply::Unloaded => page.model.info.set(None),
        Reply::Broken { message } => page.trainer.broke(page, message),
        Reply::Loaded(info) => loaded(page, info),
        Reply::Imported { recipe, is_foreign, notes } => paste::imported(page, recipe, is_foreign, notes),
        Reply::Previewed(info) => {
            page.notices.clear(Place::Data);
            if let Some(question) = page.data.asked.get_untracked() {
                page.data.read.set(Some((question, Some(Arc::new(info)))));
            }
            page.data.asked.set(None);
        }
        Reply::Event { event } => run_events::take(page, event),
        Reply::Paused { paused } => {
            // A run that is stopping keeps that status.
            if matches!(page.run.status.get_untracked(), Status::Running | Status::Paused) {
                page.run.status.set(if paused { Status::Paused } else { Status::Running });
            }
        }
        Reply::Generated { without_adapter, with_adapter, finished, .. } => {
            page.answers.without.set(without_adapter);
            page.answers.with.set(with_adapter);
            page.answers.going.set(!finished);
        }
        Reply::Classified { verdict, .. } => {
            page.answers.verdict.set(Some(verdict));
            page.answers.going.set(false);
        }
        Reply::Offered { offers } => page.download.offered(offers),
        Reply::Exported { file_name, notices } => {
            page.download.going.set(false);
            page.download.notes.set(notices);
            let saved = match (file, bytes) {
                (Some(file), _) => Some(browser::save_blob(&file_name, &file)),
                (None, Some(bytes)) => Some(browser::save(&file_name, media_type(&file_name), &bytes)),
                (None, None) => None,
            };
            if !matches!(saved, Some(Ok(()))) {
                page.notices.say(Place::Share, page.t_now().not_saved);
            }
        }
        Reply::Failed { request, failure } => {
            let message = notices::failure(page.language.get_untracked(), &failure);
            failed(page, &request, message);
        }
    }
}

fn media_type(file_name: &str) -> &'static str {
    if file_name.ends_with(".zip") { "application/zip" } else { "application/octet-stream" }
}

fn probed(page: Page, capabilities: Capabilities) {
    let first = page.trainer.capabilities.with_untracked(Option::is_none);
    page.trainer.capabilities.set(Some(capabilities));
    if first {
        begin(page);
    }
}

/// Loads the first model, unless the recipe's model has to be fetched or chosen, which a link never does by itself.
fn begin(page: Page) {
    if page.model.picked.with_value(Option::is_some) {
        model::load_again(page);
    } else {
        link::load_named_builtin(page);
    }
}

fn loaded(page: Page, info: ModelInfo) {
    page.run.has_adapter.set(false);
    page.download.clear();
    page.answers.clear();
    page.answers.classifies.set(false);
    model::loaded(page, info);
    // The contents of the browser's storage may have changed.
    let hub = page
        .model
        .picked
        .with_value(|pick| pick.as_ref().is_some_and(|pick| matches!(pick.choice, ModelChoice::Hub { .. })));
    if hub {
        page.trainer.send(&Request::Probe, &[]);
    }
}

fn failed(page: Page, request: &str, message: String) {
    let place = match request {
        "load" => {
            page.run.resuming.set(false);
            page.model.loading.set(None);
            page.model.progress.set(None);
            Place::Model
        }
        "delete_model" => Place::Model,
        "preview" => {
            if let Some(question) = page.data.asked.get_untracked() {
                page.data.read.set(Some((question, None)));
            }
            page.data.asked.set(None);
            Place::Data
        }
        "start" => {
            end_badly(page, &message);
            Place::Run
        }
        "import" => Place::Recipe,
        "pause" | "resume" | "stop" | "discard" => Place::Run,
        "generate" => {
            page.answers.going.set(false);
            Place::Try
        }
        "export" => {
            page.download.going.set(false);
            Place::Share
        }
        "message" => {
            page.answers.going.set(false);
            Place::Page
        }
        "probe" => {
            begin(page);
            Place::Page
        }
        _ => Place::Page,
    };
    page.notices.say(place, message);
}

fn end_badly(page: Page, message: &str) {
    if page.run.status.get_untracked().is_active() {
        page.run.say(message.to_string(), true);
        page.run.status.set(Status::Failed);
    }
}

/// Clears the state of everything that was in the worker, as the worker is gone.
pub fn lost(page: Page) {
    end_badly(page, page.t_now().trainer_dead);
    page.run.has_adapter.set(false);
    page.download.clear();
    page.answers.going.set(false);
    page.model.loading.set(None);
    page.model.progress.set(None);
    page.model.info.set(None);
    page.data.asked.set(None);
    page.data.read.set(None);
}
