//! The first rows as tokens, with those that the model learns to generate marked.

use std::sync::Arc;

use leptos::prelude::*;
use lorelei_protocol::{DataInfo, PreviewRow, PreviewToken};

use super::state::Page;
use crate::logic::texts::fill;

/// Largest number of tokens that are shown of a row.
const SHOWN: usize = 300;

/// Shows the rows, with a legend of the marks.
pub fn preview(page: Page, info: &Arc<DataInfo>) -> impl IntoView + use<> {
    let rows = info.preview.iter().map(|given| row(page, given)).collect_view();
    let legend = move || {
        view! {
            <span class="token">{page.t().legend_seen}</span>
            " "
            <mark class="token">{page.t().legend_learnt}</mark>
        }
    };
    (!info.preview.is_empty()).then(|| {
        view! {
            <h3>{move || page.t().preview}</h3>
            <p class="hint legend">{legend}</p>
            <div class="preview" data-testid="data-preview" tabindex="0" role="region" aria-label=move || page.t().preview>
                <ol>{rows}</ol>
            </div>
        }
    })
}

fn row(page: Page, row: &PreviewRow) -> impl IntoView + use<> {
    let rest = row.tokens.len().saturating_sub(SHOWN);
    let tokens = row.tokens.iter().take(SHOWN).map(token).collect_view();
    view! {
        <li>
            {tokens}
            {row.label.clone().map(|label| view! { " " <mark class="token" data-testid="preview-label">"→ " {label}</mark> })}
            {(rest > 0).then(|| view! { <span class="hint">{move || fill(page.t().and_more, &[("count", &rest)])}</span> })}
        </li>
    }
}

fn token(token: &PreviewToken) -> impl IntoView + use<> {
    let title = format!("id {}", token.id);
    let text = visible(&token.text);
    let label = token.label.clone().map(|label| view! { <small>" → " {label}</small> });
    if token.learnt {
        view! { <mark class="token" title=title>{text} {label}</mark> }.into_any()
    } else {
        view! { <span class="token" title=title>{text}</span> }.into_any()
    }
}

/// Returns a token's text with empty text, line ends and tabs made visible.
fn visible(text: &str) -> String {
    if text.is_empty() { "∅".into() } else { text.replace('\n', "⏎\n").replace('\t', "⇥\t") }
}
