//! The head of the page: its name, its navigation, language and theme, and the state of the trainer.

use leptos::prelude::*;

use super::browser;
use super::progress::bar;
use super::state::Page;
use super::trainer::{self, Life};
use crate::logic::texts::{Language, Texts, fill};
use crate::logic::{format, notices};

/// Shows the part above the sections.
pub fn header(page: Page) -> impl IntoView {
    let link = move |id: &'static str, text: fn(&Texts) -> &'static str| {
        view! { <a href=format!("#{id}")>{move || text(page.t())}</a> }
    };
    view! {
        <header class="top">
            <div class="brand">
                <h1>"Lorelei"</h1>
                <p>{move || page.t().tagline}</p>
            </div>
            <div class="choices">{language(page)} {theme(page)}</div>
            <nav aria-label=move || page.t().sections>
                {link("model", |t| t.model)}
                {link("data", |t| t.data)}
                {link("recipe", |t| t.recipe)}
                {link("run", |t| t.run)}
                {link("try", |t| t.try_it)}
                {link("share", |t| t.share)}
            </nav>
            <p class="device" data-testid="device-status" aria-live="polite">{move || device(page)}</p>
        </header>
    }
}

/// Shows the part below the sections.
pub fn footer(page: Page) -> impl IntoView {
    view! { <footer><p>{move || page.t().footer}</p></footer> }
}

fn language(page: Page) -> impl IntoView {
    Effect::new(move |_| {
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("lang", page.language.get().code());
        }
        document().set_title(page.t().title);
    });
    let choose = move |code: String| {
        browser::store("language", &code);
        page.language.set(Language::from_code(&code).unwrap_or_default());
    };
    let options = Language::ALL.map(|language| {
        view! {
            <option value=language.code() lang=language.code() prop:selected=move || page.language.get() == language>
                {language.name()}
            </option>
        }
    });
    view! {
        <label>
            <span>{move || page.t().language}</span>
            <select data-testid="language" on:change=move |event| choose(event_target_value(&event))>{options}</select>
        </label>
    }
}

/// Shows the choice of the theme: the system's, light or dark. `start.js` has applied the choice to the document before the first paint.
fn theme(page: Page) -> impl IntoView {
    let chosen =
        browser::stored("theme").filter(|theme| theme == "light" || theme == "dark").unwrap_or_default();
    let theme = RwSignal::new(chosen);
    let choose = move |name: String| {
        browser::store("theme", &name);
        if let Some(root) = document().document_element() {
            let _ = if name.is_empty() {
                root.remove_attribute("data-theme")
            } else {
                root.set_attribute("data-theme", &name)
            };
        }
        theme.set(name);
    };
    let option = move |name: &'static str, text: fn(&Texts) -> &'static str| {
        view! { <option value=name prop:selected=move || theme.with(|theme| theme == name)>{move || text(page.t())}</option> }
    };
    view! {
        <label>
            <span>{move || page.t().theme}</span>
            <select data-testid="theme" on:change=move |event| choose(event_target_value(&event))>
                {option("", |t| t.theme_system)}
                {option("light", |t| t.theme_light)}
                {option("dark", |t| t.theme_dark)}
            </select>
        </label>
    }
}

/// Returns a description of the device that will be used, and of what is missing for a faster one.
fn device(page: Page) -> String {
    let t = page.t();
    if matches!(page.trainer.life.get(), Life::Dead(_)) {
        return t.trainer_dead.into();
    }
    let Some(capabilities) = page.trainer.capabilities.get() else {
        return missing(page).unwrap_or_else(|| t.device_unknown.into());
    };
    let Some(gpu) = capabilities.webgpu else {
        let reason = capabilities.webgpu_problem.unwrap_or_default();
        let reason = notices::said(page.language.get(), &reason);
        return missing(page).unwrap_or_else(|| fill(t.device_cpu, &[("reason", &reason)]));
    };
    let mut parts = vec![fill(t.device_gpu, &[("name", &gpu.name)])];
    if gpu.is_fallback {
        parts.push(t.device_software.into());
    }
    parts.push((if gpu.shader_f16 { t.device_f16 } else { t.device_no_f16 }).into());
    parts.push(fill(t.device_buffer, &[("size", &format::bytes(gpu.max_buffer_size))]));
    parts.join(" · ")
}

fn missing(page: Page) -> Option<String> {
    match browser::webgpu() {
        (true, _) => None,
        (false, true) => Some(page.t().no_webgpu.into()),
        (false, false) => Some(page.t().no_webgpu_insecure.into()),
    }
}

/// Shows the loading of the trainer's module, or the trainer's failure.
pub fn trainer_state(page: Page) -> impl IntoView {
    move || match page.trainer.life.get() {
        Life::Ready => ().into_any(),
        Life::Loading => {
            let progress = move || page.trainer.progress.get();
            view! {
                <div class="notice calm" data-testid="trainer-status" role="status">
                    <p>{move || page.t().trainer_loading}</p>
                    {move || bar(progress(), page.t().trainer_loading)}
                </div>
            }
            .into_any()
        }
        Life::Dead(reason) => view! {
            <div class="notice" data-testid="trainer-status" role="alert">
                <p>{move || fill(page.t().trainer_failed, &[("reason", &reason)])}</p>
                <button type="button" data-testid="trainer-restart" on:click=move |_| trainer::start(page)>
                    {move || page.t().trainer_restart}
                </button>
            </div>
        }
        .into_any(),
    }
}
