//! Rust's bindings to `browser.js`.

use std::io;

use js_sys::{Function, Promise, Uint8Array};
use lorelei_hub::answer::Answer;
use lorelei_recipe::{Message, message};
use serde::Deserialize;
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
    #[wasm_bindgen(js_name = storeRename)]
    fn store_rename(path: &str, name: &str) -> Promise;
    #[wasm_bindgen(js_name = storeExpire)]
    fn store_expire(path: &str, milliseconds: f64) -> Promise;
    /// Whether stored files can be written in place, with [`StoredFile`].
    #[wasm_bindgen(js_name = canStore)]
    pub fn can_store() -> bool;
    #[wasm_bindgen(js_name = accessOpen)]
    fn access_open(path: &str) -> Promise;
    #[wasm_bindgen(js_name = accessWrite, catch)]
    fn access_write(access: &JsValue, bytes: &[u8], at: f64) -> Result<f64, JsValue>;
    #[wasm_bindgen(js_name = accessClose, catch)]
    fn access_close(access: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(js_name = openUrl)]
    fn open_url(url: &str, from: f64) -> Promise;
    #[wasm_bindgen(js_name = closeUrl)]
    fn close_url(opened: &JsValue);
    #[wasm_bindgen(js_name = readInto)]
    fn read_into(opened: &JsValue, path: &str, at: f64, longest: f64, progress: &Function) -> Promise;
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
fn words(error: JsValue) -> Message {
    let text = |key: &str| js_sys::Reflect::get(&error, &key.into()).ok().and_then(|value| value.as_string());
    match (text("name"), text("message")) {
        (Some(name), Some(message)) if name == "QuotaExceededError" => {
            message!(
                "the browser's storage is full ({reason}): delete a model that is kept there",
                reason = message
            )
        }
        (_, Some(message)) => message.into(),
        _ => error.as_string().unwrap_or_else(|| format!("{error:?}")).into(),
    }
}

async fn awaited(promise: Promise) -> Result<JsValue, Message> {
    JsFuture::from(promise).await.map_err(words)
}

async fn text(promise: Promise) -> Result<String, Message> {
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
pub async fn probe() -> Result<String, Message> {
    text(probe_promise()).await
}

/// Takes the lock that only one run in all tabs may hold. Returns `false` where another tab has it.
pub async fn lock_run() -> Result<bool, Message> {
    Ok(awaited(lock_run_promise()).await?.is_truthy())
}

/// Fetches one of the page's own files.
pub async fn fetch_beside(name: &str) -> Result<Vec<u8>, Message> {
    Ok(awaited(fetch_beside_promise(name)).await?.unchecked_into::<Uint8Array>().to_vec())
}

/// Writes a file into the page's storage, whole or not at all.
pub async fn write(path: &str, bytes: &[u8]) -> Result<(), Message> {
    awaited(store_write(path, &Uint8Array::from(bytes))).await.map(drop)
}

/// Returns a stored file, if it is there.
pub async fn file(path: &str) -> Result<Option<File>, Message> {
    Ok(awaited(store_file(path)).await?.dyn_into().ok())
}

/// Returns a stored file's bytes, if it is there.
pub async fn read(path: &str) -> Result<Option<Vec<u8>>, Message> {
    Ok(awaited(store_read(path)).await?.dyn_into::<Uint8Array>().ok().map(|array| array.to_vec()))
}

/// Returns the names and sizes of the entries of a stored folder.
pub async fn list(path: &str) -> Result<Vec<(String, u64)>, Message> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(&text(store_list(path)).await?).map_err(|error| error.to_string())?;
    let entry = |entry: &serde_json::Value| {
        Some((entry["name"].as_str()?.to_owned(), entry["size"].as_f64().unwrap_or(0.0) as u64))
    };
    Ok(entries.iter().filter_map(entry).collect())
}

/// Removes a stored file or folder, which may be missing.
pub async fn delete(path: &str) -> Result<(), Message> {
    awaited(store_delete(path)).await.map(drop)
}

/// Removes a stored file that is older than a time in milliseconds.
pub async fn expire(path: &str, milliseconds: f64) -> Result<(), Message> {
    awaited(store_expire(path, milliseconds)).await.map(drop)
}

/// Returns the bytes that the browser lets the page store, and the bytes in use.
pub async fn estimate() -> Result<(u64, u64), Message> {
    let json: serde_json::Value =
        serde_json::from_str(&text(store_estimate()).await?).map_err(|error| error.to_string())?;
    let number = |key: &str| json[key].as_f64().unwrap_or(0.0) as u64;
    Ok((number("quota"), number("usage")))
}

/// Gives a stored file another name in its folder, in place of the file that has it.
pub async fn rename(path: &str, name: &str) -> Result<(), Message> {
    awaited(store_rename(path, name)).await.map(drop)
}

/// A stored file that is written in place and at once, as a worker may do. It is closed when it is dropped.
#[derive(Debug)]
pub struct StoredFile {
    access: Option<JsValue>,
    at: u64,
    len: u64,
}

impl StoredFile {
    /// Creates a stored file, in place of one that has the name already.
    ///
    /// # Errors
    ///
    /// If the storage cannot be written, or the file is being written already.
    pub async fn create(path: &str) -> Result<Self, Message> {
        Ok(Self { access: Some(awaited(access_open(path)).await?), at: 0, len: 0 })
    }

    /// Closes the file.
    ///
    /// # Errors
    ///
    /// If not all of it could be written.
    pub fn close(mut self) -> io::Result<()> {
        match self.access.take() {
            Some(access) => access_close(&access).map_err(refused),
            None => Ok(()),
        }
    }
}

fn refused(error: JsValue) -> io::Error {
    io::Error::other(words(error).to_string())
}

impl io::Write for StoredFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let access = self.access.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let count = access_write(access, bytes, self.at as f64).map_err(refused)? as usize;
        self.at += count as u64;
        self.len = self.len.max(self.at);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for StoredFile {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let place = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
            io::SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if let Some(access) = self.access.take() {
            let _ = access_close(&access);
        }
    }
}

/// The head of a server's answer. A page sees those headers of another origin that it exposes.
#[derive(Debug, Deserialize)]
pub struct Head {
    status: u16,
    error_code: Option<String>,
    error_message: Option<String>,
    retry_after: Option<String>,
    rate_limit: Option<String>,
    content_range: Option<String>,
    /// Number of bytes that are sent.
    pub content_length: Option<f64>,
}

impl Head {
    /// Returns the parts that say what the answer means.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            error_code: self.error_code.as_deref(),
            error_message: self.error_message.as_deref(),
            retry_after: self.retry_after.as_deref(),
            rate_limit: self.rate_limit.as_deref(),
        }
    }

    /// Whether the answer contains a part of the file, and not the whole.
    pub fn is_part(&self) -> bool {
        self.status == 206
    }

    /// Returns which part it contains, where the page may see that.
    pub fn content_range(&self) -> Option<&str> {
        self.content_range.as_deref()
    }
}

/// How the reading of an answer ended.
#[derive(Debug, Deserialize)]
pub struct End {
    /// Number of bytes of the file that are stored.
    pub done: f64,
    /// Why the connection broke, where it did.
    pub broken: Option<String>,
    /// Whether there was more than was to be accepted.
    pub is_longer: bool,
}

/// A server's answer, which is closed when it is dropped.
#[derive(Debug)]
pub struct Opened {
    handle: JsValue,
    /// Its head.
    pub head: Head,
}

impl Opened {
    /// Asks for a file, or for its bytes from `from` on.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub async fn get(url: &str, from: f64) -> Result<Self, Message> {
        let handle = awaited(open_url(url, from)).await?;
        let head = js_sys::Reflect::get(&handle, &"head".into()).map_err(words)?;
        let head = serde_json::from_str(&head.as_string().unwrap_or_default());
        Ok(Self { handle, head: head.map_err(|error| error.to_string())? })
    }

    /// Writes the body into a stored file from byte `at` on, in place of what is there. At most `longest` bytes are stored.
    ///
    /// # Errors
    ///
    /// If the storage cannot be written.
    pub async fn read_into(
        &self,
        path: &str,
        at: f64,
        longest: f64,
        progress: impl FnMut(f64) + 'static,
    ) -> Result<End, Message> {
        let progress = Closure::<dyn FnMut(f64)>::new(progress);
        let end = read_into(&self.handle, path, at, longest, progress.as_ref().unchecked_ref());
        Ok(serde_json::from_str(&text(end).await?).map_err(|error| error.to_string())?)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        close_url(&self.handle);
    }
}

/// Returns the size of this module's memory in bytes.
pub fn heap_bytes() -> u64 {
    heap_bytes_of(&wasm_bindgen::memory()) as u64
}
