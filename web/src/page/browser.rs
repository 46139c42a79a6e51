//! Access to the browser: its storage, its clipboard, its downloads, its address, its language.
//!
//! Each of these may be missing or forbidden; the page then works without it.

use js_sys::{Array, Reflect};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use crate::logic::texts::Language;

/// Returns the value that this page has stored under `lorelei.KEY`.
pub fn stored(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(&format!("lorelei.{key}")).ok()?
}

/// Stores a choice; an empty one is deleted.
pub fn store(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let key = format!("lorelei.{key}");
        // If the storage is full or forbidden, only the choice is lost.
        let _ = if value.is_empty() { storage.remove_item(&key) } else { storage.set_item(&key, value) };
    }
}

/// Returns the language that was chosen before, else the browser's.
pub fn language() -> Language {
    let chosen = stored("language").and_then(|code| Language::from_code(&code));
    chosen.or_else(|| Language::from_code(&window().navigator().language()?)).unwrap_or_default()
}

/// Returns the part of the address after `#`.
pub fn fragment() -> String {
    window().location().hash().unwrap_or_default().trim_start_matches('#').to_string()
}

/// Returns the part of the address between `?` and `#`, with its `?`; empty where there is none.
pub fn parameters() -> String {
    window().location().search().unwrap_or_default()
}

/// Returns the address of the page with another fragment and without the parameters, which are for the current visit only.
pub fn address_with(fragment: &str) -> String {
    let href = window().location().href().unwrap_or_default();
    let page = href.split(['?', '#']).next().unwrap_or_default();
    format!("{page}#{fragment}")
}

/// Returns whether the browser has WebGPU, and whether this page may use it: only secure pages may.
pub fn webgpu() -> (bool, bool) {
    let has = |object: &JsValue, name: &str| {
        Reflect::get(object, &name.into()).is_ok_and(|value| value.is_truthy())
    };
    (has(&window().navigator(), "gpu"), has(&window(), "isSecureContext"))
}

/// Copies a text to the clipboard. Returns `false` where the browser forbids it.
pub async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    if !Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_truthy()) {
        return false;
    }
    JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}

/// Saves a file as a download.
pub fn save(name: &str, media_type: &str, content: &JsValue) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    save_blob(name, &Blob::new_with_u8_array_sequence_and_options(&Array::of1(content), &options)?)
}

/// Saves a blob as a download. The contents of a file are copied by the browser, and are never in the page's memory.
pub fn save_blob(name: &str, blob: &Blob) -> Result<(), JsValue> {
    let url = Url::create_object_url_with_blob(blob)?;
    let anchor: HtmlAnchorElement = document().create_element("a")?.dyn_into()?;
    anchor.set_href(&url);
    anchor.set_download(name);
    anchor.click();
    // The download has its own reference to the data by then.
    set_timeout(
        move || {
            let _ = Url::revoke_object_url(&url);
        },
        std::time::Duration::from_secs(60),
    );
    Ok(())
}

/// Returns the message of a JavaScript error.
pub fn words(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message
        .or_else(|| error.as_string())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| format!("{error:?}"))
}
