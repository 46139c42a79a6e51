//! Models from a hub, and those that are kept in the browser's storage.

use leptos::prelude::*;
use lorelei_protocol::{CachedModel, Request};

use super::model;
use super::notice::Place;
use super::state::Page;
use crate::logic::format;
use crate::logic::texts::{Texts, fill};

/// Shows the inputs for the model's id and the hub.
pub fn form(page: Page) -> impl IntoView {
    let input = move |test_id: &'static str,
                      signal: RwSignal<String>,
                      hint: &'static str,
                      text: fn(&Texts) -> &'static str| {
        view! {
            <label>
                <span>{move || text(page.t())}</span>
                <input
                    type="text"
                    data-testid=test_id
                    placeholder=hint
                    autocomplete="off"
                    autocapitalize="none"
                    spellcheck="false"
                    prop:value=signal
                    on:input=move |event| signal.set(event_target_value(&event))
                />
            </label>
        }
    };
    view! {
        <form
            class="grid"
            on:submit=move |event| {
                event.prevent_default();
                model::load_hub(page);
            }
        >
            {input("model-hub-id", page.model.hub_id, "HuggingFaceTB/SmolLM2-135M-Instruct", |t| t.hub_id)}
            {input("model-hub-revision", page.model.hub_revision, "main", |t| t.hub_revision)}
            {input("model-hub-endpoint", page.model.hub_endpoint, "https://huggingface.co", |t| t.hub_endpoint)}
            <button type="submit" data-testid="model-hub-load">{move || page.t().hub_load}</button>
        </form>
        <p class="hint">{move || page.t().hub_hint}</p>
    }
}

/// Shows the models in the browser's storage.
pub fn cached(page: Page) -> Option<impl IntoView> {
    let capabilities = page.trainer.capabilities.get()?;
    let used = fill(
        page.t().storage,
        &[
            ("used", &format::bytes(capabilities.storage_used)),
            ("quota", &format::bytes(capabilities.storage_quota)),
        ],
    );
    let item = move |model: CachedModel| {
        let (CachedModel { name, size }, held) = (model.clone(), model);
        let delete = move |_| {
            page.notices.clear(Place::Model);
            page.trainer.send(&Request::DeleteModel { name: held.name.clone() }, &[]);
        };
        let (used, label) = (name.clone(), name.clone());
        let load = move |_| {
            let (id, revision) = format::id_and_revision(&used);
            page.model.hub_id.set(id.to_string());
            page.model.hub_revision.set(revision.to_string());
            model::load_hub(page);
        };
        view! {
            <li>
                <span>{name}</span>
                <span class="number">{format::bytes(size)}</span>
                <button type="button" prop:disabled=move || page.is_engaged_tracked() on:click=load>{move || page.t().hub_load}</button>
                <button
                    type="button"
                    class="quiet"
                    aria-label=move || format!("{} {label}", page.t().delete)
                    prop:disabled=move || page.is_engaged_tracked()
                    on:click=delete
                >
                    {move || page.t().delete}
                </button>
            </li>
        }
    };
    (!capabilities.cached.is_empty()).then(|| {
        view! {
            <h3>{move || page.t().cached}</h3>
            <ul class="cached" data-testid="model-cached">{capabilities.cached.into_iter().map(item).collect_view()}</ul>
            <p class="hint">{used}</p>
        }
    })
}
