//! Downloads of the trained adapter, in the forms of the programs that read it.

use std::{
    io::{self, BufWriter, Cursor},
    path::Path,
    sync::Arc,
};

use lorelei_data::LABELS_FILE;
use lorelei_export::{CreateFile, Export, ExportError, ExportKind, PeftAdapter, check_export};
use lorelei_formats::SafetensorsFile;
use lorelei_protocol::{DownloadKind, DownloadOffer, LONGEST_VALUE, Reply};
use lorelei_recipe::{Message, message};
use lorelei_session::{FinishedRun, LOG_FILE, LoadedModel, Result, ResultKind, SessionError, chat_text};

use crate::{
    archive::{Archive, Single},
    browser::{self, StoredFile},
    host_error, port,
    run::Trained,
    state,
};

/// Names of the adapter's own files.
const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Folder in the browser's storage of a download that is too large for memory, and its file. The next one takes its place.
const DOWNLOADS: &str = "download";
const STORED: &str = "download/merged";
/// Time after which a download is over, in milliseconds, so that a worker that starts removes its file.
const HOUR: f64 = 3_600_000.0;
/// Bytes that are kept back until they are written into the browser's storage.
const BUFFER: usize = 1 << 20;

/// Tells the page in which forms the adapter of the last run can be downloaded.
pub fn offer() {
    let Ok((trained, base)) = last_run() else { return };
    let adapter = open(&trained);
    let offers = DownloadKind::ALL.into_iter().map(|kind| {
        let (form, fold) = form(kind);
        let refusal = match (kind, &adapter) {
            // What was saved is downloaded as it is.
            (DownloadKind::Peft, _) => None,
            (DownloadKind::Merged | DownloadKind::Gguf, Ok(_)) if !browser::can_store() => {
                Some(no_storage(kind))
            }
            (_, Ok(adapter)) => {
                check_export(form, fold, adapter, &base.source).err().map(|error| error.to_message())
            }
            (_, Err(error)) => Some(error.to_message()),
        };
        let dtypes = form.dtype_names().into_iter().map(str::to_owned).collect();
        DownloadOffer { kind, dtypes, refusal: refusal.map(|message| message.cut_at(LONGEST_VALUE)) }
    });
    port::post(&Reply::Offered { offers: offers.collect() });
}

/// Sends the page the adapter of the last run in the form `kind`.
pub async fn export(kind: DownloadKind, dtype: Option<String>) -> Result<()> {
    let (trained, base) = last_run()?;
    let run = run_name(&trained);
    match kind {
        DownloadKind::Peft => {
            let archive = Archive::new(Cursor::new(Vec::new()), false);
            for name in [CONFIG, TENSORS] {
                if let Some((_, bytes)) = trained.files.iter().find(|(saved, _)| saved == name) {
                    archive.add(name, bytes).map_err(unzipped)?;
                }
            }
            for (name, bytes) in companions(&trained, kind) {
                archive.add(&name, &bytes).map_err(unzipped)?;
            }
            send(format!("{run}.zip"), archive.finish().map_err(unzipped)?.into_inner(), Vec::new());
        }
        DownloadKind::GgufLora => {
            let place = Single::new(Vec::new());
            let notices = write(&trained, &base, kind, dtype, &mut |_| Ok(place.create()))?;
            send(ExportKind::GgufLora.output_name(&run), place.finish().map_err(unwritten)?, notices);
        }
        DownloadKind::PeftFolded | DownloadKind::Mlx | DownloadKind::Ollama => {
            let archive = Archive::new(Cursor::new(Vec::new()), false);
            let notices = write(&trained, &base, kind, dtype, &mut |name| archive.create(name))?;
            let bytes = archive.finish().map_err(unzipped)?.into_inner();
            send(format!("{run}-{}.zip", kind.name()), bytes, notices);
        }
        DownloadKind::Merged => {
            let archive = Archive::new(stored(kind).await?, true);
            let notices = write(&trained, &base, kind, dtype, &mut |name| archive.create(name));
            let out = archive.finish().map_err(unzipped);
            send_stored(format!("{run}-merged.zip"), notices, out).await?;
        }
        DownloadKind::Gguf => {
            let place = Single::new(stored(kind).await?);
            let notices = write(&trained, &base, kind, dtype, &mut |_| Ok(place.create()));
            let out = place.finish().map_err(unwritten);
            send_stored(ExportKind::Gguf.output_name(&run), notices, out).await?;
        }
    }
    Ok(())
}

/// Removes the file of a download that is over.
pub async fn sweep() {
    // Where there is no storage, there is no such file.
    for (name, _) in browser::list(DOWNLOADS).await.unwrap_or_default() {
        let _ = browser::expire(&format!("{DOWNLOADS}/{name}"), HOUR).await;
    }
}

/// Creates the file in the browser's storage for a download of this form, in place of the one before.
async fn stored(kind: DownloadKind) -> Result<BufWriter<StoredFile>> {
    if !browser::can_store() {
        return Err(host_error(no_storage(kind)));
    }
    browser::delete(DOWNLOADS).await.map_err(host_error)?;
    let out = StoredFile::create(STORED).await.map_err(host_error)?;
    Ok(BufWriter::with_capacity(BUFFER, out))
}

/// Closes the file of [`stored`] and sends it to the page, unless writing it has failed.
async fn send_stored(
    file_name: String,
    notices: Result<Vec<Message>>,
    out: Result<BufWriter<StoredFile>>,
) -> Result<()> {
    let closed = |out: BufWriter<StoredFile>| {
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(StoredFile::close)
            .map_err(unwritten)
    };
    // Where the export itself has failed, its own error says why.
    let notices = match (notices, out.and_then(closed)) {
        (Ok(notices), Ok(())) => notices,
        (Err(error), _) | (_, Err(error)) => return Err(without_file(error).await),
    };
    match browser::file(STORED).await.map_err(host_error)? {
        Some(file) => {
            port::post_file(&Reply::Exported { file_name, notices }, &file);
            Ok(())
        }
        None => Err(host_error(message!("the browser has removed the file: export it again"))),
    }
}

/// Removes what was written of a download that failed.
async fn without_file(error: SessionError) -> SessionError {
    let _ = browser::delete(STORED).await;
    error
}

/// Writes an export's files. Returns notices for the user.
fn write(
    trained: &Trained,
    base: &LoadedModel,
    kind: DownloadKind,
    dtype: Option<String>,
    create: &mut CreateFile<'_>,
) -> Result<Vec<Message>> {
    let (form, fold) = form(kind);
    let adapter = open(trained).map_err(failed)?;
    let labels = trained.files.iter().find(|(name, _)| name == LABELS_FILE);
    let labels = labels.map(|(_, bytes)| String::from_utf8_lossy(bytes));
    let from = ollama_base(&base.name);
    let export = Export {
        kind: form,
        dtype: form.dtype(dtype.as_deref()).map_err(failed)?,
        fold,
        name: &run_name(trained),
        from: &from,
        labels: labels.as_deref(),
        companions: &companions(trained, kind),
        chat: &|turns| chat_text(&base.tokenizer, turns),
    };
    let mut notices = export.write(&adapter, &base.source, create).map_err(failed)?;
    if kind == DownloadKind::Ollama {
        notices.push(match base.name.starts_with("builtin:") {
            true => message!(
                "FROM in the Modelfile names {from}: `lorelei convert {base} FOLDER` writes the base model there",
                from,
                base = &base.name
            ),
            false => message!(
                "FROM in the Modelfile names {from}: put the base model there, a folder or a GGUF file, or write its place after FROM",
                from
            ),
        });
    }
    Ok(notices)
}

/// Returns the form and whether it has one rank and one scale.
fn form(kind: DownloadKind) -> (ExportKind, bool) {
    match kind {
        DownloadKind::Peft => (ExportKind::Peft, false),
        DownloadKind::PeftFolded => (ExportKind::Peft, true),
        DownloadKind::GgufLora => (ExportKind::GgufLora, false),
        DownloadKind::Mlx => (ExportKind::Mlx, false),
        DownloadKind::Ollama => (ExportKind::Ollama, false),
        DownloadKind::Merged => (ExportKind::Merged, false),
        DownloadKind::Gguf => (ExportKind::Gguf, false),
    }
}

/// Returns the last run, and its base model.
fn last_run() -> Result<(Trained, LoadedModel)> {
    state::with(|state| state.trained.clone().zip(state.model.clone())).ok_or(SessionError::NoAdapter)
}

/// Returns the name of the run: that of its output folder.
fn run_name(trained: &Trained) -> String {
    let name = Path::new(&trained.recipe.training.output_dir).file_name();
    name.map_or_else(|| "adapter".into(), |name| name.to_string_lossy().into_owned())
}

/// Opens the adapter that the run has saved.
fn open(trained: &Trained) -> Result<PeftAdapter, ExportError> {
    let file = |wanted: &str| -> Arc<[u8]> {
        let found = trained.files.iter().find(|(name, _)| name == wanted);
        found.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    };
    let config = String::from_utf8_lossy(&file(CONFIG)).into_owned();
    PeftAdapter::open(&config, CONFIG, Box::new(SafetensorsFile::open(file(TENSORS), TENSORS)?), TENSORS)
}

/// Returns the files beside the adapter's own: those that the run has saved with it, its log, its recipe and the model card; beside a merged model, recipe
/// and card.
fn companions(trained: &Trained, kind: DownloadKind) -> Vec<(String, Vec<u8>)> {
    let is_merged = kind == DownloadKind::Merged;
    let run = FinishedRun {
        recipe: &trained.recipe,
        result: if is_merged { ResultKind::Merged } else { ResultKind::Adapter },
        base_is_on_hub: trained.base_is_on_hub,
        labels: trained.labels.as_ref(),
        num_examples: Some(trained.num_examples),
        log: &trained.log,
        license: trained.license.as_deref(),
    };
    if is_merged {
        return run.files();
    }
    let saved = trained.files.iter().filter(|(name, _)| name != CONFIG && name != TENSORS);
    let mut files: Vec<_> = saved.map(|(name, bytes)| (name.clone(), bytes.to_vec())).collect();
    files.push((LOG_FILE.to_owned(), trained.log.clone().into_bytes()));
    files.extend(run.files());
    files
}

/// Returns the base as a Modelfile names it: a file or folder beside it, as Ollama has no hub ids of unquantised models.
fn ollama_base(name: &str) -> String {
    let name = name.trim_start_matches("builtin:");
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split('@').next().unwrap_or(name);
    format!("./{}", name.replace(char::is_control, "_"))
}

fn send(file_name: String, bytes: Vec<u8>, notices: Vec<Message>) {
    port::post_with(&Reply::Exported { file_name, notices }, Some(&bytes));
}

fn no_storage(kind: DownloadKind) -> Message {
    message!(
        "this browser gives the page no place for so large a file: unpack the download as `peft`, and merge it with `lorelei export FOLDER --to {kind}`",
        kind = kind.name()
    )
}

fn failed(error: ExportError) -> SessionError {
    host_error(error.to_message())
}

fn unwritten(error: io::Error) -> SessionError {
    host_error(message!("the file cannot be written: {reason}", reason = error.to_string()))
}

fn unzipped(error: io::Error) -> SessionError {
    host_error(message!("the zip cannot be made: {reason}", reason = error.to_string()))
}
