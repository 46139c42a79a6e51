//! Recipes from a text that is pasted or opened: a recipe, or Python, `adapter_config.json` or another trainer's YAML.

use leptos::prelude::*;
use lorelei_protocol::Request;
use lorelei_recipe::{Message, Recipe};

use super::link;
use super::notice::Place;
use super::state::Page;
use crate::logic::notices;
use crate::logic::texts::fill;

/// The state of the box for pasted text.
#[derive(Clone, Copy)]
pub struct Paste {
    text: RwSignal<String>,
    /// What was not taken of the last text, and what to know about the rest.
    notes: RwSignal<Vec<Message>>,
}

impl Paste {
    /// Creates an empty box.
    pub fn new() -> Self {
        Self { text: RwSignal::new(String::new()), notes: RwSignal::new(Vec::new()) }
    }
}

/// Has the worker make a recipe of a text.
pub fn import(page: Page, text: String, file_name: String) {
    page.paste.notes.set(Vec::new());
    page.trainer.send(&Request::Import { text, file_name }, &[]);
}

/// Takes the recipe that the worker made of a text.
pub fn imported(page: Page, mut recipe: Recipe, is_foreign: bool, notes: Vec<Message>) {
    page.notices.clear(Place::Recipe);
    page.paste.notes.set(notes);
    page.form.recipe.with_untracked(|old| {
        // Another trainer's text that names no data keeps the data that was chosen.
        if is_foreign && recipe.data.train_file.is_none() {
            recipe.data.train_file = old.data.train_file.clone();
            recipe.data.validation_file = old.data.validation_file.clone();
        }
    });
    link::take_recipe(page, recipe);
}

/// Shows a box for the text, folded away, and what was not taken of the last one.
pub fn paste(page: Page) -> impl IntoView {
    let Paste { text, notes } = page.paste;
    let take = move |_| import(page, text.get_untracked(), "paste".to_owned());
    let title = move || {
        let count = notes.with(Vec::len);
        (count > 0).then(|| fill(page.t().paste_left_out, &[("count", &count)]))
    };
    let lines = move || {
        let language = page.language.get();
        notes.with(|notes| notes.iter().map(|note| notices::said(language, note)).collect::<Vec<_>>())
    };
    let open = NodeRef::<leptos::html::Details>::new();
    // What a file that was opened lost must not be folded away.
    Effect::new(move |_| {
        if let Some(details) = open.get()
            && notes.with(|notes| !notes.is_empty())
        {
            details.set_open(true);
        }
    });
    view! {
        <details node_ref=open data-testid="paste">
            <summary>{move || page.t().paste}</summary>
            <label class="wide">
                <span>{move || page.t().paste_lead}</span>
                <textarea
                    rows="8"
                    spellcheck="false"
                    data-testid="paste-text"
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                ></textarea>
            </label>
            <button type="button" data-testid="paste-take" on:click=take>{move || page.t().paste_take}</button>
            <div aria-live="polite" data-testid="paste-left-out">
                {move || title().map(|title| view! { <p class="warning">{title}</p> })}
                <ul>{move || lines().into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}</ul>
            </div>
        </details>
    }
}
