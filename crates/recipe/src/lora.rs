//! `[lora]`: PEFT's `LoraConfig`, and the rank, alpha and scale it gives a module.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::TargetModules;
use crate::number::{is_false, one_or_many, whole, whole_map};
use crate::targets::first_matching_key;

/// The adapter: `W + scaling * B A`, with `W [out, in]`, `A [r, in]`, `B [out, r]`. Names and defaults are PEFT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: usize,
    /// Numerator of the scale.
    #[serde(serialize_with = "whole")]
    pub lora_alpha: f64,
    /// Probability of dropping an input of `A`.
    pub lora_dropout: f64,
    /// Which biases of the base model are trained too.
    pub bias: Bias,
    /// What the model is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<TaskType>,
    /// The modules that get an adapter; absent, PEFT's default for the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_modules: Option<TargetModules>,
    /// Modules to leave out, matched like `target_modules`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<TargetModules>,
    /// Scale by `alpha / sqrt(r)` instead of `alpha / r`.
    pub use_rslora: bool,
    /// The layers that get an adapter, from 0; absent or empty, all. A single number in the file is a list of one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
    pub layers_to_transform: Option<Vec<usize>>,
    /// The name before a layer's number (`layers`, `h`); absent, any name.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
    pub layers_pattern: Option<Vec<String>>,
    /// Ranks of single modules. A key is a module's last names or a regex of them. The keys are tried in alphabetical
    /// order, which is the order PEFT's own files have them in: the adapter means the same after it was saved.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of single modules, with keys like `rank_pattern`'s.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "whole_map")]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// How `A` and `B` begin.
    pub init_lora_weights: InitLoraWeights,
    /// Modules that are trained whole and saved with the adapter.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
    pub modules_to_save: Option<Vec<String>>,
    /// Tokens whose rows of the embedding are trained and saved with the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainable_token_indices: Option<TokenIndices>,
    /// Weight-decomposed adaptation (DoRA).
    pub use_dora: bool,
    /// Whether the base weight is stored `[in, out]` (GPT-2's `Conv1D`).
    #[serde(skip_serializing_if = "is_false")]
    pub fan_in_fan_out: bool,
    /// Whether `B` has a bias.
    pub lora_bias: bool,
}

/// Which biases are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// None of them.
    #[default]
    None,
    /// All of the model's.
    All,
    /// Those of the modules with an adapter.
    LoraOnly,
}

/// Tokens of the embedding, or of a module by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenIndices {
    /// Of the embedding.
    Embedding(Vec<usize>),
    /// Of a module.
    Module(BTreeMap<String, Vec<usize>>),
}

impl TokenIndices {
    /// The tokens, and the module where one is named.
    pub fn by_module(&self) -> Vec<(Option<&str>, &[usize])> {
        match self {
            Self::Embedding(indices) => vec![(None, indices)],
            Self::Module(modules) => {
                modules.iter().map(|(name, indices)| (Some(name.as_str()), &indices[..])).collect()
            }
        }
    }
}

/// PEFT's `TaskType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum TaskType {
    #[serde(rename = "CAUSAL_LM")]
    CausalLm,
    #[serde(rename = "SEQ_CLS")]
    SeqCls,
    #[serde(rename = "SEQ_2_SEQ_LM")]
    Seq2SeqLm,
    #[serde(rename = "TOKEN_CLS")]
    TokenCls,
    #[serde(rename = "QUESTION_ANS")]
    QuestionAns,
    #[serde(rename = "FEATURE_EXTRACTION")]
    FeatureExtraction,
}

/// How `A` and `B` begin; `true`, `false`, `"gaussian"`, `"pissa"`, `"pissa_niter_16"` or `"olora"` in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitLoraWeights {
    /// `true`: `A` Kaiming uniform with `a = sqrt(5)`, `B` zero. `false`: both as a new linear layer begins, so that
    /// the first step does not start from the base model.
    Bool(bool),
    /// `A` normal with deviation `1 / r`, `B` zero.
    Gaussian,
    /// PiSSA (Meng et al., 2024): both from the largest singular values of the weight, which loses them; with a number, by so many rounds of
    /// subspace iteration (`pissa_niter_16`), which is quicker.
    Pissa(Option<u32>),
    /// OLoRA (Büyükakyüz, 2024): both from the weight's QR decomposition, which it loses.
    Olora,
}

impl LoraConfig {
    /// The rank of the module at `module_path`: `rank_pattern`'s first key that matches
    /// `(.*\.)?(key)$`, else `r`.
    pub fn rank(&self, module_path: &str) -> usize {
        first_matching_key(self.rank_pattern.keys(), module_path)
            .and_then(|key| self.rank_pattern.get(key).copied())
            .unwrap_or(self.r)
    }

    /// The alpha of the module at `module_path`: `alpha_pattern`'s first key that matches, else `lora_alpha`.
    pub fn alpha(&self, module_path: &str) -> f64 {
        first_matching_key(self.alpha_pattern.keys(), module_path)
            .and_then(|key| self.alpha_pattern.get(key).copied())
            .unwrap_or(self.lora_alpha)
    }

    /// The factor of `B A` for the module at `module_path`: `alpha / r`, or `alpha / sqrt(r)` with `use_rslora`.
    pub fn scaling(&self, module_path: &str) -> f64 {
        let rank = self.rank(module_path) as f64;
        self.alpha(module_path) / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// The configuration of a plain adapter that is this one less what it took from the base weights at its beginning: twice the rank, the
    /// same scale. For [`InitLoraWeights::changes_the_base`], as PEFT's `path_initial_model_for_weight_conversion` has it.
    pub fn converted(&self) -> Self {
        let more = if self.use_rslora { std::f64::consts::SQRT_2 } else { 2.0 };
        Self {
            r: self.r * 2,
            lora_alpha: self.lora_alpha * more,
            rank_pattern: self.rank_pattern.iter().map(|(key, rank)| (key.clone(), rank * 2)).collect(),
            alpha_pattern: self
                .alpha_pattern
                .iter()
                .map(|(key, alpha)| (key.clone(), alpha * more))
                .collect(),
            init_lora_weights: InitLoraWeights::Bool(true),
            ..self.clone()
        }
    }
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            bias: Bias::None,
            task_type: None,
            target_modules: None,
            exclude_modules: None,
            use_rslora: false,
            layers_to_transform: None,
            layers_pattern: None,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            init_lora_weights: InitLoraWeights::default(),
            modules_to_save: None,
            trainable_token_indices: None,
            use_dora: false,
            fan_in_fan_out: false,
            lora_bias: false,
        }
    }
}

impl InitLoraWeights {
    /// The initialisation of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gaussian" => Some(Self::Gaussian),
            "pissa" => Some(Self::Pissa(None)),
            "olora" => Some(Self::Olora),
            _ => name.strip_prefix("pissa_niter_")?.parse().ok().map(|rounds| Self::Pissa(Some(rounds))),
        }
    }

    /// Whether the adapter takes a part of the base weights away from them.
    pub fn changes_the_base(self) -> bool {
        matches!(self, Self::Pissa(_) | Self::Olora)
    }
}

impl Default for InitLoraWeights {
    fn default() -> Self {
        Self::Bool(true)
    }
}

impl Serialize for InitLoraWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Gaussian => serializer.serialize_str("gaussian"),
            Self::Pissa(None) => serializer.serialize_str("pissa"),
            Self::Pissa(Some(rounds)) => serializer.serialize_str(&format!("pissa_niter_{rounds}")),
            Self::Olora => serializer.serialize_str("olora"),
        }
    }
}

impl<'de> Deserialize<'de> for InitLoraWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Flag(bool),
            Name(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Flag(flag) => Ok(Self::Bool(flag)),
            Form::Name(name) => {
                Self::named(&name).ok_or_else(|| D::Error::custom(format!("unknown initialisation {name:?}")))
            }
        }
    }
}
