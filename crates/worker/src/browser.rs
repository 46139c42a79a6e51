//! Rust's bindings to `browser.js`.

use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

#[wasm_bindgen(module = "/src/browser.js")]
extern "C" {
    /// Returns `length` bytes of a blob from `offset` on, or `None` where they cannot be read. It returns at once, as a worker may do.
    #[wasm_bindgen(js_name = readBlob)]
    pub fn read_blob(blob: &Blob, offset: f64, length: f64) -> Option<Uint8Array>;
    #[wasm_bindgen(js_name = tick)]
    fn tick_promise() -> Promise;
    #[wasm_bindgen(js_name = sleep)]
    fn sleep_promise(milliseconds: f64) -> Promise;
    #[wasm_bindgen(js_name = probe)]
    fn probe_promise() -> Promise;
    #[wasm_bindgen(js_name = storeWrite)]
    fn store_write(path: &str, bytes: &Uint8Array) -> Promise;
    #[wasm_bindgen(js_name = storeFile)]
    fn store_file(path: &str) -> Promise;
    #[wasm_bindgen(js_name = storeRead)]
    fn store_read(path: &str) -> Promise;
    #[wasm_bindgen(js_name = storeList)]
    fn store_list(path: &str) -> Promise;
    #[wasm_bindgen(js_name = storeDelete)]
    fn store_delete(path: &str) -> Promise;
    #[wasm_bindgen(js_name = storeEstimate)]
    fn store_estimate() -> Promise;
    #[wasm_bindgen(js_name = fetchToStore)]
    fn fetch_to_store(url: &str, path: &str, progress: &Function) -> Promise;
    #[wasm_bindgen(js_name = fetchBeside)]
    fn fetch_beside_promise(name: &str) -> Promise;
    #[wasm_bindgen(js_name = lockRun)]
    fn lock_run_promise() -> Promise;
    /// Releases the lock that [`lock_run`] has taken.
    #[wasm_bindgen(js_name = unlockRun)]
    pub fn unlock_run();
    /// Returns the messages that came before the module ran.
    #[wasm_bindgen(js_name = earlyMessages)]
    pub fn early_messages() -> js_sys::Array;
    /// Returns a parameter of the page's address, such as `kernels` of `?kernels=wgsl`, which the page passes to the worker.
    pub fn parameter(name: &str) -> Option<String>;
    #[wasm_bindgen(js_name = heapBytes)]
    fn heap_bytes_of(memory: &JsValue) -> f64;
}

/// Returns the message of an exception.
fn words(error: JsValue) -> String {
    let text = |key: &str| js_sys::Reflect::get(&error, &key.into()).ok().and_then(|value| value.as_string());
    match (text("name"), text("message")) {
        (Some(name), Some(message)) if name == "QuotaExceededError" => {
            format!("the browser's storage is full ({message}): delete a model that is kept there")
        }
        (_, Some(message)) => message,
        _ => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    }
}

async fn awaited(promise: Promise) -> Result<JsValue, String> {
    JsFuture::from(promise).await.map_err(words)
}

async fn text(promise: Promise) -> Result<String, String> {
    Ok(awaited(promise).await?.as_string().unwrap_or_default())
}

/// Yields to the browser, so that waiting messages are received.
pub async fn tick() {
    let _ = awaited(tick_promise()).await;
}

/// Waits for a time in milliseconds.
pub async fn sleep(milliseconds: f64) {
    let _ = awaited(sleep_promise(milliseconds)).await;
}

/// Returns the WebGPU adapter as the JSON of an `AdapterInfo`, or `{ problem }`.
pub async fn probe() -> Result<String, String> {
    text(probe_promise()).await
}

/// Takes the lock that only one run in all tabs may hold. Returns `false` where another tab has it.
pub async fn lock_run() -> Result<bool, String> {
    Ok(awaited(lock_run_promise()).await?.is_truthy())
}

/// Fetches one of the page's own files.
pub async fn fetch_beside(name: &str) -> Result<Vec<u8>, String> {
    Ok(awaited(fetch_beside_promise(name)).await?.unchecked_into::<Uint8Array>().to_vec())
}

/// Writes a file into the page's storage, whole or not at all.
pub async fn write(path: &str, bytes: &[u8]) -> Result<(), String> {
    awaited(store_write(path, &Uint8Array::from(bytes))).await.map(drop)
}

/// Returns a stored file, if it is there.
pub async fn file(path: &str) -> Result<Option<File>, String> {
    Ok(awaited(store_file(path)).await?.dyn_into().ok())
}

/// Returns a stored file's bytes, if it is there.
pub async fn read(path: &str) -> Result<Option<Vec<u8>>, String> {
    Ok(awaited(store_read(path)).await?.dyn_into::<Uint8Array>().ok().map(|array| array.to_vec()))
}

/// Returns the names and sizes of the entries of a stored folder.
pub async fn list(path: &str) -> Result<Vec<(String, u64)>, String> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(&text(store_list(path)).await?).map_err(|error| error.to_string())?;
    let entry = |entry: &serde_json::Value| {
        Some((entry["name"].as_str()?.to_owned(), entry["size"].as_f64().unwrap_or(0.0) as u64))
    };
    Ok(entries.iter().filter_map(entry).collect())
}

/// Removes a stored file or folder, which may be missing.
pub async fn delete(path: &str) -> Result<(), String> {
    awaited(store_delete(path)).await.map(drop)
}

/// Returns the bytes that the browser lets the page store, and the bytes in use.
pub async fn estimate() -> Result<(u64, u64), String> {
    let json: serde_json::Value =
        serde_json::from_str(&text(store_estimate()).await?).map_err(|error| error.to_string())?;
    let number = |key: &str| json[key].as_f64().unwrap_or(0.0) as u64;
    Ok((number("quota"), number("usage")))
}

/// Fetches a file into the storage, or the rest of it where a part is there. Returns whether the server has the file.
pub async fn fetch(url: &str, path: &str, progress: impl FnMut(f64, f64) + 'static) -> Result<bool, String> {
    let progress = Closure::<dyn FnMut(f64, f64)>::new(progress);
    let fetched = fetch_to_store(url, path, progress.as_ref().unchecked_ref());
    Ok(awaited(fetched).await?.is_truthy())
}

/// Returns the size of this module's memory in bytes.
pub fn heap_bytes() -> u64 {
    heap_bytes_of(&wasm_bindgen::memory()) as u64
}
