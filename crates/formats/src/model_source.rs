//! All files of a model, from any storage: a folder in Hugging Face's form, or one GGUF file.

use std::io::{self, ErrorKind};

use crate::{
    FormatError, GgufModel, ModelConfig, Place, ReadAt, SafetensorsFile, ShardedSafetensors, TensorSource,
    safetensors_sharded::shard_names,
};

/// Size of the longest text file that is read, in bytes: far more than any `config.json` or `tokenizer.json` has.
const MAX_TEXT: u64 = 256 << 20;

/// A model that can be read tensor by tensor, and the text files beside its weights.
pub struct ModelSource {
    /// Weights, under Hugging Face's names.
    pub tensors: Box<dyn TensorSource>,
    /// Text of `config.json`.
    pub config: String,
    /// Bytes of `tokenizer.json`, if there is one.
    pub tokenizer: Option<Vec<u8>>,
    /// Text of `tokenizer_config.json`, if there is one.
    pub tokenizer_config: Option<String>,
    /// Text of `special_tokens_map.json`, if there is one.
    pub special_tokens_map: Option<String>,
    /// Text of `generation_config.json`, if there is one.
    pub generation_config: Option<String>,
    /// Text of `chat_template.jinja`, if there is one.
    pub chat_template: Option<String>,
    /// Text of `additional_chat_templates/tool_use.jinja`, if there is one.
    pub tool_use_template: Option<String>,
}

impl ModelSource {
    /// Name of a folder's index of shards; a model in one file has none.
    pub const INDEX: &str = "model.safetensors.index.json";
    /// Name of the one file of weights of a model without an index.
    pub const WEIGHTS: &str = "model.safetensors";
    /// Path of the chat template for conversations with tools, where it has a file of its own.
    pub const TOOL_USE: &str = "additional_chat_templates/tool_use.jinja";
    /// Names of the files beside `config.json` and the weights, which a folder may lack.
    pub const OPTIONAL: [&str; 6] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "chat_template.jinja",
        Self::TOOL_USE,
    ];

    /// Returns the names of a model's files of weights. `index` is the text of its index, if it has one; errors use `index_file` as its name.
    ///
    /// # Errors
    /// When the index is not valid, or a name in it could lead out of the folder.
    pub fn weight_files(index: Option<&str>, index_file: &str) -> Result<Vec<String>, FormatError> {
        match index {
            Some(index) => shard_names(index, index_file),
            None => Ok(vec![Self::WEIGHTS.to_owned()]),
        }
    }

    /// Opens a Hugging Face folder. `open` opens one of its files by its path there; errors use `folder` as the name of the folder.
    ///
    /// # Errors
    /// When there is no `config.json` or there are no weights, or a file cannot be read or is not of the type that its name implies.
    pub fn from_folder<R: ReadAt + 'static>(
        folder: &str,
        open: impl Fn(&str) -> io::Result<R>,
    ) -> Result<Self, FormatError> {
        let place = |name: &str| match folder {
            "" => name.to_owned(),
            folder => format!("{}/{name}", folder.trim_end_matches('/')),
        };
        let failed = |name: &str, error: io::Error| FormatError::io(&place(name), Place::File, error);
        let bytes = |name: &str| match open(name) {
            Ok(reader) => read_whole(&reader).map(Some).map_err(|error| failed(name, error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, error)),
        };
        let text = |name: &str| {
            let text = bytes(name)?.map(String::from_utf8).transpose();
            text.map_err(|_| FormatError::corrupt(&place(name), Place::File, "it is not UTF-8"))
        };
        let config = text("config.json")?
            .ok_or_else(|| failed("config.json", io::Error::from(ErrorKind::NotFound)))?;
        let tensors: Box<dyn TensorSource> = match text(Self::INDEX)? {
            Some(index) => Box::new(ShardedSafetensors::open(&index, place(Self::INDEX), &open)?),
            None => {
                let file = open(Self::WEIGHTS).map_err(|error| failed(Self::WEIGHTS, error))?;
                Box::new(SafetensorsFile::open(file, place(Self::WEIGHTS))?)
            }
        };
        Ok(Self {
            tensors,
            config,
            tokenizer: bytes("tokenizer.json")?,
            tokenizer_config: text("tokenizer_config.json")?,
            special_tokens_map: text("special_tokens_map.json")?,
            generation_config: text("generation_config.json")?,
            chat_template: text("chat_template.jinja")?,
            tool_use_template: text(Self::TOOL_USE)?,
        })
    }

    /// Opens a GGUF file, with the `config.json` and tokenizer that its metadata imply.
    ///
    /// # Errors
    /// When the file is broken, or has an unknown architecture or kind of tokenizer.
    pub fn from_gguf<R: ReadAt + 'static>(reader: R, file_name: &str) -> Result<Self, FormatError> {
        let model = GgufModel::open(reader, file_name)?;
        let config = format!("{:#}\n", model.hf_config()?);
        let (tokenizer, tokenizer_config) = model.hf_tokenizer()?;
        let generation_config = model.hf_generation_config()?;
        Ok(Self {
            config,
            tokenizer: Some(format!("{tokenizer:#}\n").into_bytes()),
            tokenizer_config: Some(format!("{tokenizer_config:#}\n")),
            special_tokens_map: None,
            generation_config: Some(format!("{generation_config:#}\n")),
            chat_template: None,
            tool_use_template: None,
            tensors: Box::new(model),
        })
    }

    /// Parses `config.json`.
    ///
    /// # Errors
    /// When its architecture is not known, or its values are invalid.
    pub fn model_config(&self) -> Result<ModelConfig, FormatError> {
        ModelConfig::from_json(&self.config, "config.json")
    }

    /// Returns the files to store beside `model.safetensors`: `config.json`, with `dtype` as the type of the weights, and the tokenizer's files.
    ///
    /// # Errors
    /// When `config.json` is not a JSON object.
    pub fn companions(&self, dtype: &str) -> Result<Vec<(String, Vec<u8>)>, FormatError> {
        let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.config)
            .map_err(|error| {
                FormatError::corrupt("config.json", Place::File, format!("not a JSON object: {error}"))
            })?;
        // Transformers 5 writes `dtype`; earlier versions write `torch_dtype`.
        let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        config.insert(key.to_owned(), dtype.into());
        let config = format!("{:#}\n", serde_json::Value::Object(config));
        let mut files = vec![("config.json".to_owned(), config.into_bytes())];
        let mut add = |name: &str, bytes: Option<Vec<u8>>| files.extend(bytes.map(|b| (name.to_owned(), b)));
        add("tokenizer.json", self.tokenizer.clone());
        let named = self.with_named_templates();
        let jinja = if named.is_some() { None } else { self.chat_template.clone() };
        add("tokenizer_config.json", named.or_else(|| self.tokenizer_config.clone()).map(String::into_bytes));
        add("special_tokens_map.json", self.special_tokens_map.clone().map(String::into_bytes));
        add("generation_config.json", self.generation_config.clone().map(String::into_bytes));
        add("chat_template.jinja", jinja.map(String::into_bytes));
        Ok(files)
    }

    /// Returns `tokenizer_config.json` with the chat templates that have files of their own, if one is for tools: companions stand beside each other.
    fn with_named_templates(&self) -> Option<String> {
        let tools = self.tool_use_template.as_ref()?;
        let config = self.tokenizer_config.as_deref().unwrap_or("{}");
        let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(config).ok()?;
        let named = |name: &str, template: &serde_json::Value| serde_json::json!({ "name": name, "template": template });
        let default = self.chat_template.clone().map(serde_json::Value::from);
        let default =
            default.or_else(|| config.get("chat_template").filter(|value| value.is_string()).cloned());
        let templates = default.iter().map(|default| named("default", default));
        let templates: Vec<_> = templates.chain([named("tool_use", &tools.as_str().into())]).collect();
        config.insert("chat_template".to_owned(), templates.into());
        Some(format!("{:#}\n", serde_json::Value::Object(config)))
    }
}

fn read_whole(reader: &impl ReadAt) -> io::Result<Vec<u8>> {
    let length = reader.len()?;
    if length > MAX_TEXT {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("it is {length} bytes long; at most {MAX_TEXT} are read"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}
