//! The forms of an adapter, and their storage formats.

use lorelei_formats::{Dtype, gguf::GgmlType};

use crate::ExportError;

/// Names of PEFT's files; mlx-lm's configuration has the same.
pub(crate) const CONFIG: &str = "adapter_config.json";
pub(crate) const TENSORS: &str = "adapter_model.safetensors";
/// Names of the files that go with a PEFT adapter, if a run has them.
pub const PEFT_COMPANIONS: [&str; 3] = ["README.md", "recipe.toml", "labels.json"];
/// Names of the files that go with a merged model, if a run has them.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const MERGED_COMPANIONS: [&str; 2] = ["README.md", "recipe.toml"];
/// Names of Ollama's files.
pub(crate) const MODELFILE: &str = "Modelfile";
pub(crate) const GGUF_ADAPTER: &str = "adapter.gguf";
/// Name of a merged GGUF model.
pub(crate) const GGUF_MODEL: &str = "model.gguf";

/// A form of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// PEFT's folder.
    Peft,
    /// A GGUF adapter: one file.
    GgufLora,
    /// The adapter merged into its base: a Hugging Face folder.
    Merged,
    /// The adapter merged into its base: one GGUF file.
    Gguf,
    /// mlx-lm's folder.
    Mlx,
    /// A folder with a Modelfile and a GGUF adapter.
    Ollama,
}

impl ExportKind {
    /// Every kind by its name on a command line.
    pub const ALL: [(&'static str, ExportKind); 6] = [
        ("peft", ExportKind::Peft),
        ("gguf-lora", ExportKind::GgufLora),
        ("merged", ExportKind::Merged),
        ("gguf", ExportKind::Gguf),
        ("mlx", ExportKind::Mlx),
        ("ollama", ExportKind::Ollama),
    ];

    /// Returns the name on a command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Returns the storage formats, the usual one first.
    fn dtypes(self) -> &'static [ExportDtype] {
        match self {
            Self::Peft => &[ExportDtype::F32],
            Self::GgufLora | Self::Ollama => {
                &[ExportDtype::F32, ExportDtype::F16, ExportDtype::BF16, ExportDtype::Q8_0]
            }
            Self::Gguf => &[
                ExportDtype::Own,
                ExportDtype::F32,
                ExportDtype::F16,
                ExportDtype::BF16,
                ExportDtype::Q8_0,
                ExportDtype::Q4_0,
                ExportDtype::Q4_1,
                ExportDtype::Q5_0,
                ExportDtype::Q5_1,
            ],
            Self::Merged => &[ExportDtype::BF16, ExportDtype::F16, ExportDtype::F32],
            Self::Mlx => &[ExportDtype::F32, ExportDtype::F16, ExportDtype::BF16],
        }
    }

    /// Returns the name of an export of the run `run`: that of its file, or of its folder.
    pub fn output_name(self, run: &str) -> String {
        match self {
            Self::GgufLora => format!("{run}-lora.gguf"),
            Self::Gguf => format!("{run}-merged.gguf"),
            kind => format!("{run}-{}", kind.name()),
        }
    }

    /// Whether an export of this kind is one file.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn is_file(self) -> bool {
        matches!(self, Self::GgufLora | Self::Gguf)
    }

    /// Returns the names of the storage formats, the usual one first.
    pub fn dtype_names(self) -> Vec<&'static str> {
        self.dtypes().iter().map(|dtype| dtype.names()[0]).collect()
    }

    /// Returns the storage format of this name, or the usual one if none is asked for. The names are ggml's and Transformers'.
    ///
    /// # Errors
    /// If the kind has no such format.
    pub fn dtype(self, name: Option<&str>) -> Result<ExportDtype, ExportError> {
        let known = self.dtypes();
        let Some(name) = name else { return Ok(known.first().copied().unwrap_or(ExportDtype::F32)) };
        let found = known.iter().find(|dtype| dtype.names().contains(&name.to_lowercase().as_str()));
        found.copied().ok_or_else(|| {
            let names = self.dtype_names().join(", ");
            ExportError::adapter(
                "--dtype",
                format!("{} has no format {name:?}", self.name()),
                format!("write {names}"),
            )
        })
    }
}

/// Storage format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportDtype {
    /// That of each tensor of the base.
    Own,
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// Upper halves of 32-bit floats.
    BF16,
    /// ggml's blocks of 32 signed bytes.
    Q8_0,
    /// ggml's blocks of 32 numbers of 4 bits and a scale.
    Q4_0,
    /// ggml's blocks of 32 numbers of 4 bits, a scale and a least value.
    Q4_1,
    /// ggml's blocks of 32 numbers of 5 bits and a scale.
    Q5_0,
    /// ggml's blocks of 32 numbers of 5 bits, a scale and a least value.
    Q5_1,
}

impl ExportDtype {
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Own => ["own", "auto"],
            Self::F32 => ["float32", "f32"],
            Self::F16 => ["float16", "f16"],
            Self::BF16 => ["bfloat16", "bf16"],
            Self::Q8_0 => ["q8_0", "q8"],
            Self::Q4_0 => ["q4_0"; 2],
            Self::Q4_1 => ["q4_1"; 2],
            Self::Q5_0 => ["q5_0"; 2],
            Self::Q5_1 => ["q5_1"; 2],
        }
    }

    /// Returns ggml's format; `None` for that of the base.
    pub(crate) fn ggml(self) -> Option<GgmlType> {
        Some(match self {
            Self::Own => return None,
            Self::F32 => GgmlType::F32,
            Self::F16 => GgmlType::F16,
            Self::BF16 => GgmlType::BF16,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q4_0 => GgmlType::Q4_0,
            Self::Q4_1 => GgmlType::Q4_1,
            Self::Q5_0 => GgmlType::Q5_0,
            Self::Q5_1 => GgmlType::Q5_1,
        })
    }

    pub(crate) fn plain(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }
}
