//! The session's host in a browser: models from the page or from a hub, and files that the user chose.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
};

use lorelei_data::{Example, read_rows};
use lorelei_formats::ModelSource;
use lorelei_protocol::{DataChoice, ModelChoice, Notice, Reply};
use lorelei_recipe::{DataSection, HostKind, message};
use lorelei_session::{CARD_FILE, ExampleSink, Host, OpenedModel, Result, RowFile, license_of};
use web_sys::File;

use crate::{
    blob::{BlobReader, BlobStream},
    browser, host_error, hub, port,
    store::StoredCheckpoint,
};

/// The default revision, which a model's name omits.
const MAIN: &str = "main";
/// Number of bytes of a model card that are read for its metadata.
const LONGEST_HEAD: f64 = 65536.0;

/// The browser, with the files that came with a request.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    /// The files, in the order of the message.
    pub files: Vec<File>,
}

impl Browser {
    /// Returns the licence of a model, if its card is among the chosen files, or its hub names it.
    pub async fn license(&self, choice: &ModelChoice) -> Option<String> {
        match choice {
            ModelChoice::Builtin { .. } => None,
            ModelChoice::Files { paths } => {
                let card = self.files.get(paths.iter().position(|path| path == CARD_FILE)?)?;
                // The licence stands at the head.
                let length = card.size().min(LONGEST_HEAD);
                let head = browser::read_blob(card, 0.0, length)?.to_vec();
                license_of(&String::from_utf8_lossy(&head))
            }
            ModelChoice::Hub { id, revision, .. } => hub::license(id, revision).await,
        }
    }
}

impl Host for Browser {
    const KIND: HostKind = HostKind::Page;
    type ModelName = ModelChoice;
    type DataName = DataChoice;
    type Folder = StoredCheckpoint;

    async fn open_model(&self, choice: &ModelChoice) -> Result<OpenedModel> {
        match choice {
            ModelChoice::Builtin { name } => builtin(name).await,
            ModelChoice::Files { paths } => chosen(&self.files, paths),
            ModelChoice::Hub { id, revision, endpoint } => {
                let files = hub::files(id, revision, endpoint).await.map_err(host_error)?;
                // The name that a recipe gives the model.
                let name = if revision == MAIN { id.clone() } else { format!("{id}@{revision}") };
                Ok(OpenedModel { source: folder(&name, files)?, name, is_on_hub: true })
            }
        }
    }

    fn rows<'h>(&'h self, choice: &'h DataChoice, section: &'h DataSection) -> Result<Vec<RowFile<'h>>> {
        let (name, reader): (_, Box<dyn BufRead>) = match choice {
            DataChoice::Builtin { name } => {
                let rows = lorelei_builtin::data(name);
                let rows = rows.ok_or_else(|| host_error(message!("there is no {name}", name)))?;
                (name, Box::new(rows.as_bytes()))
            }
            DataChoice::File { index, name } => {
                let file = self.files.get(*index);
                let file =
                    file.ok_or_else(|| host_error(message!("the data file did not come with the message")))?;
                let stream = BlobStream::new(BlobReader::new(file.clone()));
                (name, Box::new(BufReader::with_capacity(1 << 20, stream)))
            }
        };
        let open = move || Ok(read_rows(reader, name, section));
        Ok(vec![RowFile { name: name.clone(), open: Box::new(open) }])
    }

    fn examples(&self) -> Box<dyn ExampleSink> {
        Box::new(Vec::<Example>::new())
    }

    async fn adapter(&self, name: &str) -> Result<StoredCheckpoint> {
        // The page has refused this setting before.
        Err(host_error(message!("the page cannot read {name}", name)))
    }

    fn progress(&self, what: &str, done: u64, total: u64) {
        port::post(&Reply::Progress { what: what.to_owned(), done, total });
    }

    fn notice(&self, notice: Notice) {
        port::warn(notice);
    }
}

async fn builtin(name: &str) -> Result<OpenedModel> {
    let model =
        lorelei_builtin::model(name).ok_or_else(|| host_error(message!("there is no {name}", name)))?;
    let weights = browser::fetch_beside(model.weights_file).await.map_err(host_error)?;
    let open = |file: &str| {
        let bytes = model.file(file).or_else(|| (file == "model.safetensors").then_some(&weights[..]));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let source = ModelSource::from_folder(name, open)?;
    Ok(OpenedModel { name: name.to_owned(), is_on_hub: false, source })
}

/// Opens the `.gguf` file among the files, or else all of them as a folder.
fn chosen(files: &[File], paths: &[String]) -> Result<OpenedModel> {
    let gguf = files.iter().find(|file| file.name().to_lowercase().ends_with(".gguf"));
    let (name, source) = match gguf {
        Some(file) => {
            let name = file.name();
            (name.clone(), ModelSource::from_gguf(BlobReader::new(file.clone()), &name)?)
        }
        None => {
            let path = |at: usize, file: &File| paths.get(at).cloned().unwrap_or_else(|| file.name());
            let named = files.iter().enumerate().map(|(at, file)| (path(at, file), file.clone()));
            (files.first().map(folder_name).unwrap_or_default(), folder("", named)?)
        }
    };
    Ok(OpenedModel { name, is_on_hub: false, source })
}

/// Opens files, each with its path in the model's folder, which a [`File`] does not know.
fn folder(name: &str, files: impl IntoIterator<Item = (String, File)>) -> Result<ModelSource> {
    let files: BTreeMap<String, BlobReader> =
        files.into_iter().map(|(path, file)| (path, BlobReader::new(file))).collect();
    let open = |name: &str| files.get(name).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    Ok(ModelSource::from_folder(name, open)?)
}

/// Returns the name of the folder that a picked file is in, or `model` for files without a folder.
fn folder_name(file: &File) -> String {
    let path =
        js_sys::Reflect::get(file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
    path.and_then(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
        .unwrap_or_else(|| "model".into())
}
