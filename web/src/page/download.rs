//! The download of the trained adapter: the forms that the worker offers, the chosen one, and what to know of the last download.

use leptos::prelude::*;
use lorelei_protocol::{DownloadKind, DownloadOffer, Request};
use lorelei_recipe::Message;

use super::notice::Place;
use super::state::Page;
use crate::logic::texts::Texts;

/// The page's state of the download.
#[derive(Clone, Copy)]
pub struct Download {
    /// The chosen form.
    pub kind: RwSignal<DownloadKind>,
    /// The chosen storage format; empty for the usual one.
    pub dtype: RwSignal<String>,
    /// The forms that the worker offers of the last run's adapter; empty before there is one.
    pub offers: RwSignal<Vec<DownloadOffer>>,
    /// What the last download loses or changes, and what to do with it.
    pub notes: RwSignal<Vec<Message>>,
    /// Whether a download is being made.
    pub going: RwSignal<bool>,
}

impl Download {
    /// Creates the state without an adapter.
    pub fn new() -> Self {
        Self {
            kind: RwSignal::new(DownloadKind::default()),
            dtype: RwSignal::new(String::new()),
            offers: RwSignal::new(Vec::new()),
            notes: RwSignal::new(Vec::new()),
            going: RwSignal::new(false),
        }
    }

    /// Forgets the adapter, which is gone.
    pub fn clear(self) {
        self.offers.set(Vec::new());
        self.notes.set(Vec::new());
        self.going.set(false);
    }

    /// Chooses a form, in its usual storage format.
    pub fn choose(self, kind: DownloadKind) {
        self.dtype.set(String::new());
        self.kind.set(kind);
    }

    /// Takes what the worker offers. A chosen form that cannot be is given up for PEFT's.
    pub fn offered(self, offers: Vec<DownloadOffer>) {
        self.offers.set(offers);
        self.notes.set(Vec::new());
        if untrack(|| self.is_refused(self.kind.get())) {
            self.choose(DownloadKind::default());
        }
    }

    /// Whether the last run's adapter cannot be had in a form.
    pub fn is_refused(self, kind: DownloadKind) -> bool {
        self.offers.with(|offers| offers.iter().any(|offer| offer.kind == kind && offer.refusal.is_some()))
    }

    /// Whether there is a form in which the adapter cannot be had.
    pub fn any_refused(self) -> bool {
        self.offers.with(|offers| offers.iter().any(|offer| offer.refusal.is_some()))
    }

    /// Returns the storage formats of the chosen form, if there is a choice.
    pub fn dtypes(self) -> Vec<String> {
        let kind = self.kind.get();
        let dtypes = self
            .offers
            .with(|offers| offers.iter().find(|offer| offer.kind == kind).map(|offer| offer.dtypes.clone()));
        dtypes.filter(|dtypes| dtypes.len() > 1).unwrap_or_default()
    }
}

/// Returns a form's name and what it is for.
pub fn title(t: &Texts, kind: DownloadKind) -> &'static str {
    match kind {
        DownloadKind::Peft => t.download_peft,
        DownloadKind::PeftFolded => t.download_peft_folded,
        DownloadKind::GgufLora => t.download_gguf_lora,
        DownloadKind::Mlx => t.download_mlx,
        DownloadKind::Ollama => t.download_ollama,
        DownloadKind::Merged => t.download_merged,
        DownloadKind::Gguf => t.download_gguf,
    }
}

/// Requests the chosen form.
pub fn request(page: Page) {
    let download = page.download;
    if download.going.get_untracked() || page.is_engaged() {
        return;
    }
    page.notices.clear(Place::Share);
    download.notes.set(Vec::new());
    let (kind, dtype) = (download.kind.get_untracked(), download.dtype.get_untracked());
    let request = Request::Export { kind, dtype: Some(dtype).filter(|dtype| !dtype.is_empty()) };
    if page.trainer.send(&request, &[]) {
        download.going.set(true);
    }
}
