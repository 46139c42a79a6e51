//! Messages to and from the page.

use js_sys::{Array, Object, Reflect, Uint8Array};
use lorelei_protocol::{Event, Failure, LONGEST_VALUE, Notice, Reply, Request};
use lorelei_recipe::message;
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, File, MessageEvent};

use crate::state;

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Listens for messages, answers those that came before the module ran, and reports that the worker is ready.
pub fn open() {
    std::panic::set_hook(Box::new(|panic| post(&Reply::Broken { message: panic.to_string() })));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(hear);
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The closure is kept for the life of the worker.
    on_message.forget();
    post(&Reply::Ready);
    spawn_local(crate::export::sweep());
    for event in crate::browser::early_messages().iter() {
        hear(event.unchecked_into());
    }
}

fn hear(event: MessageEvent) {
    let data = event.data();
    let field = |key: &str| Reflect::get(&data, &key.into()).unwrap_or(JsValue::UNDEFINED);
    let files: Vec<File> = match field("files").dyn_into::<Array>() {
        Ok(files) => files.iter().filter_map(|file| file.dyn_into().ok()).collect(),
        Err(_) => Vec::new(),
    };
    match serde_json::from_str::<Request>(&field("json").as_string().unwrap_or_default()) {
        Ok(request) => spawn_local(state::serve(request, files)),
        Err(error) => failed(
            "message",
            Failure {
                code: "protocol".to_owned(),
                message: message!(
                    "the page and the trainer do not understand each other ({reason}): reload the page",
                    reason = error.to_string()
                ),
                ..Failure::default()
            },
        ),
    }
}

/// Sends a reply.
pub fn post(reply: &Reply) {
    post_with(reply, None);
}

/// Sends a reply with bytes.
pub fn post_with(reply: &Reply, bytes: Option<&[u8]>) {
    let Ok(json) = serde_json::to_string(reply) else { return };
    let message = Object::new();
    let _ = Reflect::set(&message, &"json".into(), &json.into());
    let scope = scope();
    let _ = match bytes {
        None => scope.post_message(&message),
        Some(bytes) => {
            let bytes = Uint8Array::from(bytes);
            let _ = Reflect::set(&message, &"bytes".into(), &bytes);
            scope.post_message_with_transfer(&message, &Array::of1(&bytes.buffer()))
        }
    };
}

/// Sends a reply with a file, whose contents stay where they are.
pub fn post_file(reply: &Reply, file: &File) {
    let Ok(json) = serde_json::to_string(reply) else { return };
    let message = Object::new();
    let _ = Reflect::set(&message, &"json".into(), &json.into());
    let _ = Reflect::set(&message, &"file".into(), file);
    let _ = scope().post_message(&message);
}

/// Shows a notice.
pub fn warn(notice: Notice) {
    let notice = Notice { message: notice.message.cut_at(LONGEST_VALUE), ..notice };
    post(&Reply::Event { event: Event::Warned(notice) });
}

/// Reports that a request has failed.
pub fn failed(request: &str, failure: Failure) {
    let failure = Failure {
        message: failure.message.cut_at(LONGEST_VALUE),
        causes: failure.causes.into_iter().map(|cause| cause.cut_at(LONGEST_VALUE)).collect(),
        ..failure
    };
    post(&Reply::Failed { request: request.to_owned(), failure });
}
