//! A small model and a small data set inside the program, so that everything can be tried without a download.
//!
//! `tiny/README.md` and `english.md` describe their origin.

/// Files of a model.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinModel {
    /// `config.json`.
    pub config: &'static str,
    /// `tokenizer.json`.
    pub tokenizer: &'static str,
    /// `tokenizer_config.json`.
    pub tokenizer_config: &'static str,
    /// `model.safetensors`. In a browser it is a file beside the page, [`BuiltinModel::weights_file`].
    #[cfg(not(target_family = "wasm"))]
    pub weights: &'static [u8],
    /// The name of `model.safetensors` among the page's files.
    pub weights_file: &'static str,
    /// The model card.
    pub card: &'static str,
}

impl BuiltinModel {
    /// Returns a file of the model's folder by its name; in a browser `None` for the weights.
    pub fn file(&self, name: &str) -> Option<&'static [u8]> {
        match name {
            "config.json" => Some(self.config.as_bytes()),
            "tokenizer.json" => Some(self.tokenizer.as_bytes()),
            "tokenizer_config.json" => Some(self.tokenizer_config.as_bytes()),
            #[cfg(not(target_family = "wasm"))]
            "model.safetensors" => Some(self.weights),
            _ => None,
        }
    }
}

/// Names that [`model`] knows.
pub const MODELS: [&str; 1] = ["builtin:tiny"];

/// Names that [`data`] knows.
pub const DATA: [&str; 1] = ["builtin:english"];

/// Returns the model called `name`.
pub fn model(name: &str) -> Option<BuiltinModel> {
    (name == MODELS[0]).then_some(BuiltinModel {
        config: include_str!("../tiny/config.json"),
        tokenizer: include_str!("../tiny/tokenizer.json"),
        tokenizer_config: include_str!("../tiny/tokenizer_config.json"),
        #[cfg(not(target_family = "wasm"))]
        weights: include_bytes!("../tiny/model.safetensors"),
        weights_file: "builtin-tiny.safetensors",
        card: include_str!("../tiny/README.md"),
    })
}

/// Returns the JSONL rows of the data set called `name`.
pub fn data(name: &str) -> Option<&'static str> {
    (name == DATA[0]).then_some(include_str!("../english.jsonl"))
}

/// Recipe of `lorelei demo`, as TOML: the first of [`MODELS`] trained on the first of [`DATA`].
pub const DEMO_RECIPE: &str = include_str!("../demo.toml");
