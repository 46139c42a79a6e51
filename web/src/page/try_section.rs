//! The section for asking the model, without and with its adapter.

use leptos::prelude::*;

use super::answers::{self, SETTINGS};
use super::notice::{Place, notice};
use super::state::Page;
use super::verdict;

/// Shows the section.
pub fn section(page: Page) -> impl IntoView {
    let (answers, model) = (page.answers, page.model);
    let idle = move || model.info.with(Option::is_some) && !page.is_engaged_tracked();
    let with = move || match answers.with.get() {
        Some(text) => text,
        None if page.run.has_adapter.get() => String::new(),
        None => page.t().no_adapter.into(),
    };
    let both = move || {
        view! {
            <div>
                <h3>{move || page.t().without}</h3>
                <p class="answer" data-testid="try-without">{answers.without}</p>
            </div>
            <div>
                <h3>{move || page.t().with}</h3>
                <p class="answer" data-testid="try-with" class:hint=move || answers.with.with(Option::is_none)>{with}</p>
            </div>
        }
    };
    let classifies = answers.classifies;
    let asks = move || if classifies.get() { page.t().text_to_classify } else { page.t().prompt };
    view! {
        <section id="try" aria-labelledby="try-heading">
            <h2 id="try-heading">{move || page.t().try_it}</h2>
            {notice(page, Place::Try)}
            <form
                on:submit=move |event| {
                    event.prevent_default();
                    answers::ask(page);
                }
            >
                <label class="wide">
                    <span>{asks}</span>
                    <textarea
                        rows="2"
                        data-testid="try-prompt"
                        prop:value=answers.prompt
                        on:input=move |event| answers.prompt.set(event_target_value(&event))
                    ></textarea>
                </label>
                <div class="row">
                    <div prop:hidden=classifies>{setting(page, 0)}</div>
                    <button type="submit" class="main" data-testid="try-generate" prop:disabled=move || !idle()>
                        {move || if answers.going.get() { page.t().answering } else { page.t().answer }}
                    </button>
                </div>
                <details data-testid="try-more" prop:hidden=classifies>
                    <summary>{move || page.t().more}</summary>
                    <div class="row">{(1..SETTINGS.len()).map(|at| setting(page, at)).collect_view()}</div>
                </details>
            </form>
            <div class="answers" aria-live="polite" aria-busy=move || if answers.going.get() { "true" } else { "false" }>
                {move || match answers.verdict.get() {
                    Some(verdict) => verdict::verdict(page, verdict).into_any(),
                    None => both().into_any(),
                }}
            </div>
        </section>
    }
}

/// Shows the input of one of [`SETTINGS`].
fn setting(page: Page, at: usize) -> impl IntoView {
    let (signal, title) = (page.answers.settings[at], SETTINGS[at].title);
    view! {
        <label>
            <span>{move || title(page.t())}</span>
            <input
                type="text"
                data-testid=SETTINGS[at].test_id
                placeholder=SETTINGS[at].usual
                prop:value=signal
                on:input=move |event| signal.set(event_target_value(&event))
            />
        </label>
    }
}
