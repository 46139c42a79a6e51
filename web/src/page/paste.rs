//! Recipes from pasted text: Python, `adapter_config.json`, or another trainer's YAML.

use leptos::prelude::*;
use lorelei_recipe::{Imported, Warning};

use super::notice::Place;
use super::state::Page;
use super::{form, link};
use crate::logic::texts::fill;

/// Shows a box for the text, folded away, and the settings that could not be converted from the last text.
pub fn paste(page: Page) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let left_out = RwSignal::new(Vec::<String>::new());
    let take = move |_| match Imported::from_text(&text.get_untracked(), "paste") {
        Ok(imported) => {
            page.notices.clear(Place::Recipe);
            let warnings = imported.left_out.iter().chain(&imported.warnings);
            // A notebook's warnings name the cell and the line themselves.
            let told = |warning: &Warning| match warning.line {
                0 => warning.to_string(),
                line => format!("{line}: {}", warning.message),
            };
            left_out.set(warnings.map(told).collect());
            let mut recipe = imported.recipe;
            page.form.recipe.with_untracked(|old| {
                // A text that names no data keeps the data that was chosen.
                if recipe.data.train_file.is_none() {
                    recipe.data.train_file = old.data.train_file.clone();
                    recipe.data.validation_file = old.data.validation_file.clone();
                }
            });
            link::take_recipe(page, recipe);
        }
        Err(error) => {
            left_out.set(Vec::new());
            page.notices.say(Place::Recipe, form::words(&error));
        }
    };
    let title = move || {
        let count = left_out.with(Vec::len);
        (count > 0).then(|| fill(page.t().paste_left_out, &[("count", &count)]))
    };
    view! {
        <details data-testid="paste">
            <summary>{move || page.t().paste}</summary>
            <label class="wide">
                <span>{move || page.t().paste_lead}</span>
                <textarea
                    rows="8"
                    spellcheck="false"
                    data-testid="paste-text"
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                ></textarea>
            </label>
            <button type="button" data-testid="paste-take" on:click=take>{move || page.t().paste_take}</button>
            <div aria-live="polite" data-testid="paste-left-out">
                {move || title().map(|title| view! { <p class="warning">{title}</p> })}
                <ul>{move || left_out.get().into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}</ul>
            </div>
        </details>
    }
}
