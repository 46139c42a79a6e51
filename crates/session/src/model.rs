//! A base model on its device.

use std::rc::Rc;

use burn::tensor::Device;
use lorelei_data::{Tokenizer, TokenizerFiles, sha256};
use lorelei_formats::ModelSource;
use lorelei_kernels::gpu;
use lorelei_models::{Model, Purpose, Storage};
use lorelei_protocol::Notice;
use lorelei_recipe::{FinetuningType, ModelDtype, Recipe, message};

use crate::{Host, OpenedModel, Result, SessionError};

/// A base model on its device, and the files that it was read from.
#[derive(Clone)]
pub struct LoadedModel {
    /// The base model, without adapters.
    pub model: Model,
    /// The files that the model was read from. Heads for other tasks are read from them.
    pub source: Rc<ModelSource>,
    /// The tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// Name of the model in a recipe and in `adapter_config.json`.
    pub name: String,
    /// Whether the name is a hub id.
    pub is_on_hub: bool,
}

/// Maximum number of tensors that are named in a warning.
const NAMED: usize = 8;

impl LoadedModel {
    /// Loads a model onto `device` for a purpose, with [`load_model`].
    ///
    /// # Errors
    ///
    /// The errors of [`load_model`].
    pub fn load(
        host: &impl Host,
        opened: OpenedModel,
        tokenizer: Tokenizer,
        device: &Device,
        storage: Storage,
        purpose: Purpose,
    ) -> Result<Self> {
        let OpenedModel { name, is_on_hub, source } = opened;
        let model = load_model(host, &source, device, storage, purpose)?;
        Ok(Self { model, source: Rc::new(source), tokenizer, name, is_on_hub })
    }
}

/// Loads a model onto `device` for a purpose. Checks the names and shapes of the tensors against its configuration before it reads a weight.
/// Shows a notice about tensors that are not used.
///
/// # Errors
///
/// If the files do not fit together, or the model has no head for the purpose.
pub fn load_model(
    host: &impl Host,
    source: &ModelSource,
    device: &Device,
    storage: Storage,
    purpose: Purpose,
) -> Result<Model> {
    let config = purpose.config(source.model_config()?)?;
    let unexpected = config.unexpected_tensors(&*source.tensors);
    if !unexpected.is_empty() {
        host.notice(unused_tensors(&unexpected));
    }
    let total = config.expected_tensors().len() as u64;
    let mut done = 0;
    let mut progress = |tensor: &str| {
        done += 1;
        host.progress(tensor, done, total);
    };
    Ok(Model::load(config, &*source.tensors, device, storage, &mut progress)?)
}

/// Returns the SHA-256 of the model's configuration, and of the names, types, shapes and samples of its tensors, as hexadecimal digits.
///
/// # Errors
///
/// If a tensor cannot be read.
pub fn model_digest(source: &ModelSource) -> Result<String> {
    let mut bytes = source.config.clone().into_bytes();
    for info in source.tensors.infos() {
        bytes.extend(format!("\n{} {} {:?}\n", info.name, info.dtype, info.shape).bytes());
        bytes.extend(source.tensors.read_sample(&info.name)?);
    }
    Ok(sha256(&bytes))
}

/// Returns the notice about unused tensors. They belong to a head that the task does not use. Transformers, too, warns of them and continues.
fn unused_tensors(names: &[String]) -> Notice {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let (count, names) = (names.len(), named + more);
    let message = message!("{count} tensors of the checkpoint are not used: {names}", count, names);
    Notice::new("unused_tensors", message)
}

/// Reads the model's tokenizer.
///
/// # Errors
///
/// If there is none, or it cannot be used.
pub fn tokenizer(source: &ModelSource) -> Result<Tokenizer> {
    let json = source.tokenizer.as_deref().ok_or_else(|| SessionError::Missing {
        place: message!("the model"),
        file: "tokenizer.json".into(),
        help: message!("add the file"),
    })?;
    Ok(Tokenizer::open(&TokenizerFiles {
        tokenizer: json,
        tokenizer_config: source.tokenizer_config.as_deref(),
        special_tokens_map: source.special_tokens_map.as_deref(),
        chat_template: source.chat_template.as_deref(),
        tool_use_template: source.tool_use_template.as_deref(),
        config: Some(&source.config),
        generation_config: source.generation_config.as_deref(),
    })?)
}

/// Returns how a model is kept on `device` that no recipe says more about: its linear layers in the blocks of their GGUF file where the device
/// runs this project's kernels, which compute on them.
pub fn storage_on(device: &Device) -> Storage {
    Storage { keep_packed: gpu::runs_on(device), ..Storage::SINGLE }
}

/// Whether a recipe's run keeps linear layers in the blocks of their GGUF file, if the device can. A model that is fine-tuned whole cannot keep them.
pub fn keeps_packed(recipe: &Recipe, device: &Device) -> bool {
    let is_full = recipe.training.finetuning_type == FinetuningType::Full;
    recipe.model.dtype == ModelDtype::Auto && !is_full && storage_on(device).keep_packed
}
