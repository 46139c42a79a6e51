//! Error messages, shown at the place that they are about until the user dismisses them.

use std::collections::BTreeMap;
use std::panic::PanicHookInfo;

use leptos::prelude::*;

use super::state::Page;

/// The place of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Above all sections.
    Page,
    /// For a link that could not be read.
    Link,
    /// In the section of this name; the same holds for the places below.
    Model,
    Data,
    Recipe,
    Run,
    Try,
    Share,
}

impl Place {
    fn test_id(self) -> &'static str {
        match self {
            Place::Page => "page-error",
            Place::Link => "link-error",
            Place::Model => "model-error",
            Place::Data => "data-error",
            Place::Recipe => "recipe-notice",
            Place::Run => "run-error",
            Place::Try => "try-error",
            Place::Share => "share-error",
        }
    }
}

/// The messages, at most one for each place.
#[derive(Clone, Copy)]
pub struct Notices(RwSignal<BTreeMap<Place, String>>);

impl Notices {
    /// Creates the state without messages.
    pub fn new() -> Self {
        Self(RwSignal::new(BTreeMap::new()))
    }

    /// Shows a message at a place, in place of the older one.
    pub fn say(self, place: Place, text: impl Into<String>) {
        let text = text.into();
        self.0.update(|all| {
            all.insert(place, text);
        });
    }

    /// Removes the message of a place.
    pub fn clear(self, place: Place) {
        if self.0.with_untracked(|all| all.contains_key(&place)) {
            self.0.update(|all| {
                all.remove(&place);
            });
        }
    }
}

/// Shows the message of a place, with a button that removes it.
pub fn notice(page: Page, place: Place) -> impl IntoView {
    let text = Memo::new(move |_| page.notices.0.with(|all| all.get(&place).cloned()));
    move || {
        text.get().map(|text| {
            view! {
                <div class="notice" role="alert" data-testid=place.test_id()>
                    <p>{text}</p>
                    <button
                        type="button"
                        class="quiet"
                        data-testid=format!("{}-dismiss", place.test_id())
                        on:click=move |_| page.notices.clear(place)
                    >
                        {move || page.t().dismiss}
                    </button>
                </div>
            }
        })
    }
}

/// Shows a message when the page itself panics, which is a fault of the program.
pub fn show_panic(info: &PanicHookInfo<'_>) {
    let message = format!(
        "The page stopped on a mistake of its own. Please reload it. / 页面出错，请重新加载。 ({info})"
    );
    leptos::logging::error!("{message}");
    if let Some(place) = document().get_element_by_id("boot") {
        place.set_text_content(Some(&message));
        let _ = place.remove_attribute("hidden");
    }
}
