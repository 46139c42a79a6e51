//! A whole model's files, wherever they lie: a folder as Hugging Face has them, or one GGUF file.

use std::io::{self, ErrorKind};

use crate::{
    FormatError, GgufModel, ModelConfig, Place, ReadAt, SafetensorsFile, ShardedSafetensors, TensorSource,
};

/// Longest text file read, in bytes: far more than any `config.json` or `tokenizer.json` has.
const MAX_TEXT: u64 = 256 << 20;

/// A model that can be read tensor by tensor, and the texts that stand beside its weights.
pub struct ModelSource {
    /// The weights, under Hugging Face's names.
    pub tensors: Box<dyn TensorSource>,
    /// `config.json`.
    pub config: String,
    /// `tokenizer.json`, where there is one.
    pub tokenizer: Option<Vec<u8>>,
    /// `tokenizer_config.json`, where there is one.
    pub tokenizer_config: Option<String>,
    /// `chat_template.jinja`, where there is one.
    pub chat_template: Option<String>,
}

impl ModelSource {
    /// A folder's index of shards; a model in one file has none.
    pub const INDEX: &str = "model.safetensors.index.json";
    /// What a folder may lack of what is read beside the weights.
    pub const OPTIONAL: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

    /// A Hugging Face folder. `open` opens a file of it by its plain name; `folder` is what errors call it.
    ///
    /// # Errors
    /// When there is no `config.json` or no weights, a file cannot be read or is not what its name says.
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
                let name = "model.safetensors";
                let file = open(name).map_err(|error| failed(name, error))?;
                Box::new(SafetensorsFile::open(file, place(name))?)
            }
        };
        Ok(Self {
            tensors,
            config,
            tokenizer: bytes("tokenizer.json")?,
            tokenizer_config: text("tokenizer_config.json")?,
            chat_template: text("chat_template.jinja")?,
        })
    }

    /// A GGUF file, with the `config.json` and tokenizer that its metadata imply.
    ///
    /// # Errors
    /// When it is broken, of another architecture, or of a kind of tokenizer that is not known.
    pub fn from_gguf<R: ReadAt + 'static>(reader: R, file_name: &str) -> Result<Self, FormatError> {
        let model = GgufModel::open(reader, file_name)?;
        let config = format!("{:#}\n", model.hf_config()?);
        let (tokenizer, tokenizer_config) = model.hf_tokenizer()?;
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
    /// When it is of an architecture that is not known, or makes no sense.
    pub fn model_config(&self) -> Result<ModelConfig, FormatError> {
        ModelConfig::from_json(&self.config, "config.json")
    }

    /// `config.json`, saying that the weights are of `dtype`, and the tokenizer's files: what stands beside
    /// `model.safetensors`.
    ///
    /// # Errors
    /// When `config.json` is not a JSON object.
    pub fn companions(&self, dtype: &str) -> Result<Vec<(String, Vec<u8>)>, FormatError> {
        let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.config)
            .map_err(|error| {
                FormatError::corrupt("config.json", Place::File, format!("not a JSON object: {error}"))
            })?;
        // Transformers 5 writes `dtype`, before that it was `torch_dtype`.
        let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        config.insert(key.to_owned(), dtype.into());
        let config = format!("{:#}\n", serde_json::Value::Object(config));
        let mut files = vec![("config.json".to_owned(), config.into_bytes())];
        let mut add = |name: &str, bytes: Option<Vec<u8>>| files.extend(bytes.map(|b| (name.to_owned(), b)));
        add("tokenizer.json", self.tokenizer.clone());
        add("tokenizer_config.json", self.tokenizer_config.clone().map(String::into_bytes));
        add("chat_template.jinja", self.chat_template.clone().map(String::into_bytes));
        Ok(files)
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
