//! The page in a browser: its state, its messages to and from the trainer, and its sections.

mod answers;
mod app;
mod browser;
mod chart;
mod data;
mod data_section;
mod download;
mod drop;
mod estimates;
mod fact;
mod field;
mod form;
mod header;
mod hub;
mod lengths;
mod link;
mod model;
mod model_section;
mod notice;
mod paste;
mod preview;
mod progress;
mod readiness;
mod recipe_section;
mod replies;
mod run;
mod run_control;
mod run_events;
mod run_log;
mod run_numbers;
mod run_section;
mod share_section;
mod state;
mod trainer;
mod try_section;
mod verdict;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Mounts the page in place of the text that is shown while it loads.
pub fn start() {
    std::panic::set_hook(Box::new(notice::show_panic));
    if let Some(place) = document().get_element_by_id("app").and_then(|place| place.dyn_into().ok()) {
        let place: web_sys::HtmlElement = place;
        place.set_text_content(None);
        leptos::mount::mount_to(place, app::App).forget();
    }
}
