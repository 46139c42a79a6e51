//! The section for downloading the adapter and sharing the recipe.

use js_sys::JsString;
use leptos::prelude::*;
use leptos::task::spawn_local;
use lorelei_protocol::{DownloadKind, DownloadOffer};
use lorelei_recipe::Message;

use super::download::{self, title};
use super::notice::{Place, notice};
use super::state::Page;
use super::{browser, link};
use crate::logic::notices;
use crate::logic::texts::fill;

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
    view! {
        <p>{move || page.t().download_lead}</p>
        {adapter(page)}
        <div class="row">
            <button type="button" data-testid="download-recipe" on:click=recipe>{move || page.t().download_recipe}</button>
            <button type="button" data-testid="download-log" prop:disabled=unlogged on:click=log>{move || page.t().download_log}</button>
        </div>
    }
}

/// Shows the choice of the adapter's form, the reason for each form that cannot be had, and what to know of the last download.
fn adapter(page: Page) -> impl IntoView {
    let download = page.download;
    let ready = move || page.run.has_adapter.get() && !page.is_engaged_tracked();
    let kinds = DownloadKind::ALL.map(|kind| {
        view! {
            <option
                value=kind.name()
                prop:disabled=move || download.is_refused(kind)
                prop:selected=move || download.kind.get() == kind
            >
                {move || title(page.t(), kind)}
            </option>
        }
    });
    let dtypes = Memo::new(move |_| download.dtypes());
    let formats = move || {
        let option = |(index, dtype): (usize, String)| {
            let (name, value) = (dtype.clone(), dtype.clone());
            let chosen =
                move || download.dtype.with(|chosen| *chosen == name || (chosen.is_empty() && index == 0));
            let shown = match dtype.as_str() {
                "own" => page.t().dtype_own.to_owned(),
                _ => dtype,
            };
            view! { <option value=value prop:selected=chosen>{shown}</option> }
        };
        dtypes.get().into_iter().enumerate().map(option).collect_view()
    };
    let refusals = move || {
        let language = page.language.get();
        let line = |offer: DownloadOffer| {
            let reason = notices::said(language, &offer.refusal?);
            let kind = offer.kind.name();
            let text = fill(language.texts().download_refused, &[("kind", &kind), ("reason", &reason)]);
            Some(view! { <li data-testid=format!("download-refused-{kind}")>{text}</li> })
        };
        download.offers.get().into_iter().filter_map(line).collect_view()
    };
    let notes = move || {
        let said = |note: Message| view! { <li>{notices::said(page.language.get(), &note)}</li> };
        download.notes.get().into_iter().map(said).collect_view()
    };
    view! {
        <div class="row">
            <label>
                <span>{move || page.t().download_as}</span>
                <select
                    data-testid="download-kind"
                    aria-describedby="download-refused"
                    on:change=move |event| {
                        download.choose(DownloadKind::from_name(&event_target_value(&event)).unwrap_or_default());
                    }
                >
                    {kinds}
                </select>
            </label>
            <label prop:hidden=move || dtypes.with(Vec::is_empty)>
                <span>"dtype"</span>
                <select data-testid="download-dtype" on:change=move |event| download.dtype.set(event_target_value(&event))>
                    {formats}
                </select>
            </label>
            <button
                type="button"
                class="main"
                data-testid="download-zip"
                prop:disabled=move || !ready()
                aria-busy=move || if download.going.get() { "true" } else { "false" }
                on:click=move |_| download::request(page)
            >
                {move || if download.going.get() { page.t().download_going } else { page.t().download_adapter }}
            </button>
        </div>
        <ul class="hint" id="download-refused" data-testid="download-refused" prop:hidden=move || !download.any_refused()>
            {refusals}
        </ul>
        <ul class="hint" data-testid="download-notes" aria-live="polite">{notes}</ul>
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
