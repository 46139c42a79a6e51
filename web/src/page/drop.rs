//! Files that are dropped on the page or picked, singly or as a folder.

use js_sys::{Array, Promise, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DragEvent, Event, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry,
    HtmlInputElement,
};

use crate::logic::folder;

/// A file that was dropped or picked.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The file.
    pub file: File,
    /// Path of the file in the chosen folder, or the name of a file that was chosen alone.
    pub path: String,
}

impl Chosen {
    /// Describes a file of an input or of a drop.
    fn of(file: File) -> Self {
        let relative = Reflect::get(&file, &"webkitRelativePath".into()).ok();
        let relative = relative.and_then(|path| path.as_string()).unwrap_or_default();
        Self { path: folder::path(&relative, &file.name()), file }
    }
}

/// Returns the files of an input. The input is emptied, so that the same file can be picked again.
fn picked(event: &Event) -> Vec<Chosen> {
    let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else {
        return Vec::new();
    };
    let files = listed(input.files());
    input.set_value("");
    files.into_iter().filter(|chosen| folder::is_read(&chosen.path)).collect()
}

/// Handles a drop and passes its files to `then`. Folders are read asynchronously.
pub fn dropped(event: &DragEvent, then: impl FnOnce(Vec<Chosen>) + 'static) {
    event.prevent_default();
    event.stop_propagation();
    let Some(transfer) = event.data_transfer() else { return };
    // The items are gone once this event is over: the entries are taken now, and files are read from them later.
    let items = transfer.items();
    let folders: Vec<FileSystemDirectoryEntry> = (0..items.length())
        .filter_map(|i| items.get(i)?.webkit_get_as_entry().ok()?)
        .filter(FileSystemEntry::is_directory)
        .map(JsCast::unchecked_into)
        .collect();
    if folders.is_empty() {
        return then(listed(transfer.files()));
    }
    spawn_local(async move {
        let mut files = Vec::new();
        for folder in folders {
            // A folder that cannot be read has no usable files. A missing file is reported when the model is read.
            let _ = read_folder(folder, &mut files).await;
        }
        then(files);
    });
}

/// The kind of files that a picker accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picks {
    /// A single file.
    File,
    /// Several files.
    Files,
    /// A folder.
    Folder,
}

/// Shows a button that opens the browser's picker and passes the picked files to `then`.
pub fn picker(
    test_id: &'static str,
    picks: Picks,
    accept: &'static str,
    label: impl Fn() -> &'static str + Send + 'static,
    then: impl Fn(Vec<Chosen>) + 'static,
) -> impl IntoView {
    view! {
        <label class="button">
            {label}
            <input
                class="unseen"
                type="file"
                multiple=picks == Picks::Files
                prop:webkitdirectory=picks == Picks::Folder
                accept=accept
                data-testid=test_id
                on:change=move |event| then(picked(&event))
            />
        </label>
    }
}

/// Shows a zone that accepts drops, with its contents.
pub fn zone(
    test_id: &'static str,
    enabled: impl Fn() -> bool + Copy + Send + 'static,
    then: impl Fn(Vec<Chosen>) + Clone + 'static,
    contents: impl IntoView,
) -> impl IntoView {
    let over = RwSignal::new(false);
    view! {
        <div
            class="drop"
            class:over=over
            data-testid=test_id
            on:dragover=move |event: DragEvent| {
                event.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=move |event: DragEvent| {
                over.set(false);
                if enabled() {
                    dropped(&event, then.clone());
                }
            }
        >
            {contents}
        </div>
    }
}

fn listed(files: Option<FileList>) -> Vec<Chosen> {
    let files = files.map(|files| (0..files.length()).filter_map(|i| files.get(i)).collect::<Vec<_>>());
    files.unwrap_or_default().into_iter().map(Chosen::of).collect()
}

/// Adds the files of a folder that was dropped, and those of the subfolders that a model has.
async fn read_folder(folder: FileSystemDirectoryEntry, files: &mut Vec<Chosen>) -> Result<(), JsValue> {
    let mut folders = vec![(folder, String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in entries(&folder).await? {
            if entry.is_directory() {
                let is_read = prefix.is_empty() && folder::is_subfolder(&entry.name());
                if is_read {
                    let prefix = format!("{}/", entry.name());
                    folders.push((entry.unchecked_into(), prefix));
                }
                continue;
            }
            let path = format!("{prefix}{}", entry.name());
            let entry: FileSystemFileEntry = entry.unchecked_into();
            let file = JsFuture::from(Promise::new(&mut |resolve, reject| {
                entry.file_with_callback_and_callback(&resolve, &reject);
            }))
            .await?;
            files.extend(file.dyn_into::<File>().ok().map(|file| Chosen { file, path }));
        }
    }
    Ok(())
}

/// Returns what is in a folder that was dropped.
async fn entries(folder: &FileSystemDirectoryEntry) -> Result<Vec<FileSystemEntry>, JsValue> {
    let reader = folder.create_reader();
    let mut found = Vec::new();
    loop {
        // Browsers return entries in portions; an empty one is the end.
        let portion = JsFuture::from(Promise::new(&mut |resolve, reject| {
            if let Err(error) = reader.read_entries_with_callback_and_callback(&resolve, &reject) {
                let _ = reject.call1(&JsValue::NULL, &error);
            }
        }))
        .await?;
        let portion: Array = portion.dyn_into()?;
        if portion.length() == 0 {
            return Ok(found);
        }
        found.extend(portion.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
    }
}
