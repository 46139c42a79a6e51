//! One setting: its name, its input, what it is, what to choose, and what is wrong.

use leptos::prelude::*;
use lorelei_recipe::fields::Field;

use super::state::Page;
use crate::logic::field_docs;
use crate::logic::field_text::{Input, default_text, input};

/// The setting with everything around it.
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
                <p>{move || words().doc} " " <span class="default">{move || default(page, field)}</span></p>
                {move || words().advice.map(|advice| view! { <p class="advice">{advice}</p> })}
            </div>
            <p class="error" id=wrong.clone() data-testid=wrong aria-live="polite">{move || error.get()}</p>
            {move || warning.get().map(|warning| view! { <p class="warning">{warning}</p> })}
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
                    prop:checked=checked
                    on:change=move |event| form.typed(field, event_target_checked(&event).to_string())
                />
            }
            .into_any()
        }
        Input::Select(words) => {
            let option = |value: &'static str, shown: String| {
                view! { <option value=value prop:selected=move || form.text(field) == value>{shown}</option> }
            };
            let options = words.iter().map(|word| option(word, (*word).to_string())).collect_view();
            view! {
                <select
                    id=id
                    data-testid=test_id
                    aria-describedby=described
                    aria-invalid=invalid
                    on:change=move |event| form.typed(field, event_target_value(&event))
                >
                    {option("", format!("({})", default_text(field)))}
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
                prop:value=move || form.text(field)
                on:input=move |event| form.typed(field, event_target_value(&event))
            />
        }
        .into_any(),
    }
}
