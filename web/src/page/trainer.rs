//! The worker that trains: its start, its end, and what is said to it.

use js_sys::{Array, Object, Reflect};
use leptos::prelude::*;
use lorelei_protocol::{Capabilities, Request};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, Event, File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::state::Page;
use super::{browser, replies};

/// How the worker is.
#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    /// Its module is on its way.
    Loading,
    /// It listens.
    Ready,
    /// It broke, or never began; why.
    Dead(String),
}

/// Something that takes a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub what: String,
    /// So far.
    pub done: u64,
    /// Of so many; 0 where it is not known.
    pub total: u64,
}

/// The worker, from the page's side.
#[derive(Clone, Copy)]
pub struct Trainer {
    /// How it is.
    pub life: RwSignal<Life>,
    /// How far its module is.
    pub progress: RwSignal<Option<Progress>>,
    /// What it can do here.
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
    /// None yet.
    pub fn new() -> Self {
        Self {
            life: RwSignal::new(Life::Loading),
            progress: RwSignal::new(None),
            capabilities: RwSignal::new(None),
            worker: StoredValue::new_local(None),
        }
    }

    /// Says something to the worker. `false` where that cannot be; the reason then stands above the page.
    pub fn send(self, request: &Request, files: &[File]) -> bool {
        let sent = self.worker.with_value(|running| match running {
            Some(running) => post(&running.worker, request, files),
            None => Err(JsValue::from_str("there is no worker")),
        });
        if let Err(error) = &sent {
            self.life.set(Life::Dead(browser::words(error)));
        }
        sent.is_ok()
    }

    /// Says that the worker broke down, unless that was said: the first word names the place, what follows only that it stopped.
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

/// Starts a worker; one that was there is ended, with all that it held.
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
        // It is said on the page; the console need not say it again.
        event.prevent_default();
        let words = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message).filter(|words| !words.is_empty());
        page.trainer.broke(page, words.unwrap_or_else(|| page.t_now().trainer_silent.to_string()));
    });
    worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
    worker.set_onmessageerror(Some(error.as_ref().unchecked_ref()));
    worker.set_onerror(Some(error.as_ref().unchecked_ref()));
    Ok(Running { worker, _message: message, _error: error })
}
