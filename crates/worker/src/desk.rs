//! What the worker has at hand, and who answers which request.

use std::cell::RefCell;

use lorelei_protocol::{Reply, Request};
use web_sys::File;

use crate::{
    answer,
    data::{self, Asked, Data},
    device::{self, Devices},
    export,
    model::{self, Loaded},
    port, run,
    run::{Control, Trained},
    store,
};

/// Everything that outlives a request.
#[derive(Default)]
pub struct Desk {
    /// Devices that were made.
    pub devices: Devices,
    /// The model.
    pub model: Option<Loaded>,
    /// What is learnt from.
    pub data: Option<Data>,
    /// What the page wants of the run that goes on.
    pub control: Option<Control>,
    /// The last adapter.
    pub trained: Option<Trained>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// A look at the desk. Never across an `await`.
pub fn with<T>(look: impl FnOnce(&mut Desk) -> T) -> T {
    DESK.with(|desk| look(&mut desk.borrow_mut()))
}

/// Whether a run goes on.
fn is_running() -> bool {
    with(|desk| desk.control.is_some())
}

/// Answers a request; whatever goes wrong is said and leaves things as they were.
pub async fn serve(request: Request, files: Vec<File>) {
    let (name, result) = match request {
        Request::Probe => ("probe", device::capabilities().await),
        Request::Pause => ("pause", set(|control| control.paused = true)),
        Request::Resume => ("resume", set(|control| control.paused = false)),
        Request::Stop => ("stop", set(|control| control.stop = true)),
        Request::Load { model, device } => ("load", idle(model::load(model, device, files)).await),
        Request::Preview { train, validation, section, task_type, seed, rows } => {
            let asked = Asked { train, validation, section, task_type, seed, rows };
            ("preview", idle(data::preview(asked, files)).await)
        }
        Request::Start { recipe, resume, sample } => {
            ("start", idle(run::start(recipe, resume, sample)).await)
        }
        Request::Generate { prompt, speech } => ("generate", idle(answer::generate(prompt, speech)).await),
        Request::Export => ("export", export::export()),
        Request::DeleteModel { name } => ("delete_model", store::delete_model(&name).await),
        Request::Discard => ("discard", store::discard().await),
    };
    if let Err(message) = result {
        port::failed(name, message);
    }
}

/// Only where no run goes on: it has the model and the data.
async fn idle(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match is_running() {
        true => Err("a run goes on: stop it first, or wait until it is done".into()),
        false => work.await,
    }
}

fn set(change: impl FnOnce(&mut Control)) -> Result<(), String> {
    with(|desk| match &mut desk.control {
        Some(control) => {
            change(control);
            Ok(control.paused)
        }
        None => Err("no run goes on".to_owned()),
    })
    .map(|paused| port::post(&Reply::Paused { paused }))
}
