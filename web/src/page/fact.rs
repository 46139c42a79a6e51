//! A name and its value, in a list of facts.

use leptos::prelude::*;

use super::state::Page;
use crate::logic::texts::Texts;

/// Shows one fact of a `<dl>`.
pub fn fact(
    page: Page,
    test_id: &'static str,
    text: fn(&Texts) -> &'static str,
    value: String,
) -> impl IntoView + use<> {
    view! { <div><dt>{move || text(page.t())}</dt><dd data-testid=test_id>{value}</dd></div> }
}
