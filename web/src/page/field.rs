//! One setting of the form: its name, its input, its description, advice, and errors.

use leptos::prelude::*;
use lorelei_recipe::HostKind;
use lorelei_recipe::fields::Field;

use super::state::Page;
use crate::logic::field_docs::{self, parts};
use crate::logic::field_text::{Input, default_text, input, options};
use crate::logic::texts::fill;

/// Shows a setting with everything around it.
pub fn field(page: Page, field: &'static Field) -> impl IntoView {
    let id = format!("field-{}-{}", field.table, field.name);
    let (about, wrong) =
        (format!("about-{}-{}", field.table, field.name), format!("error-{}-{}", field.table, field.name));
    let path = field.path();
    let error = {
        let path = path.clone();
        Memo::new(move |_| page.form.verdict.with(|verdict| verdict.error(&path)))
    };
    let warning = {
        let path = path.clone();
        Memo::new(move |_| page.form.verdict.with(|verdict| verdict.warning(&path)))
    };
    let words = move || field_docs::of(page.language.get(), field);
    let checkbox = input(&field.kind) == Input::Checkbox;
    view! {
        <div class="field" class:check=checkbox class:wrong=move || error.with(Option::is_some)>
            <label for=id.clone()>{field.name}</label>
            {control(page, field, id, format!("{about} {wrong}"), error)}
            <div class="about" id=about>
                <p>{move || marked(words().doc)} " " <span class="default">{move || default(page, field)}</span></p>
                {move || words().advice.map(|advice| view! { <p class="advice">{marked(advice)}</p> })}
                {move || words().limit.map(|limit| not_here(page, field, limit))}
            </div>
            <p class="error" id=wrong.clone() data-testid=wrong aria-live="polite">{move || error.get()}</p>
            {move || warning.get().map(|warning| view! { <p class="warning">{warning}</p> })}
        </div>
    }
}

/// Shows a text, with its parts in backticks as code.
fn marked(text: &'static str) -> impl IntoView {
    parts(text)
        .map(
            |(part, is_code)| {
                if is_code { view! { <code>{part}</code> }.into_any() } else { part.into_any() }
            },
        )
        .collect_view()
}

/// Shows why the setting has no effect in the page, and a button that resets it in a recipe that sets it.
fn not_here(page: Page, field: &'static Field, reason: &'static str) -> impl IntoView {
    let is_set = move || !page.form.text(field).is_empty();
    view! {
        <p class="limit">{fill(page.t().not_here, &[("reason", &reason)])}</p>
        {move || is_set().then(|| view! {
            <button
                type="button"
                class="quiet"
                data-testid=format!("default-{}-{}", field.table, field.name)
                on:click=move |_| page.form.typed(field, String::new())
            >
                {move || page.t().to_default}
            </button>
        })}
    }
}

/// Shows the settings of the recipe that the page does not honour, in one place, as the settings themselves may be folded away.
pub fn unhonoured(page: Page) -> impl IntoView {
    let lines = Memo::new(move |_| page.form.verdict.with(|verdict| verdict.unhonoured().to_vec()));
    view! {
        <div aria-live="polite" data-testid="recipe-unhonoured">
            {move || lines.with(|lines| !lines.is_empty()).then(|| view! {
                <p class="warning">{move || page.t().unhonoured}</p>
                <ul>{move || lines.get().into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}</ul>
            })}
        </div>
    }
}

fn default(page: Page, field: &'static Field) -> String {
    format!("{} {}", page.t().default, default_text(field))
}

fn control(
    page: Page,
    field: &'static Field,
    id: String,
    described: String,
    error: Memo<Option<String>>,
) -> impl IntoView {
    let form = page.form;
    let disabled = field.limit_of(HostKind::Page).is_some();
    let invalid = move || if error.with(Option::is_some) { "true" } else { "false" };
    let test_id = id.clone();
    match input(&field.kind) {
        Input::Checkbox => {
            let checked = move || match form.text(field).as_str() {
                "" => field.default == "true",
                text => text == "true",
            };
            view! {
                <input
                    type="checkbox"
                    id=id
                    data-testid=test_id
                    aria-describedby=described
                    aria-invalid=invalid
                    disabled=disabled
                    prop:checked=checked
                    on:change=move |event| form.typed(field, event_target_checked(&event).to_string())
                />
            }
            .into_any()
        }
        Input::Select(words) => {
            let words = Memo::new(move |_| options(&words, &form.text(field)));
            let option = move |value: String, shown: String| {
                let word = value.clone();
                view! { <option value=value prop:selected=move || form.text(field) == word>{shown}</option> }
            };
            let options =
                move || words.get().into_iter().map(|word| option(word.clone(), word)).collect_view();
            view! {
                <select
                    id=id
                    data-testid=test_id
                    aria-describedby=described
                    aria-invalid=invalid
                    disabled=disabled
                    on:change=move |event| form.typed(field, event_target_value(&event))
                >
                    {option(String::new(), format!("({})", default_text(field)))}
                    {options}
                </select>
            }
            .into_any()
        }
        kind => view! {
            <input
                type="text"
                id=id
                data-testid=test_id
                inputmode=if kind == Input::Number { "decimal" } else { "text" }
                autocomplete="off"
                autocapitalize="none"
                spellcheck="false"
                placeholder=default_text(field)
                aria-describedby=described
                aria-invalid=invalid
                disabled=disabled
                prop:value=move || form.text(field)
                on:input=move |event| form.typed(field, event_target_value(&event))
            />
        }
        .into_any(),
    }
}
