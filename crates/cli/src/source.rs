//! Where a model comes from: what the program carries, a Hugging Face folder, a GGUF file or a hub id.

use std::{fs::File, io, path::Path};

use burn::tensor::Device;
use lorelei_data::Tokenizer;
use lorelei_formats::{ModelConfig, ModelSource};
use lorelei_kernels::gpu;
use lorelei_models::{Model, Purpose, Storage};
use lorelei_recipe::{FinetuningType, ModelDtype, Recipe, id_and_revision};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{hub, report};

/// Opens what `model_name_or_path` names.
///
/// # Errors
///
/// If it is not there or not a model.
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
    } else if is_on_hub(name) {
        folder(&hub::fetch(name)?)
    } else {
        Err(miette!(
            "there is no model at {name}: it is neither a folder, a .gguf file nor a hub id (owner/name, or owner/name@revision)"
        ))
    }
}

/// Whether [`open`] takes a model's name for a hub id: no folder or file is called so.
pub fn is_on_hub(name: &str) -> bool {
    let is_id = id_and_revision(name).0.split('/').count() == 2 && !name.starts_with(['.', '/']);
    is_id && !name.starts_with("builtin:") && !Path::new(name).exists()
}

fn folder(path: &Path) -> Result<ModelSource> {
    let open = |name: &str| File::open(path.join(name));
    ModelSource::from_folder(&path.display().to_string(), open).map_err(report)
}

/// The model on `device`; with `keep_packed`, in the blocks of its file where they can be computed on.
///
/// # Errors
///
/// If the weights do not fit the configuration.
pub fn load(source: &ModelSource, device: &Device, storage: Storage) -> Result<Model> {
    load_for(source, device, storage, Purpose::default())
}

/// The model's configuration for what it is to do.
///
/// # Errors
///
/// If it is wrong, or the model has no head for the task.
pub fn config_for(source: &ModelSource, purpose: Purpose) -> Result<ModelConfig> {
    purpose.config(source.model_config().map_err(report)?).map_err(report)
}

/// Whether a recipe's run keeps linear layers in the blocks of their GGUF file: what learns whole cannot, and the kernels must be there.
pub fn keeps_packed(recipe: &Recipe, device: &Device) -> bool {
    let is_full = recipe.training.finetuning_type == FinetuningType::Full;
    recipe.model.dtype == ModelDtype::Auto && !is_full && gpu::runs_on(device)
}

/// As [`load`], for a task.
///
/// # Errors
///
/// If the weights do not fit the configuration, or the model has no head for the task.
pub fn load_for(source: &ModelSource, device: &Device, storage: Storage, purpose: Purpose) -> Result<Model> {
    let config = config_for(source, purpose)?;
    let unexpected = config.unexpected_tensors(&*source.tensors);
    if !unexpected.is_empty() {
        // Transformers says so too, and goes on: they belong to a head that this task has no use for.
        let shown = unexpected.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        let more = if unexpected.len() > 8 { ", ..." } else { "" };
        let count = unexpected.len();
        eprintln!("warning: {count} tensors of the checkpoint are not used: {shown}{more}");
    }
    Model::load(config, &*source.tensors, device, storage, &mut |_| {}).map_err(report)
}

/// The model's tokenizer.
///
/// # Errors
///
/// If there is none, or it cannot be used.
pub fn tokenizer(source: &ModelSource) -> Result<Tokenizer> {
    let json = source.tokenizer.as_deref().ok_or_else(|| {
        miette!("the model has no tokenizer.json: give rows of input_ids and labels, or add the file")
    })?;
    Tokenizer::from_files(json, source.tokenizer_config.as_deref(), source.chat_template.as_deref())
        .map_err(report)
}
