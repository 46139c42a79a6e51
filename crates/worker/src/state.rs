//! What outlives a request, and who answers which.

use std::cell::RefCell;

use lorelei_protocol::{Reply, Request};
use lorelei_session::{LoadedModel, Result, RunData, SessionError};
use web_sys::File;

use crate::{
    answer,
    data::{self, PreviewRequest},
    device::{self, Devices},
    export, host_error, model, port, run,
    run::{Control, Trained},
    store,
};

/// Everything that outlives a request.
#[derive(Default)]
pub struct State {
    /// Devices that were made.
    pub devices: Devices,
    /// The base.
    pub model: Option<LoadedModel>,
    /// What is learnt from.
    pub data: Option<RunData>,
    /// What the page wants of the run that goes on.
    pub control: Option<Control>,
    /// The last adapter.
    pub trained: Option<Trained>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Looks at the state. Never across an `await`.
pub fn with<T>(look: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| look(&mut state.borrow_mut()))
}

/// Whether a run goes on.
fn is_running() -> bool {
    with(|state| state.control.is_some())
}

/// Answers a request; whatever goes wrong is said and leaves things as they were.
pub async fn serve(request: Request, files: Vec<File>) {
    let (name, result) = match request {
        Request::Probe => ("probe", device::capabilities().await.map_err(host_error)),
        Request::Pause => ("pause", set(|control| control.paused = true)),
        Request::Resume => ("resume", set(|control| control.paused = false)),
        Request::Stop => ("stop", set(|control| control.stop = true)),
        Request::Load { model, device } => ("load", idle(model::load(model, device, files)).await),
        Request::Preview { train, validation, section, task_type, seed, rows } => {
            let request = PreviewRequest { train, validation, section, task_type, seed, rows };
            ("preview", idle(data::preview(request, files)).await)
        }
        Request::Start { recipe, resume, sample } => {
            ("start", idle(run::start(recipe, resume, sample)).await)
        }
        Request::Generate { prompt, generation } => {
            ("generate", idle(answer::generate(prompt, generation)).await)
        }
        Request::Export => ("export", export::export()),
        Request::DeleteModel { name } => {
            ("delete_model", store::delete_model(&name).await.map_err(host_error))
        }
        Request::Discard => ("discard", store::discard().await.map_err(host_error)),
    };
    if let Err(error) = result {
        port::failed(name, error.failure());
    }
}

/// Does work only where no run goes on: it has the model and the data.
async fn idle(work: impl Future<Output = Result<()>>) -> Result<()> {
    match is_running() {
        true => Err(SessionError::RunGoesOn),
        false => work.await,
    }
}

fn set(change: impl FnOnce(&mut Control)) -> Result<()> {
    let paused = with(|state| {
        state.control.as_mut().map(|control| {
            change(control);
            control.paused
        })
    });
    port::post(&Reply::Paused { paused: paused.ok_or(SessionError::NoRun)? });
    Ok(())
}
