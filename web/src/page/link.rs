//! Recipes that come from elsewhere: from a link, a file, or an interrupted run. The model and the files that they name are shown, but fetched only
//! when the user asks for it.

use leptos::ev;
use leptos::prelude::*;
use lorelei_recipe::{HubId, Recipe};

use super::notice::Place;
use super::state::Page;
use super::{browser, data, form, model};
use crate::logic::texts::fill;

/// Puts a recipe into the form. A recipe that names no model is used with the current model.
pub fn take_recipe(page: Page, mut recipe: Recipe) {
    if recipe.model.model_name_or_path.is_none() {
        let there = model::named_by_recipe(page);
        recipe.model.model_name_or_path = Some(there).filter(|name| !name.is_empty());
    }
    let name = recipe.model.model_name_or_path.clone().unwrap_or_default();
    page.form.replace(recipe);
    data::follow_recipe(page);
    if let Some(HubId { id, revision }) = HubId::parse(&name) {
        page.model.hub_id.set(id.to_owned());
        page.model.hub_revision.set(revision.unwrap_or("main").to_owned());
    }
    load_named_builtin(page);
}

/// Loads the recipe's model if the worker carries it and has not loaded it.
pub fn load_named_builtin(page: Page) {
    let name = model::named_by_recipe(page);
    if name.starts_with("builtin:") && page.model.name_now().as_ref() != Some(&name) {
        model::load_builtin(page, &name);
    }
}

/// Loads the recipe in the page's address, now and whenever the address changes.
pub fn follow_address(page: Page) {
    read(page);
    let handle = window_event_listener(ev::hashchange, move |_| read(page));
    // The listener is kept for the life of the page.
    std::mem::forget(handle);
}

fn read(page: Page) {
    let fragment = browser::fragment();
    // The other fragments are the sections' names.
    if !fragment.starts_with("r=") {
        return;
    }
    if page.run.status.get_untracked().is_active() {
        page.notices.say(Place::Link, page.t_now().link_while_running);
        return;
    }
    match lorelei_recipe::decode_link(&fragment) {
        Ok(recipe) => {
            page.notices.clear(Place::Link);
            take_recipe(page, recipe);
        }
        Err(error) => {
            let words = form::words(page.language.get_untracked(), &error);
            page.notices.say(Place::Link, fill(page.t_now().bad_link, &[("error", &words)]))
        }
    }
}

/// Returns the page's address with the whole recipe in it.
pub fn address(recipe: &Recipe) -> String {
    browser::address_with(&lorelei_recipe::encode_link(recipe))
}
