//! Forms of the trained adapter that the page offers as downloads.

use lorelei_recipe::Message;
use serde::{Deserialize, Serialize};

/// A form of the trained adapter. The names are those of `lorelei export --to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownloadKind {
    /// PEFT's folder as the run saved it, with recipe, log and model card.
    #[default]
    Peft,
    /// The same with one rank and one scale, for readers that pass over `rank_pattern`, `alpha_pattern` or `use_rslora`.
    PeftFolded,
    /// A GGUF adapter: one file.
    GgufLora,
    /// mlx-lm's folder.
    Mlx,
    /// A Modelfile and a GGUF adapter.
    Ollama,
    /// The adapter merged into its base: a Hugging Face folder.
    Merged,
    /// The adapter merged into its base: one GGUF file.
    Gguf,
}

impl DownloadKind {
    /// All forms.
    pub const ALL: [Self; 7] =
        [Self::Peft, Self::PeftFolded, Self::GgufLora, Self::Mlx, Self::Ollama, Self::Merged, Self::Gguf];

    /// Returns the name of the form, which JSON has too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peft => "peft",
            Self::PeftFolded => "peft-folded",
            Self::GgufLora => "gguf-lora",
            Self::Mlx => "mlx",
            Self::Ollama => "ollama",
            Self::Merged => "merged",
            Self::Gguf => "gguf",
        }
    }

    /// Returns the form of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What the worker says of a form and the adapter of the last run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DownloadOffer {
    /// The form.
    pub kind: DownloadKind,
    /// Names of its storage formats, the usual one first.
    pub dtypes: Vec<String>,
    /// Reason why the form cannot hold this adapter, or cannot be made here, and the way out.
    pub refusal: Option<Message>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_the_name_that_json_has() {
        for kind in DownloadKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(DownloadKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(DownloadKind::from_name("zip"), None);
    }
}
