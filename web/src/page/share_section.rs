//! The section for downloading the adapter and sharing the recipe.

use js_sys::JsString;
use leptos::prelude::*;
use leptos::task::spawn_local;
use lorelei_protocol::Request;

use super::notice::{Place, notice};
use super::state::Page;
use super::{browser, link};

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    view! {
        <section id="share" aria-labelledby="share-heading">
            <h2 id="share-heading">{move || page.t().share}</h2>
            {notice(page, Place::Share)}
            {downloads(page)}
            {share(page)}
        </section>
    }
}

fn downloads(page: Page) -> impl IntoView {
    let export = move |_| {
        page.notices.clear(Place::Share);
        page.trainer.send(&Request::Export, &[]);
    };
    let save = move |name: &str, media_type: &str, text: String| {
        page.notices.clear(Place::Share);
        if browser::save(name, media_type, &JsString::from(text)).is_err() {
            page.notices.say(Place::Share, page.t_now().not_saved);
        }
    };
    let recipe = move |_| {
        save("recipe.toml", "application/toml", page.form.recipe.with_untracked(|recipe| recipe.to_toml()))
    };
    let log = move |_| {
        save("trainer_log.jsonl", "application/jsonl", page.run.history.with_value(|history| history.jsonl()))
    };
    let unlogged = move || {
        page.run.drawn.track();
        page.run.history.with_value(|history| history.is_empty())
    };
    let ready = move || page.run.has_adapter.get() && !page.is_engaged_tracked();
    view! {
        <p>{move || page.t().download_lead}</p>
        <div class="row">
            <button type="button" class="main" data-testid="download-zip" prop:disabled=move || !ready() on:click=export>
                {move || page.t().download_zip}
            </button>
            <button type="button" data-testid="download-recipe" on:click=recipe>{move || page.t().download_recipe}</button>
            <button type="button" data-testid="download-log" prop:disabled=unlogged on:click=log>{move || page.t().download_log}</button>
        </div>
    }
}

fn share(page: Page) -> impl IntoView {
    let address = Memo::new(move |_| page.form.recipe.with(link::address));
    let field = NodeRef::<leptos::html::Input>::new();
    // `None` before the button is pressed; then whether copying worked.
    let copied = RwSignal::new(None::<bool>);
    let copy = move |_| {
        spawn_local(async move {
            let done = browser::copy(&address.get_untracked()).await;
            if let (false, Some(field)) = (done, field.get_untracked()) {
                let _ = field.focus();
                field.select();
            }
            copied.set(Some(done));
        });
    };
    // A changed recipe has another link.
    Effect::new(move |_| {
        address.track();
        copied.set(None);
    });
    let words = move || copied.get().map(|done| if done { page.t().copied } else { page.t().copy_by_hand });
    view! {
        <h3>{move || page.t().link}</h3>
        <p class="hint">{move || page.t().link_lead}</p>
        <div class="row">
            <label class="wide">
                <span class="unseen">{move || page.t().link}</span>
                <input
                    type="text"
                    readonly
                    node_ref=field
                    data-testid="share-link"
                    prop:value=address
                    on:focus=move |_| {
                        if let Some(field) = field.get_untracked() {
                            field.select();
                        }
                    }
                />
            </label>
            <button type="button" data-testid="share-copy" on:click=copy>{move || page.t().copy}</button>
        </div>
        <p class="status" data-testid="share-status" aria-live="polite">{words}</p>
    }
}
