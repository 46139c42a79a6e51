//! The section for choosing the data, with a preview of the model's input.

use std::sync::Arc;

use leptos::prelude::*;
use lorelei_protocol::DataInfo;
use lorelei_recipe::fields::Table;

use super::data::{self, Source};
use super::drop::{Chosen, Picks};
use super::fact::fact;
use super::notice::{Place, notice};
use super::recipe_section::fields;
use super::state::Page;
use super::{drop, lengths, preview};
use crate::logic::format::{grouped, percent};
use crate::logic::notices;
use crate::logic::texts::fill;

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    let busy = Memo::new(move |_| page.run.status.get().is_active());
    view! {
        <section id="data" aria-labelledby="data-heading">
            <h2 id="data-heading">{move || page.t().data}</h2>
            <p>{move || page.t().data_lead}</p>
            {notice(page, Place::Data)}
            <fieldset prop:disabled=busy>
                <legend class="unseen">{move || page.t().data}</legend>
                {choice(page)}
                {fields(page, Table::Data)}
            </fieldset>
            <div data-testid="data-status" class="status" aria-live="polite">{move || status(page)}</div>
            {move || page.data.info().map(|info| facts(page, &info))}
        </section>
    }
}

fn choice(page: Page) -> impl IntoView {
    let take = move |files: Vec<Chosen>| {
        if let Some(chosen) = files.into_iter().next() {
            data::choose_train(page, Source::File(chosen.file));
        }
    };
    let validation = move |files: Vec<Chosen>| {
        if let Some(chosen) = files.into_iter().next() {
            data::choose_validation(page, Some(chosen.file));
        }
    };
    let named = move || page.form.recipe.with(|recipe| recipe.data.validation_file.clone());
    let pickers = view! {
        <p>{move || page.t().data_drop}</p>
        <div class="row">
            {drop::picker("data-files", Picks::File, ROWS, move || page.t().data_file, take)}
            {drop::picker("data-validation", Picks::File, ROWS, move || page.t().data_validation, validation)}
        </div>
    };
    view! {
        <div class="row">
            <button type="button" data-testid="data-builtin" on:click=move |_| data::choose_train(page, Source::Builtin)>
                {move || page.t().data_builtin}
            </button>
            {move || named().map(|name| view! {
                <button
                    type="button"
                    class="quiet"
                    data-testid="data-validation-remove"
                    on:click=move |_| data::choose_validation(page, None)
                >
                    {move || fill(page.t().data_without_validation, &[("file", &name)])}
                </button>
            })}
        </div>
        {drop::zone("data-drop", move || !page.run.status.get_untracked().is_active(), take, pickers)}
    }
}

fn status(page: Page) -> String {
    let t = page.t();
    if let Some(missing) = page.missing_data() {
        return missing;
    }
    let name = page.data.train.with(|source| source.as_ref().map(Source::name)).unwrap_or_default();
    let wanted = data::question(page);
    let current = page
        .data
        .read
        .with(|read| read.as_ref().filter(|(question, _)| Some(question) == wanted.as_ref()).cloned());
    match current {
        Some((_, Some(_))) => fill(t.data_read, &[("file", &name)]),
        Some((_, None)) => fill(t.data_failed, &[("file", &name)]),
        None if wanted.is_none() && page.model.info.with(Option::is_none) => {
            fill(t.data_needs_model, &[("file", &name)])
        }
        None if wanted.is_none() => t.mend_form.into(),
        None => fill(t.data_reading, &[("file", &name)]),
    }
}

fn facts(page: Page, info: &Arc<DataInfo>) -> impl IntoView + use<> {
    let count = |number: usize| grouped(number as u64);
    view! {
        <dl class="facts">
            {fact(page, "data-rows", |t| t.fact_rows, count(info.train_rows))}
            {fact(page, "data-validation-rows", |t| t.fact_validation_rows, count(info.validation_rows))}
            {fact(page, "data-tokens", |t| t.fact_tokens, count(info.tokens))}
            {learnt(page, info)}
            {fact(page, "data-truncated", |t| t.fact_truncated, count(info.truncated))}
            {fact(page, "data-skipped", |t| t.fact_skipped, count(info.skipped.len()))}
        </dl>
        {lengths::lengths(page, info)}
        {lines(page, info)}
        {preview::preview(page, info)}
    }
}

/// Shows the share of learnt tokens, or the classes.
fn learnt(page: Page, info: &DataInfo) -> AnyView {
    match (info.classifies, info.labels.is_empty()) {
        (false, _) => {
            let share = percent(info.learnt_tokens as f64, info.tokens as f64);
            fact(page, "data-learnt", |t| t.fact_learnt, share).into_any()
        }
        (true, true) => fact(page, "data-classes", |t| t.fact_learnt, page.t().numbers.into()).into_any(),
        (true, false) => {
            let classes = info.listed_labels.clone().unwrap_or_else(|| info.labels.len().to_string());
            fact(page, "data-classes", |t| t.fact_classes, classes).into_any()
        }
    }
}

/// Shows the lines that are wrong, and those that were left out.
fn lines(page: Page, info: &Arc<DataInfo>) -> impl IntoView + use<> {
    let bad: Vec<_> = info.bad_rows.iter().take(SHOWN).cloned().collect();
    let more = info.bad_rows.len().saturating_sub(SHOWN);
    let skipped = info.skipped.iter().take(SHOWN).map(|line| line.to_string()).collect::<Vec<_>>().join(", ");
    let rest = if info.skipped.len() > SHOWN { ", …" } else { "" };
    let skipped = (!skipped.is_empty()).then(|| format!("{skipped}{rest}"));
    view! {
        {(!bad.is_empty()).then(|| view! {
            <div class="bad" data-testid="data-bad-rows">
                <p>{move || page.t().bad_rows}</p>
                <ul>
                    {bad.into_iter().map(|row| {
                        // A message may itself name the place: `train.jsonl:3: …`.
                        let named = row.line == 0 || row.message.contains(&format!(":{}: ", row.line));
                        let line = move || (!named).then(|| fill(page.t().line, &[("line", &row.line)]));
                        let words = move || notices::said(page.language.get(), &row.message);
                        view! { <li>{line} {words}</li> }
                    }).collect_view()}
                </ul>
                {(more > 0).then(|| view! { <p>{move || fill(page.t().and_more, &[("count", &more)])}</p> })}
            </div>
        })}
        {skipped.map(|lines| view! {
            <p class="hint" data-testid="data-skipped-lines">{move || fill(page.t().skipped_lines, &[("lines", &lines)])}</p>
        })}
    }
}

/// Number of lines that are named.
const SHOWN: usize = 50;

/// Name endings of files of rows.
const ROWS: &str = ".jsonl,.ndjson,.json,.csv,.tsv,.txt,.text,.parquet,.arrow,.ipc,.feather,.gz,.zst";
