//! The worker's state, and the dispatch of its requests.

use std::cell::RefCell;

use lorelei_protocol::{LONGEST_VALUE, Reply, Request};
use lorelei_recipe::{ImportFormat, Imported, Warning, message};
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

/// Everything that is kept from one request to the next.
#[derive(Default)]
pub struct State {
    /// The devices that have been created.
    pub devices: Devices,
    /// The base model.
    pub model: Option<LoadedModel>,
    /// The licence of the base model, if it is known.
    pub license: Option<String>,
    /// The data to train on.
    pub data: Option<RunData>,
    /// The page's wishes for the current run, if there is one.
    pub control: Option<Control>,
    /// The result of the last run.
    pub trained: Option<Trained>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Gives `look` access to the state, which must not be held across an `await`.
pub fn with<T>(look: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| look(&mut state.borrow_mut()))
}

/// Whether a run is in progress.
fn is_running() -> bool {
    with(|state| state.control.is_some())
}

/// Answers a request. An error is reported to the page and leaves the state as it was.
pub async fn serve(request: Request, files: Vec<File>) {
    let (name, result) = match request {
        Request::Probe => ("probe", device::capabilities().await.map_err(host_error)),
        Request::Pause => ("pause", set(|control| control.paused = true)),
        Request::Resume => ("resume", set(|control| control.paused = false)),
        Request::Stop => ("stop", set(|control| control.stop = true)),
        Request::Import { text, file_name } => ("import", import(&text, &file_name)),
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
        Request::Export { kind, dtype } => ("export", idle(export::export(kind, dtype)).await),
        Request::DeleteModel { name } => {
            ("delete_model", store::delete_model(&name).await.map_err(host_error))
        }
        Request::Discard => ("discard", store::discard().await.map_err(host_error)),
    };
    if let Err(error) = result {
        port::failed(name, error.failure());
    }
}

/// Makes a recipe of a text. It is done here and not in the page so that the page's module, which is loaded first, is small.
fn import(text: &str, file_name: &str) -> Result<()> {
    let imported = Imported::from_text(text, file_name)?;
    let notes = imported.left_out.iter().chain(&imported.warnings);
    let note = |note: &Warning| match note.line {
        0 => note.message.clone(),
        line => message!("{place}: {message}", place = line, message = &note.message),
    };
    port::post(&Reply::Imported {
        is_foreign: imported.format != ImportFormat::Recipe,
        notes: notes.map(|one| note(one).cut_at(LONGEST_VALUE)).collect(),
        recipe: imported.recipe,
    });
    Ok(())
}

/// Does work only while no run is in progress, as a run uses the model and the data.
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
