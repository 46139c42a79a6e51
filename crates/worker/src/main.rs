//! The trainer in a dedicated web worker: the same crates as the native program, behind messages.
//!
//! Everything is one thread and asynchronous: a run yields before each step, so that a request to pause, stop or answer is received during the run.
//! `lorelei-protocol` has the messages.

#[cfg(target_family = "wasm")]
mod answer;
#[cfg(target_family = "wasm")]
mod archive;
#[cfg(target_family = "wasm")]
mod blob;
#[cfg(target_family = "wasm")]
mod browser;
#[cfg(target_family = "wasm")]
mod data;
#[cfg(target_family = "wasm")]
mod device;
#[cfg(target_family = "wasm")]
mod export;
#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod hub;
#[cfg(target_family = "wasm")]
mod model;
#[cfg(target_family = "wasm")]
mod page_host;
#[cfg(target_family = "wasm")]
mod port;
#[cfg(target_family = "wasm")]
mod run;
#[cfg(target_family = "wasm")]
mod state;
#[cfg(target_family = "wasm")]
mod store;

/// Converts an error of the browser into a session's error.
#[cfg(target_family = "wasm")]
fn host_error(message: impl Into<lorelei_recipe::Message>) -> lorelei_session::SessionError {
    lorelei_session::SessionError::Host(message.into())
}

fn main() {
    #[cfg(target_family = "wasm")]
    port::open();
}
