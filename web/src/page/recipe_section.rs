//! The section with the form of the recipe.

use leptos::prelude::*;
use leptos::task::spawn_local;
use lorelei_recipe::Recipe;
use lorelei_recipe::fields::Table;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::drop::{Chosen, Picks};
use super::notice::{Place, notice};
use super::state::Page;
use super::{browser, drop, estimates, field, paste};
use crate::logic::layout::fields_of;
use crate::logic::start::start_recipe;
use crate::logic::texts::Texts;

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    let busy = Memo::new(move |_| page.run.status.get().is_active());
    let general = Memo::new(move |_| page.form.verdict.with(|verdict| verdict.error("")));
    view! {
        <section id="recipe" aria-labelledby="recipe-heading">
            <h2 id="recipe-heading">{move || page.t().recipe}</h2>
            <p>{move || page.t().recipe_lead}</p>
            {notice(page, Place::Recipe)}
            <p class="error" data-testid="recipe-error" aria-live="polite">{move || general.get()}</p>
            {field::unhonoured(page)}
            {estimates::estimates(page)}
            <fieldset prop:disabled=busy>
                <legend class="unseen">{move || page.t().recipe}</legend>
                {beginnings(page)}
                {paste::paste(page)}
                {group(page, Table::Lora, |t| t.lora)}
                {group(page, Table::Training, |t| t.training)}
            </fieldset>
        </section>
    }
}

fn group(page: Page, table: Table, name: fn(&Texts) -> &'static str) -> impl IntoView {
    view! {
        <h3>{move || name(page.t())}</h3>
        {fields(page, table)}
    }
}

/// Shows the settings of a section of the recipe; the less important ones are folded away.
pub fn fields(page: Page, table: Table) -> impl IntoView {
    let (first, more) = fields_of(table);
    let some = !more.is_empty();
    let wrong = {
        let paths: Vec<_> = more.iter().map(|field| field.path()).collect();
        Memo::new(move |_| {
            page.form.verdict.with(|verdict| paths.iter().any(|path| verdict.error(path).is_some()))
        })
    };
    let open = NodeRef::<leptos::html::Details>::new();
    // Settings with an error must not be folded away.
    Effect::new(move |_| {
        if let Some(details) = open.get()
            && wrong.get()
        {
            details.set_open(true);
        }
    });
    view! {
        <div class="fields">{first.into_iter().map(|one| field::field(page, one)).collect_view()}</div>
        {some.then(|| view! {
            <details node_ref=open data-testid=format!("more-{table}")>
                <summary>{move || page.t().more}</summary>
                <div class="fields">{more.into_iter().map(|one| field::field(page, one)).collect_view()}</div>
            </details>
        })}
    }
}

/// Shows buttons that load other initial recipes.
fn beginnings(page: Page) -> impl IntoView {
    let fresh = move |recipe: Recipe| {
        page.notices.clear(Place::Recipe);
        // The model and the data are already chosen.
        let mut recipe = recipe;
        page.form.recipe.with_untracked(|old| {
            recipe.model = old.model.clone();
            recipe.data.train_file = old.data.train_file.clone();
            recipe.data.validation_file = old.data.validation_file.clone();
        });
        page.form.replace(recipe);
    };
    let open = move |files: Vec<Chosen>| {
        if let Some(chosen) = files.into_iter().next() {
            spawn_local(read(page, chosen.file));
        }
    };
    view! {
        <div class="row">
            <button type="button" data-testid="recipe-start" on:click=move |_| fresh(start_recipe())>
                {move || page.t().recipe_start}
            </button>
            <button type="button" data-testid="recipe-defaults" on:click=move |_| fresh(Recipe::default())>
                {move || page.t().recipe_defaults}
            </button>
            {drop::picker("recipe-file", Picks::File, ".toml,.json,.yaml,.yml,.py,.ipynb", move || page.t().recipe_open, open)}
        </div>
    }
}

async fn read(page: Page, file: File) {
    let text = match JsFuture::from(file.text()).await {
        Ok(text) => text.as_string().unwrap_or_default(),
        Err(error) => return page.notices.say(Place::Recipe, browser::words(&error)),
    };
    paste::import(page, text, file.name());
}
