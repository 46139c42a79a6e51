//! `[lora]`: PEFT's `LoraConfig`, and the rank, alpha and scale that it gives a module.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::choice::choices;
use crate::kind::{BELOW_ONE, Kind, MAX_RANK, POSITIVE};
use crate::number::{is_false, one_or_many, whole, whole_map};
use crate::setting::settings;
use crate::targets::first_matching_key;
use crate::{Message, RecipeError, TargetModules, message};

settings! {
    /// The adapter: `W + scaling * B A`, with `W [out, in]`, `A [r, in]`, `B [out, r]`. Names and defaults are PEFT's.
    pub struct LoraConfig in Lora {
        /// What the model is for.
        #[serde(skip_serializing_if = "Option::is_none")]
        task_type: Option<TaskType> = None => TaskType::KIND.zh("模型的用途。").shown_first();
        /// Rank of the update.
        r: usize = 8 => Kind::Int { min: 1, max: MAX_RANK }
            .zh("更新矩阵的秩。")
            .advice(
                "8 to 16 for a style or a format, 32 to 64 for new knowledge. Twice the rank is twice the adapter.",
                "风格或格式用 8 到 16，新知识用 32 到 64。秩加倍，适配器也加倍。",
            )
            .shown_first();
        /// Numerator of the scale `alpha / r`.
        #[serde(serialize_with = "whole")]
        lora_alpha: f64 = 8 => Kind::Number(POSITIVE)
            .zh("缩放系数 alpha / r 的分子。")
            .advice(
                "2 to 4 times `r`. The update is scaled by `alpha / r`, so changing `r` alone changes its strength.",
                "r 的 2 到 4 倍。更新按 alpha / r 缩放，只改 r 会改变其强度。",
            )
            .shown_first();
        /// Probability of dropping an input of `A`.
        lora_dropout: f64 = 0.0 => Kind::Number(BELOW_ONE)
            .zh("丢弃 A 的输入的概率。")
            .advice(
                "0.05 to 0.1 for a few hundred rows; 0 for many, and fastest.",
                "几百行用 0.05 到 0.1；行数多时用 0，也最快。",
            )
            .shown_first();
        /// The modules that get an adapter; absent, PEFT's default for the architecture.
        #[serde(skip_serializing_if = "Option::is_none")]
        target_modules: Option<TargetModules> = None => Kind::Targets
            .zh("添加适配器的模块；留空则用 PEFT 对该架构的默认值。")
            .advice(
                "`\"all-linear\"` learns most for its size; `q_proj` and `v_proj` are the smallest that works.",
                "\"all-linear\" 在同样大小下学得最多；q_proj 和 v_proj 是可行的最小选择。",
            )
            .shown_first();
        /// Modules to leave out, matched like `target_modules`.
        #[serde(skip_serializing_if = "Option::is_none")]
        exclude_modules: Option<TargetModules> = None => Kind::Targets.zh("不添加适配器的模块，匹配方式同 target_modules。");
        /// Scale by `alpha / sqrt(r)` instead of `alpha / r`.
        use_rslora: bool = false => Kind::Bool
            .zh("按 alpha / sqrt(r) 而不是 alpha / r 缩放。")
            .advice(
                "On for ranks of 32 and more: `alpha / sqrt(r)` keeps high ranks from learning too little.",
                "秩为 32 及以上时开启：alpha / sqrt(r) 使高秩不至于学得太少。",
            );
        /// The layers that get an adapter: from 0, or from the last as -1, like indices in Python; absent or empty, all. With
        /// `"all-linear"` too, which PEFT does not allow.
        #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
        layers_to_transform: Option<Vec<i64>> = None => Kind::Indices
            .zh("添加适配器的层：从 0 开始，或像 Python 的索引那样从最后一层 -1 倒数；留空为所有层。也可与 \"all-linear\" 合用，而 PEFT 不允许。");
        /// The name before a layer's number (`layers`, `h`); absent, any name.
        #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
        layers_pattern: Option<Vec<String>> = None => Kind::Names.zh("层号之前的名称（layers、h）；留空为任意名称。");
        /// Ranks of single modules. A key is a module's last names or a regex of them; the keys are tried in alphabetical
        /// order, in which PEFT's own files have them.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        rank_pattern: BTreeMap<String, usize> = {} => Kind::Ranks
            .zh("个别模块的秩。键为模块名的末尾部分或其正则表达式，按字母顺序匹配，与 PEFT 的文件一致。");
        /// Alphas of single modules, with keys like `rank_pattern`'s.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "whole_map")]
        alpha_pattern: BTreeMap<String, f64> = {} => Kind::Alphas.zh("个别模块的 alpha，键同 rank_pattern。");
        /// How `A` and `B` begin. `pissa` and `olora` take them from the base weights; what is saved is a plain adapter of
        /// twice the rank, which fits the base as it was.
        init_lora_weights: InitLoraWeights = true => Kind::Init
            .zh("A 和 B 的初始化方式。pissa 和 olora 取自基础权重；保存的是秩加倍的普通适配器，适用于原来的基础模型。");
        /// Which biases of the base model are trained too.
        bias: Bias = Bias::None => Bias::KIND.zh("同时训练基础模型的哪些偏置。");
        /// Modules that are trained whole and saved with the adapter.
        #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
        modules_to_save: Option<Vec<String>> = None => Kind::Names.zh("整体训练并随适配器保存的模块。");
        /// Tokens whose rows of the embedding are trained and saved with the adapter.
        #[serde(skip_serializing_if = "Option::is_none")]
        trainable_token_indices: Option<TokenIndices> = None => Kind::TokenIndices.zh("训练哪些词元的嵌入，并随适配器保存。");
        /// Whether embedding and head stay tied where the model ties them: what trains of one serves as the other too. Without it they are
        /// separate once one of them trains.
        ensure_weight_tying: bool = false => Kind::Bool.zh("模型的词嵌入与输出层共享权重时，是否保持共享：对其中之一的训练同样作用于另一个。");
        /// Weight-decomposed adaptation (DoRA).
        use_dora: bool = false => Kind::Bool.zh("权重分解的适配（DoRA）。");
        /// Whether the base weight is stored (in, out), as GPT-2's `Conv1D` has it.
        #[serde(skip_serializing_if = "is_false")]
        fan_in_fan_out: bool = false => Kind::Bool
            .zh("基础权重是否按（输入，输出）存储，如 GPT-2 的 Conv1D。")
            .ignored("the model itself says how its weights are stored");
        /// Whether `B` has a bias.
        lora_bias: bool = false => Kind::Bool.zh("B 是否有偏置。");
    }
}

choices! {
    /// Which biases are trained.
    #[derive(Default)]
    pub enum Bias {
        /// None of them.
        #[default]
        None = "none",
        /// All of the model's.
        All = "all",
        /// Those of the modules with an adapter.
        LoraOnly = "lora_only",
    }
}

/// Token indices of the embedding, or of modules by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenIndices {
    /// Token indices of the embedding.
    Embedding(Vec<usize>),
    /// Token indices by the name of a module.
    Module(BTreeMap<String, Vec<usize>>),
}

impl TokenIndices {
    /// Returns the token indices for each module. `None` stands for the embedding.
    pub fn by_module(&self) -> Vec<(Option<&str>, &[usize])> {
        match self {
            Self::Embedding(indices) => vec![(None, indices)],
            Self::Module(modules) => {
                modules.iter().map(|(name, indices)| (Some(name.as_str()), &indices[..])).collect()
            }
        }
    }
}

choices! {
    /// PEFT's `TaskType`.
    pub enum TaskType {
        /// It writes text.
        CausalLm = "CAUSAL_LM",
        /// It classifies texts.
        SeqCls = "SEQ_CLS",
        /// It classifies tokens.
        TokenCls = "TOKEN_CLS",
        /// It gives hidden states.
        FeatureExtraction = "FEATURE_EXTRACTION",
    }
    later ["SEQ_2_SEQ_LM", "QUESTION_ANS"]
}

/// Initialization of `A` and `B`: `true`, `false`, `"gaussian"`, `"pissa"`, `"pissa_niter_16"` or `"olora"` in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitLoraWeights {
    /// `true`: `A` Kaiming uniform with `a = sqrt(5)`, `B` zero. `false`: both like a new linear layer, so that the first
    /// step does not start from the base model.
    Bool(bool),
    /// `A` normal with deviation `1 / r`, `B` zero.
    Gaussian,
    /// PiSSA (Meng et al., 2024): both from the largest singular values of the weight, which are subtracted from it. With a number, they are
    /// computed by so many rounds of subspace iteration (`pissa_niter_16`), which is quicker.
    Pissa(Option<u32>),
    /// OLoRA (Büyükakyüz, 2024): both from the weight's QR decomposition. Their product is subtracted from the weight.
    Olora,
}

impl LoraConfig {
    /// Returns the rank of the module at `module_path`: the value of the first key of `rank_pattern` for which
    /// `(.*\.)?(key)$` matches, else `r`.
    pub fn rank(&self, module_path: &str) -> usize {
        first_matching_key(self.rank_pattern.keys(), module_path)
            .and_then(|key| self.rank_pattern.get(key).copied())
            .unwrap_or(self.r)
    }

    /// Returns the alpha of the module at `module_path`: the value of the first key of `alpha_pattern` that matches, else `lora_alpha`.
    pub fn alpha(&self, module_path: &str) -> f64 {
        first_matching_key(self.alpha_pattern.keys(), module_path)
            .and_then(|key| self.alpha_pattern.get(key).copied())
            .unwrap_or(self.lora_alpha)
    }

    /// Returns the factor of `B A` for the module at `module_path`: `alpha / r`, or `alpha / sqrt(r)` with `use_rslora`.
    pub fn scaling(&self, module_path: &str) -> f64 {
        let rank = self.rank(module_path) as f64;
        self.alpha(module_path) / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Returns this configuration with `layers_to_transform` counted from the first layer of a model with so many `layers`,
    /// as [`LoraConfig::selects`] and `adapter_config.json` need it.
    ///
    /// # Errors
    /// If a number that counts from the last layer is beyond the first. [`LoraConfig::unmatched`] names those beyond the last, which select nothing.
    pub fn with_layers_counted(&self, layers: usize) -> Result<LoraConfig, RecipeError> {
        let mut config = self.clone();
        let Some(numbers) = &mut config.layers_to_transform else { return Ok(config) };
        let count = i64::try_from(layers).unwrap_or(i64::MAX);
        for number in numbers.iter_mut() {
            if *number < -count {
                let message = message!(
                    "layers_to_transform has {number}, and the model has {layers} layers only",
                    number = *number,
                    layers
                );
                let help = message!(
                    "its layers are 0 to {last}, or -1 (the last) to -{layers}",
                    last = layers.saturating_sub(1),
                    layers
                );
                return Err(RecipeError::new("lora.layers_to_transform", message).with_help(help));
            }
            if *number < 0 {
                *number += count;
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(config)
    }

    /// Whether `layers_to_transform` is used in a way that PEFT does not know: with `"all-linear"`, or counted from the last layer.
    pub(crate) fn counts_layers_as_peft_does_not(&self) -> bool {
        let layers = self.layers_to_transform.as_deref().unwrap_or_default();
        let all_linear = self.target_modules.as_ref().is_some_and(TargetModules::is_all_linear);
        layers.iter().any(|number| *number < 0) || (all_linear && !layers.is_empty())
    }

    /// Returns the configuration of the plain adapter that an adapter with [`InitLoraWeights::changes_the_base`] is saved as: twice the rank, the
    /// same scale. PEFT does this with `path_initial_model_for_weight_conversion`.
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

impl InitLoraWeights {
    /// Words that are accepted, beside true, false and `pissa_niter_N`.
    pub(crate) const WORDS: &'static [&'static str] = &["gaussian", "pissa", "olora"];
    /// Words that PEFT accepts and Lorelei does not yet.
    pub(crate) const LATER: &'static [&'static str] =
        &["eva", "corda", "loftq", "lora_ga", "orthogonal", "mica"];
    /// Description of the accepted values.
    pub(crate) const DESCRIPTION: Message =
        message!("true, false, \"gaussian\", \"pissa\", \"pissa_niter_N\" or \"olora\"");

    /// Returns the initialization of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gaussian" => Some(Self::Gaussian),
            "pissa" => Some(Self::Pissa(None)),
            "olora" => Some(Self::Olora),
            other => other.strip_prefix("pissa_niter_")?.parse().ok().map(|rounds| Self::Pissa(Some(rounds))),
        }
    }

    /// Whether the initialization subtracts a part of the base weights from them.
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
