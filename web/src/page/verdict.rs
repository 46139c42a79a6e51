//! A classifier's verdict on a text.

use leptos::prelude::*;
use lorelei_protocol::{LabelScore, TaggedWord, Verdict};

use super::state::Page;
use crate::logic::format::{decimal, percent};

/// Largest number of classes that are shown.
const SHOWN: usize = 12;

/// Shows a verdict: bars of classes, a number, or words with their tags.
pub fn verdict(page: Page, verdict: Verdict) -> impl IntoView {
    let said = match verdict {
        Verdict::SingleLabelClassification { classes } | Verdict::MultiLabelClassification { classes } => {
            let bars = classes.into_iter().take(SHOWN).map(bar).collect_view();
            view! { <ul class="scores" data-testid="try-classes">{bars}</ul> }.into_any()
        }
        Verdict::Regression { value } => {
            view! { <p class="answer" data-testid="try-classes">{decimal(value)}</p> }.into_any()
        }
        Verdict::TokenClassification { words } => {
            let words = words.into_iter().map(word).collect_view();
            view! { <p class="answer" data-testid="try-classes">{words}</p> }.into_any()
        }
    };
    view! { <div><h3>{move || page.t().with}</h3>{said}</div> }
}

fn bar(scored: LabelScore) -> impl IntoView {
    view! {
        <li>
            <span>{scored.label}</span>
            " "
            <meter min="0" max="1" value=scored.score.to_string()></meter>
            " "
            <span>{percent(scored.score, 1.0)}</span>
        </li>
    }
}

fn word(tagged: TaggedWord) -> impl IntoView {
    let title = percent(tagged.best.score, 1.0);
    view! { <span class="tagged" title=title>{tagged.word} <small>{tagged.best.label}</small></span> " " }
}
