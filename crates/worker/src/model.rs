//! Loading a model: what the worker carries, the page's files, or a hub's.

use std::{collections::BTreeMap, io, rc::Rc};

use lorelei_data::Tokenizer;
use lorelei_estimate::task_type_of;
use lorelei_formats::{ModelConfig, ModelSource};
use lorelei_kernels::gpu;
use lorelei_models::{Model, Storage, model_shape};
use lorelei_protocol::{DeviceChoice, ModelChoice, ModelInfo, Reply};
use web_sys::File;

use crate::{blob::BlobReader, browser, desk, device, port, store};

/// The revision that a model's name does not tell.
const MAIN: &str = "main";

/// A model on its device.
#[derive(Clone)]
pub struct Loaded {
    /// The base, without adapters.
    pub model: Model,
    /// The files that it came from: heads for other tasks are read from them.
    pub source: Rc<ModelSource>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What `adapter_config.json` names as the base.
    pub name: String,
}

/// Puts a model on a device in place of the one before.
pub async fn load(choice: ModelChoice, device: DeviceChoice, files: Vec<File>) -> Result<(), String> {
    let (name, source) = source(choice, files).await?;
    let (device, device_name) = device::choose(device).await?;
    let (config, tokenizer) = read(&source)?;
    // Nothing is known to be wrong with the new one: the old one goes, as two may not fit.
    desk::with(|desk| (desk.model, desk.data, desk.trained) = (None, None, None));
    port::post(&Reply::Unloaded);
    let total = config.expected_tensors().len() as u64;
    let mut done = 0;
    let mut progress = |tensor: &str| {
        done += 1;
        port::post(&Reply::Progress { what: tensor.to_owned(), done, total });
    };
    let model = Model::load(
        config,
        &*source.tensors,
        &device,
        Storage { keep_packed: gpu::runs_on(&device), ..Storage::SINGLE },
        &mut progress,
    )
    .map_err(|error| error.to_string())?;
    let info = ModelInfo {
        name: name.clone(),
        writes_text: model.config().writes_text(),
        task_type: task_type_of(model.config().task),
        device: device_name,
        has_chat_template: !tokenizer.uses_default_template(),
        shape: model_shape(model.config(), &*source.tensors, gpu::runs_on(&device)),
    };
    let loaded = Loaded { model, source: Rc::new(source), tokenizer, name };
    desk::with(|desk| desk.model = Some(loaded));
    port::post(&Reply::Loaded(info));
    Ok(())
}

async fn source(choice: ModelChoice, files: Vec<File>) -> Result<(String, ModelSource), String> {
    let by_name = |files: Vec<File>| -> BTreeMap<String, BlobReader> {
        files.into_iter().map(|file| (file.name(), BlobReader::new(file))).collect()
    };
    let folder = |name: &str, files: BTreeMap<String, BlobReader>| {
        let open =
            |name: &str| files.get(name).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        ModelSource::from_folder(name, open).map_err(|error| error.to_string())
    };
    match choice {
        ModelChoice::Builtin { name } => {
            let model = lorelei_builtin::model(&name).ok_or_else(|| format!("there is no {name}"))?;
            let weights = browser::fetch_beside(model.weights_file).await?;
            let open = |file: &str| {
                let bytes =
                    model.file(file).or_else(|| (file == "model.safetensors").then_some(&weights[..]));
                bytes.map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            };
            let source = ModelSource::from_folder(&name, open).map_err(|error| error.to_string())?;
            Ok((name, source))
        }
        ModelChoice::Files => {
            let gguf = files.iter().find(|file| file.name().to_lowercase().ends_with(".gguf")).cloned();
            if let Some(file) = gguf {
                let name = file.name();
                let source = ModelSource::from_gguf(BlobReader::new(file), &name)
                    .map_err(|error| error.to_string())?;
                return Ok((name, source));
            }
            let name = files.first().map(folder_name).unwrap_or_default();
            Ok((name, folder("", by_name(files))?))
        }
        ModelChoice::Hub { id, revision, endpoint } => {
            let files = store::hub(&id, &revision, &endpoint).await?;
            // As a recipe names it.
            let name = if revision == MAIN { id } else { format!("{id}@{revision}") };
            let source = folder(&name, by_name(files))?;
            Ok((name, source))
        }
    }
}

/// The folder that a picked file lies in, or what to call files that come without one.
fn folder_name(file: &File) -> String {
    let path =
        js_sys::Reflect::get(file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
    path.and_then(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
        .unwrap_or_else(|| "model".into())
}

/// All of a model but its weights, whose names and shapes are held against its configuration.
fn read(source: &ModelSource) -> Result<(ModelConfig, Tokenizer), String> {
    let config = source.model_config().map_err(|error| error.to_string())?;
    Model::check_tensors(&config, &*source.tensors).map_err(|error| error.to_string())?;
    let json = source.tokenizer.as_deref().ok_or("the model has no tokenizer.json: add the file")?;
    let tokenizer =
        Tokenizer::from_files(json, source.tokenizer_config.as_deref(), source.chat_template.as_deref())
            .map_err(|error| error.to_string())?;
    Ok((config, tokenizer))
}
