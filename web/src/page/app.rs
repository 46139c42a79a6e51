//! The page with all of its sections, in the order of the work.

use leptos::ev;
use leptos::prelude::*;

use super::notice::{Place, notice};
use super::state::Page;
use super::{
    data, data_section, header, link, model_section, recipe_section, run_control, run_section, share_section,
    trainer, try_section,
};

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let page = Page::new();
    link::follow_address(page);
    data::keep_reading(page);
    run_control::keep_resuming(page);
    warn_before_leaving(page);
    refuse_stray_drops();
    trainer::start(page);
    view! {
        <a class="skip" href="#model">{move || page.t().skip}</a>
        {header::header(page)}
        <main>
            {header::trainer_state(page)}
            {notice(page, Place::Page)}
            {notice(page, Place::Link)}
            {model_section::section(page).into_any()}
            {data_section::section(page).into_any()}
            {recipe_section::section(page).into_any()}
            {run_section::section(page).into_any()}
            {try_section::section(page).into_any()}
            {share_section::section(page).into_any()}
        </main>
        {header::footer(page)}
    }
}

/// Makes the browser ask before it closes the tab during a run, as that would interrupt the run.
fn warn_before_leaving(page: Page) {
    let handle = window_event_listener(ev::beforeunload, move |event| {
        if page.run.status.get_untracked().is_active() {
            event.prevent_default();
            event.set_return_value("running");
        }
    });
    std::mem::forget(handle);
}

/// Prevents a file that is dropped outside its zone from replacing the page.
fn refuse_stray_drops() {
    std::mem::forget(window_event_listener(ev::dragover, |event| event.prevent_default()));
    std::mem::forget(window_event_listener(ev::drop, |event| event.prevent_default()));
}
