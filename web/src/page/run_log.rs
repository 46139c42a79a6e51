//! The log of the run, line by line.

use leptos::prelude::*;

use super::run::LogLine;
use super::state::Page;

/// Shows the last lines. The box is scrolled to its end and stays there unless the user scrolls up (see `.log` in the style sheet).
pub fn log(page: Page) -> impl IntoView {
    let lines = move || {
        page.run.drawn.track();
        page.run.log.with_value(|log| log.iter().cloned().collect::<Vec<_>>())
    };
    let line = |line: LogLine| view! { <li class:warning=line.warns>{line.text}</li> };
    view! {
        <h3>{move || page.t().log}</h3>
        <div class="log" tabindex="0" role="log" aria-live="off" aria-label=move || page.t().log data-testid="run-log">
            <ol>
                <For each=lines key=|line| line.id children=line/>
            </ol>
        </div>
    }
}
