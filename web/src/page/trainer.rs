//! The worker that trains: its start, its end, and the requests to it.

use js_sys::{Array, Object, Reflect};
use leptos::prelude::*;
use lorelei_protocol::{Capabilities, Request};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, Event, File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::state::Page;
use super::{browser, replies};

/// The state of the worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    /// The worker's module is being loaded.
    Loading,
    /// The worker is ready for requests.
    Ready,
    /// The worker has failed or did not start, for this reason.
    Dead(String),
}

/// The progress of a long operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The name of the operation.
    pub what: String,
    /// The amount that is done.
    pub done: u64,
    /// The whole amount; 0 where it is not known.
    pub total: u64,
}

/// The page's handle of the worker.
#[derive(Clone, Copy)]
pub struct Trainer {
    /// The worker's state.
    pub life: RwSignal<Life>,
    /// The progress of the loading of the worker's module.
    pub progress: RwSignal<Option<Progress>>,
    /// The worker's abilities in this browser.
    pub capabilities: RwSignal<Option<Capabilities>>,
    worker: StoredValue<Option<Running>, LocalStorage>,
}

/// A worker and the closures that it calls.
struct Running {
    worker: Worker,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(Event)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onmessageerror(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl Trainer {
    /// Creates the state without a worker.
    pub fn new() -> Self {
        Self {
            life: RwSignal::new(Life::Loading),
            progress: RwSignal::new(None),
            capabilities: RwSignal::new(None),
            worker: StoredValue::new_local(None),
        }
    }

    /// Sends a request to the worker. Returns `false` where that fails; the reason is then shown at the top of the page.
    pub fn send(self, request: &Request, files: &[File]) -> bool {
        // Without a worker, the reason has been shown already.
        let sent = self.worker.with_value(|running| Some(post(&running.as_ref()?.worker, request, files)));
        if let Some(Err(error)) = &sent {
            self.life.set(Life::Dead(browser::words(error)));
        }
        matches!(sent, Some(Ok(())))
    }

    /// Reports that the worker has failed, unless that was reported before: the first message names the place, and later ones only report that the
    /// worker has stopped.
    pub fn broke(self, page: Page, why: String) {
        if !self.life.with_untracked(|life| matches!(life, Life::Dead(_))) {
            self.life.set(Life::Dead(why));
            replies::lost(page);
        }
    }
}

fn post(worker: &Worker, request: &Request, files: &[File]) -> Result<(), JsValue> {
    let json = serde_json::to_string(request).map_err(|error| JsValue::from_str(&error.to_string()))?;
    let message = Object::new();
    Reflect::set(&message, &"json".into(), &json.into())?;
    Reflect::set(&message, &"files".into(), &files.iter().collect::<Array>())?;
    worker.post_message(&message)
}

/// Starts a worker. An earlier one is ended, with everything in it.
pub fn start(page: Page) {
    let trainer = page.trainer;
    trainer.worker.set_value(None);
    trainer.capabilities.set(None);
    trainer.progress.set(None);
    trainer.life.set(Life::Loading);
    match spawn(page) {
        Ok(running) => trainer.worker.set_value(Some(running)),
        Err(error) => trainer.life.set(Life::Dead(browser::words(&error))),
    }
}

fn spawn(page: Page) -> Result<Running, JsValue> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&format!("./worker.js{}", browser::parameters()), &options)?;
    let message = Closure::new(move |event: MessageEvent| replies::receive(page, &event.data()));
    let error = Closure::new(move |event: Event| {
        // The error is shown on the page and need not appear on the console.
        event.prevent_default();
        let words = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message).filter(|words| !words.is_empty());
        page.trainer.broke(page, words.unwrap_or_else(|| page.t_now().trainer_silent.to_string()));
    });
    worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
    worker.set_onmessageerror(Some(error.as_ref().unchecked_ref()));
    worker.set_onerror(Some(error.as_ref().unchecked_ref()));
    Ok(Running { worker, _message: message, _error: error })
}
