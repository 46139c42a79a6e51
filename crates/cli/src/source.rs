//! Where a model comes from: a Hugging Face folder, a GGUF file or a hub id.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use lorelei_data::Tokenizer;
use lorelei_formats::{GgufModel, LlamaConfig, SafetensorsFile, ShardedSafetensors, TensorSource};
use lorelei_models::Llama;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::report;

/// A model that can be read tensor by tensor.
pub struct ModelSource {
    /// The weights.
    pub tensors: Box<dyn TensorSource>,
    /// `config.json`.
    pub config: String,
    /// `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`, as far as they exist.
    pub tokenizer: Option<Vec<u8>>,
    /// See [`Self::tokenizer`].
    pub tokenizer_config: Option<String>,
    /// See [`Self::tokenizer`].
    pub chat_template: Option<String>,
}

impl ModelSource {
    /// Opens what `model_name_or_path` names.
    ///
    /// # Errors
    ///
    /// If it is not there or not a model.
    pub fn open(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if path.is_dir() {
            Self::folder(path)
        } else if path.is_file() {
            Self::gguf(path)
        } else if name.starts_with("builtin:") {
            Err(miette!(
                "{name} is not part of this build yet; name a model folder, a .gguf file or a hub id"
            ))
        } else if name.split('/').count() == 2 && !name.starts_with(['.', '/']) {
            Self::folder(&from_hub(name)?)
        } else {
            Err(miette!(
                "there is no model at {name}: it is neither a folder, a .gguf file nor a hub id (owner/name)"
            ))
        }
    }

    fn folder(folder: &Path) -> Result<Self> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let config = fs::read_to_string(folder.join("config.json"))
            .into_diagnostic()
            .wrap_err_with(|| format!("{} has no readable config.json", folder.display()))?;
        let open = |name: &str| File::open(folder.join(name));
        let tensors: Box<dyn TensorSource> = match read("model.safetensors.index.json") {
            Some(index) => {
                let sharded = ShardedSafetensors::open(&index, "model.safetensors.index.json", open);
                Box::new(sharded.map_err(report)?)
            }
            None => {
                let path = folder.join("model.safetensors");
                let file =
                    File::open(&path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
                Box::new(SafetensorsFile::open(file, path.display().to_string()).map_err(report)?)
            }
        };
        Ok(Self {
            tensors,
            config,
            tokenizer: fs::read(folder.join("tokenizer.json")).ok(),
            tokenizer_config: read("tokenizer_config.json"),
            chat_template: read("chat_template.jinja"),
        })
    }

    fn gguf(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).into_diagnostic().wrap_err_with(|| name.clone())?;
        let model = GgufModel::open(file, name).map_err(report)?;
        let config = format!("{:#}\n", model.hf_config().map_err(report)?);
        let (tokenizer, tokenizer_config) = model.hf_tokenizer().map_err(report)?;
        Ok(Self {
            config,
            tokenizer: Some(format!("{tokenizer:#}\n").into_bytes()),
            tokenizer_config: Some(format!("{tokenizer_config:#}\n")),
            chat_template: None,
            tensors: Box::new(model),
        })
    }

    /// The parsed `config.json`.
    ///
    /// # Errors
    ///
    /// If it is not a Llama's.
    pub fn llama_config(&self) -> Result<LlamaConfig> {
        LlamaConfig::from_json(&self.config, "config.json").map_err(report)
    }

    /// The model on `device`.
    ///
    /// # Errors
    ///
    /// If the weights do not fit the configuration.
    pub fn load(&self, device: &Device) -> Result<Llama> {
        Llama::load(self.llama_config()?, &*self.tensors, device, &mut |_| {}).map_err(report)
    }

    /// The tokenizer.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let json = self.tokenizer.as_deref().ok_or_else(|| {
            miette!("the model has no tokenizer.json: give rows of input_ids and labels, or add the file")
        })?;
        Tokenizer::from_files(json, self.tokenizer_config.as_deref(), self.chat_template.as_deref())
            .map_err(report)
    }
}

/// Fetches a model's files into the hub's own cache and returns their folder.
fn from_hub(id: &str) -> Result<PathBuf> {
    let repo = hf_hub::api::sync::ApiBuilder::from_env()
        .build()
        .map_err(|error| miette!("the hub's cache cannot be used: {error}"))?
        .model(id.to_owned());
    let get = |file: &str| repo.get(file).map_err(|error| miette!("{id} on the hub: {file}: {error}"));
    let config = get("config.json")?;
    match repo.get("model.safetensors.index.json") {
        Ok(index) => {
            let index: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(index).into_diagnostic()?).into_diagnostic()?;
            let names = index["weight_map"].as_object().into_iter().flat_map(|map| map.values());
            let names: std::collections::BTreeSet<&str> = names.filter_map(|name| name.as_str()).collect();
            for name in names {
                get(name)?;
            }
        }
        Err(_) => {
            get("model.safetensors")?;
        }
    }
    for optional in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        let _ = repo.get(optional);
    }
    Ok(config.parent().map(Path::to_owned).unwrap_or_default())
}
