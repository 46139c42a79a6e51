//! A base model on its device.

use std::rc::Rc;

use burn::tensor::{Device, FloatDType};
use lorelei_data::Tokenizer;
use lorelei_formats::ModelSource;
use lorelei_kernels::gpu;
use lorelei_models::{Model, Purpose, Storage};
use lorelei_protocol::Notice;
use lorelei_recipe::{FinetuningType, ModelDtype, Recipe};

use crate::{Host, OpenedModel, Result, SessionError};

/// A base model on its device, and what it was read from.
#[derive(Clone)]
pub struct LoadedModel {
    /// The base, without adapters.
    pub model: Model,
    /// The files that it came from: heads for other tasks are read from them.
    pub source: Rc<ModelSource>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What a recipe and `adapter_config.json` call it.
    pub name: String,
    /// Whether that is a hub id.
    pub is_on_hub: bool,
}

/// Tensors named in a warning.
const NAMED: usize = 8;

impl LoadedModel {
    /// Puts a model on `device` for a purpose: see [`load_model`].
    ///
    /// # Errors
    ///
    /// As of [`load_model`].
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

    /// The model for a run: with the head that `purpose` wants, in numbers of `dtype`, and its packed weights unpacked unless they are kept.
    ///
    /// # Errors
    ///
    /// If the model has no head for it.
    pub(crate) fn for_run(&self, purpose: Purpose, dtype: FloatDType, keep_packed: bool) -> Result<Model> {
        let wanted = purpose.config(self.model.config().clone())?;
        let model = match wanted == *self.model.config() {
            true => self.model.clone(),
            false => self.model.with_head(purpose, &*self.source.tensors)?,
        };
        let model = if keep_packed { model } else { model.unpacked() };
        Ok(model.in_dtype(dtype))
    }
}

/// Puts a model on `device` for a purpose. Names and shapes are held against its configuration before a weight is read; tensors that are not used
/// are told of.
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

/// Transformers says so too, and goes on: they belong to a head that the task has no use for.
fn unused_tensors(names: &[String]) -> Notice {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let (count, names) = (names.len().to_string(), named + more);
    Notice::new("unused_tensors", format!("{count} tensors of the checkpoint are not used: {names}"))
        .with("count", count)
        .with("names", names)
}

/// The model's tokenizer.
///
/// # Errors
///
/// If there is none, or it cannot be used.
pub fn tokenizer(source: &ModelSource) -> Result<Tokenizer> {
    let json = source.tokenizer.as_deref().ok_or_else(|| SessionError::Missing {
        place: "the model".into(),
        file: "tokenizer.json".into(),
        help: "add the file".into(),
    })?;
    let (config, template) = (source.tokenizer_config.as_deref(), source.chat_template.as_deref());
    Ok(Tokenizer::from_files(json, config, template)?)
}

/// Whether a recipe's run keeps linear layers in the blocks of their GGUF file: what is fine-tuned whole cannot, and the kernels must be there.
pub fn keeps_packed(recipe: &Recipe, device: &Device) -> bool {
    let is_full = recipe.training.finetuning_type == FinetuningType::Full;
    recipe.model.dtype == ModelDtype::Auto && !is_full && gpu::runs_on(device)
}
