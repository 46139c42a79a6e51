//! The parts of the page that need no browser.

// In native builds only the tests use these modules.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code))]

mod chinese;
pub mod decimate;
pub mod field_docs;
pub mod field_text;
pub mod folder;
pub mod format;
pub mod history;
pub mod layout;
pub mod metrics;
pub mod notices;
pub mod plot;
pub mod start;
pub mod texts;
