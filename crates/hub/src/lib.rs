//! A model hub's files: what its answers mean and may do, and a client that keeps the files in the cache that all of the hub's tools share.
//!
//! A hub is trusted with nothing but the bytes that it is asked for. The rules are functions without any I/O ([`names`], [`checksum`], [`range`],
//! [`answer`], [`retry`]); the program and the page hold to the same ones. The client (feature `client`) is `Repository`; its cache has the layout of
//! `huggingface_hub`, its settings are the variables that `huggingface_hub` reads (`Settings`). `Uploader` brings a run's result to a hub.

pub mod answer;
pub mod checksum;
pub mod names;
pub mod range;
pub mod retry;

#[cfg(feature = "client")]
mod cache;
#[cfg(feature = "client")]
mod download;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod push;
#[cfg(feature = "client")]
mod redirect;
#[cfg(feature = "client")]
mod repository;
#[cfg(feature = "client")]
mod settings;
#[cfg(feature = "client")]
mod transport;

#[cfg(feature = "client")]
pub use {
    error::{HubError, Problem},
    push::{Contents, PushEvent, Pushed, ResultFiles, Target, UploadFile, Uploader, result_files},
    redirect::{Redirection, next_address},
    repository::{Event, Repository},
    settings::{Proxies, Settings, Timeouts, Token},
};
