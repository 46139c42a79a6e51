//! A bar for something that takes a while.

use leptos::prelude::*;

use super::trainer::Progress;
use crate::logic::format;

/// Shows a bar, without a length where the progress is not known. `label` is its accessible name.
pub fn bar(progress: Option<Progress>, label: &'static str) -> impl IntoView {
    let Progress { what, done, total } =
        progress.unwrap_or(Progress { what: String::new(), done: 0, total: 0 });
    let known = total > 0;
    // Tensors are counted, and bytes have a unit: there are never as many tensors as bytes.
    let amount = |number: u64| if total > 100_000 { format::bytes(number) } else { format::grouped(number) };
    let text = if known { format!("{} / {}", amount(done.min(total)), amount(total)) } else { String::new() };
    view! {
        <div class="bar">
            {if known {
                view! { <progress aria-label=label max=total.to_string() value=done.min(total).to_string()></progress> }.into_any()
            } else {
                view! { <progress aria-label=label></progress> }.into_any()
            }}
            <span class="what">{what}</span>
            <span>{text}</span>
        </div>
    }
}
