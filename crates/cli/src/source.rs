//! Sources of a model: the program itself, a Hugging Face folder, a GGUF file or a hub id.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use burn::tensor::Device;
use lorelei_data::Tokenizer;
use lorelei_formats::{ModelConfig, ModelSource};
use lorelei_models::{Model, Purpose, Storage};
use lorelei_session::{LoadedModel, OpenedModel};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{file_system::FileSystem, hub, report};

/// Opens the model that `model_name_or_path` names.
///
/// # Errors
///
/// If it is not there or is not a model.
pub fn open(name: &str) -> Result<ModelSource> {
    let path = Path::new(name);
    if let Some(model) = lorelei_builtin::model(name) {
        ModelSource::from_folder(name, |file| model.file(file).ok_or(io::ErrorKind::NotFound.into()))
            .map_err(report)
    } else if path.is_dir() {
        folder(path)
    } else if path.is_file() {
        let file = File::open(path).into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
        ModelSource::from_gguf(file, name).map_err(report)
    } else if name.starts_with("builtin:") {
        let known = lorelei_builtin::MODELS.join(", ");
        Err(miette!("there is no {name}; built in: {known}. Or name a folder, a .gguf file or a hub id"))
    } else if hub::is_id(name) {
        folder(&hub::fetch(name)?)
    } else {
        Err(miette!(
            "there is no model at {name}: it is neither a folder, a .gguf file nor a hub id (owner/name, or owner/name@revision)"
        ))
    }
}

fn folder(path: &Path) -> Result<ModelSource> {
    let open = |name: &str| File::open(path.join(name));
    ModelSource::from_folder(&path.display().to_string(), open).map_err(report)
}

/// Opens the model that `model_name_or_path` names, and returns it with its name and whether it is from a hub.
///
/// # Errors
///
/// If [`open`] fails.
pub fn opened(name: &str) -> Result<OpenedModel> {
    opened_as(name, name)
}

/// Opens the model at `place` as the one that `name` names: a checkpoint of a whole model stands for the model that it was trained from.
///
/// # Errors
///
/// If [`open`] fails.
pub fn opened_as(place: &str, name: &str) -> Result<OpenedModel> {
    Ok(OpenedModel { source: open(place)?, name: base_name(name), is_on_hub: hub::is_id(name) })
}

/// Returns the base's name for `adapter_config.json`. A relative path that contains `@`, as a hub id with a revision does, begins with `./` there.
fn base_name(name: &str) -> String {
    match name.contains('@') && Path::new(name).exists() && Path::new(name).is_relative() {
        true => format!("./{}", name.trim_start_matches("./")),
        false => name.to_owned(),
    }
}

/// Returns the model's configuration for a purpose.
///
/// # Errors
///
/// If it is wrong, or the model has no head for the task.
pub fn config_for(source: &ModelSource, purpose: Purpose) -> Result<ModelConfig> {
    purpose.config(source.model_config().map_err(report)?).map_err(report)
}

/// Loads a source's model onto `device`, for a purpose.
///
/// # Errors
///
/// If the weights do not fit the configuration, or the model has no head for the task.
pub fn load_for(source: &ModelSource, device: &Device, storage: Storage, purpose: Purpose) -> Result<Model> {
    lorelei_session::load_model(&FileSystem, source, device, storage, purpose).map_err(report)
}

/// Loads a model and its tokenizer onto `device`, to generate or to classify with. The weights stay in the blocks of their file where the device can
/// compute on them.
///
/// # Errors
///
/// If it is not there, its files do not fit together, or it has no head for the purpose.
pub fn load(name: &str, device: &Device, purpose: Purpose) -> Result<LoadedModel> {
    let opened = opened(name)?;
    let tokenizer = tokenizer(&opened.source)?;
    let storage = lorelei_session::storage_on(device);
    LoadedModel::load(&FileSystem, opened, tokenizer, device, storage, purpose).map_err(report)
}

/// Returns the licence that the card of a model names: its folder's `README.md`, or its card on the hub. If `asks`, the hub is asked for a card that is
/// not in the cache; whatever prevents that, the licence is not known.
pub fn license(name: &str, asks: bool) -> Option<String> {
    let card = match hub::is_id(name) {
        true => hub::card(name, asks)?,
        false => Path::new(name).join("README.md"),
    };
    lorelei_session::license_of(&fs::read_to_string(card).ok()?)
}

/// Reads the model's tokenizer.
///
/// # Errors
///
/// If there is none, or it cannot be used.
pub fn tokenizer(source: &ModelSource) -> Result<Tokenizer> {
    lorelei_session::tokenizer(source).map_err(report)
}
