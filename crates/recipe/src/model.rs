//! `[model]`: the base model and the adapter to start from.

use serde::{Deserialize, Serialize};

/// The model to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// A folder, a GGUF file, a hub id (`owner/name`, or `owner/name@revision`), or `builtin:NAME`.
    pub model_name_or_path: String,
    /// An adapter to go on from: a folder with `adapter_config.json`, or a hub id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_name_or_path: Option<String>,
    /// How the frozen weights are kept on the device.
    pub dtype: ModelDtype,
}

/// Of a hub id with a revision (a branch, tag or commit), `owner/name@revision`, the two; of any other name, the name.
pub fn id_and_revision(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((id, revision))
            if id.split('/').count() == 2 && !id.starts_with(['.', '/']) && !revision.is_empty() =>
        {
            (id, Some(revision))
        }
        _ => (name, None),
    }
}

/// How the frozen weights are kept on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelDtype {
    /// As the file has them.
    #[default]
    Auto,
    /// 4 bytes a weight.
    Float32,
    /// 2 bytes a weight, 10 bits of mantissa.
    Float16,
    /// 2 bytes a weight, the range of float32.
    Bfloat16,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            model_name_or_path: "builtin:tiny".into(),
            adapter_name_or_path: None,
            dtype: ModelDtype::Auto,
        }
    }
}
