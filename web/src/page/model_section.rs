//! The section for choosing a model.

use std::sync::Arc;

use leptos::prelude::*;
use lorelei_protocol::{DeviceChoice, ModelInfo};
use lorelei_recipe::fields::Table;

use super::drop::Picks;
use super::fact::fact;
use super::notice::{Place, notice};
use super::state::Page;
use super::trainer::Life;
use super::{drop, hub, model, progress, recipe_section};
use crate::logic::texts::{Texts, fill};
use crate::logic::{field_docs, format};

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    let engaged = Memo::new(move |_| page.is_engaged_tracked());
    view! {
        <section id="model" aria-labelledby="model-heading">
            <h2 id="model-heading">{move || page.t().model}</h2>
            <p>{move || page.t().model_lead}</p>
            <p class="advice hint">{move || field_docs::advice(page.language.get(), "model.model_name_or_path")}</p>
            {notice(page, Place::Model)}
            <fieldset prop:disabled=engaged>
                <legend class="unseen">{move || page.t().model}</legend>
                <div class="row">
                    <button type="button" data-testid="model-builtin" on:click=move |_| model::load_builtin(page, model::BUILTIN)>
                        {move || page.t().model_builtin}
                    </button>
                    {device(page)}
                </div>
                {drop::zone("model-drop", move || !page.is_engaged(), move |files| model::load_files(page, files), pickers(page))}
                <h3>{move || page.t().model_hub}</h3>
                {hub::form(page)}
                {recipe_section::fields(page, Table::Model)}
            </fieldset>
            <div data-testid="model-status" class="status" aria-live="polite">{move || status(page)}</div>
            {move || page.model.loading.get().map(|_| progress::bar(page.model.progress.get(), page.t().model))}
            {move || page.model.info.get().map(|info| facts(page, &info))}
            {move || hub::cached(page)}
        </section>
    }
}

fn device(page: Page) -> impl IntoView {
    let option = move |choice: DeviceChoice, value: &'static str, text: fn(&Texts) -> &'static str| {
        view! { <option value=value prop:selected=move || page.model.device.get() == choice>{move || text(page.t())}</option> }
    };
    let choose = move |value: String| {
        page.model.device.set(match value.as_str() {
            "web_gpu" => DeviceChoice::WebGpu,
            "cpu" => DeviceChoice::Cpu,
            _ => DeviceChoice::Auto,
        });
        model::load_again(page);
    };
    view! {
        <label class="inline">
            <span>{move || page.t().device}</span>
            <select data-testid="model-device" on:change=move |event| choose(event_target_value(&event))>
                {option(DeviceChoice::Auto, "auto", |t| t.device_auto)}
                {option(DeviceChoice::WebGpu, "web_gpu", |_| "WebGPU")}
                {option(DeviceChoice::Cpu, "cpu", |_| "CPU")}
            </select>
        </label>
    }
}

/// Name endings of a model's files.
const MODEL_FILES: &str = ".gguf,.safetensors,.json,.jinja,.txt,.model,.md";

fn pickers(page: Page) -> impl IntoView {
    let load = move |files| model::load_files(page, files);
    view! {
        <p>{move || page.t().model_drop}</p>
        <div class="row">
            {drop::picker("model-files", Picks::Files, MODEL_FILES, move || page.t().model_files, load)}
            {drop::picker("model-folder", Picks::Folder, "", move || page.t().model_folder, load)}
        </div>
    }
}

fn status(page: Page) -> String {
    let t = page.t();
    match page.trainer.life.get() {
        Life::Loading => return t.wait_trainer.into(),
        Life::Dead(_) => return t.trainer_dead.into(),
        Life::Ready => {}
    }
    if let Some(name) = page.model.loading.get() {
        return fill(t.model_loading, &[("model", &name)]);
    }
    page.model_obstacle()
        .unwrap_or_else(|| fill(t.model_loaded, &[("model", &page.model.name().unwrap_or_default())]))
}

fn facts(page: Page, info: &Arc<ModelInfo>) -> impl IntoView + use<> {
    let count = |number: usize| format::grouped(number as u64);
    let template = info.has_chat_template;
    view! {
        <dl class="facts">
            {fact(page, "model-name", |t| t.fact_name, info.name.clone())}
            {fact(page, "model-type", |t| t.fact_type, info.shape.model_type.clone())}
            {fact(page, "model-parameters", |t| t.fact_parameters, format::grouped(info.shape.parameters()))}
            {fact(page, "model-layers", |t| t.fact_layers, count(info.shape.num_hidden_layers))}
            {fact(page, "model-hidden", |t| t.fact_hidden, count(info.shape.hidden_size))}
            {fact(page, "model-vocab", |t| t.fact_vocab, count(info.shape.vocab_size))}
            {fact(page, "model-context", |t| t.fact_context, count(info.shape.longest_text))}
            {fact(page, "model-placed", |t| t.device, info.device.clone())}
        </dl>
        {(!template).then(|| view! { <p class="hint">{move || page.t().no_template}</p> })}
    }
}
