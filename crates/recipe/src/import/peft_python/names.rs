//! The classes and functions that a script is read for.

/// Classes whose arguments belong to `[training]`.
pub(super) const TRAINING: &[&str] =
    &["TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig", "UnslothTrainingArguments"];

/// Classes of TRL and Unsloth among them, which have TRL's arguments too.
pub(super) const SFT: &[&str] = &["SFTConfig", "UnslothTrainingArguments"];

/// Trainers of what Lorelei trains too, and whether they are TRL's.
pub(super) const TRAINERS: &[(&str, bool)] =
    &[("Trainer", false), ("Seq2SeqTrainer", false), ("SFTTrainer", true), ("UnslothTrainer", true)];

/// Methods that Lorelei does not have: the beginning of the names of their trainers and configurations, and what they learn from.
const REFUSED: &[(&str, &str)] = &[
    ("DPO", "pairs of answers"),
    ("ORPO", "pairs of answers"),
    ("CPO", "pairs of answers"),
    ("SimPO", "pairs of answers"),
    ("TPO", "answers that are compared"),
    ("KTO", "answers that are marked good or bad"),
    ("BCO", "answers that are marked good or bad"),
    ("Reward", "pairs of answers"),
    ("PRM", "rewards of steps"),
    ("PPO", "rewards"),
    ("PPOv2", "rewards"),
    ("GRPO", "rewards"),
    ("GMPO", "rewards"),
    ("A2PO", "rewards"),
    ("AsyncGRPO", "rewards"),
    ("RLOO", "rewards"),
    ("RLOOv2", "rewards"),
    ("OnlineDPO", "rewards"),
    ("NashMD", "rewards"),
    ("XPO", "rewards"),
    ("DDPO", "rewards"),
    ("AlignProp", "rewards"),
    ("UnslothGRPO", "rewards"),
    ("UnslothDPO", "pairs of answers"),
    ("GKD", "a teacher model"),
    ("GOLD", "a teacher model"),
    ("IWOPD", "a teacher model"),
    ("Distillation", "a teacher model"),
    ("AsyncDistillation", "a teacher model"),
    ("ServerDistillation", "a teacher model"),
    ("SDFT", "a teacher model"),
    ("SDPO", "a teacher model"),
    ("MiniLLM", "a teacher model"),
];

/// Configurations of PEFT for other adapters than LoRA.
const OTHER_ADAPTERS: &[&str] = &[
    "AdaLoraConfig",
    "AdaptionPromptConfig",
    "BOFTConfig",
    "BoneConfig",
    "C3AConfig",
    "CPTConfig",
    "DeloraConfig",
    "FourierFTConfig",
    "GraloraConfig",
    "HRAConfig",
    "IA3Config",
    "LNTuningConfig",
    "LoHaConfig",
    "LoKrConfig",
    "MissConfig",
    "MultitaskPromptTuningConfig",
    "OFTConfig",
    "PolyConfig",
    "PrefixTuningConfig",
    "PromptEncoderConfig",
    "PromptTuningConfig",
    "RandLoraConfig",
    "RoadConfig",
    "ShiraConfig",
    "TrainableTokensConfig",
    "VBLoRAConfig",
    "VeraConfig",
    "WaveFTConfig",
    "XLoraConfig",
];

/// Methods of `TrainingArguments` that set several of its attributes.
pub(super) const SETTERS: &[&str] = &[
    "set_dataloader",
    "set_evaluate",
    "set_logging",
    "set_lr_scheduler",
    "set_optimizer",
    "set_push_to_hub",
    "set_save",
    "set_testing",
    "set_training",
];

/// Functions that make rows from a file.
pub(super) const LOADERS: &[&str] =
    &["load_dataset", "load_from_disk", "from_json", "from_csv", "from_parquet", "from_text"];

/// Other calls that describe a run.
const OTHERS: &[&str] = &[
    "LoraConfig",
    "get_peft_model",
    "from_pretrained",
    "EarlyStoppingCallback",
    "BitsAndBytesConfig",
    "train_on_responses_only",
    "get_chat_template",
    "get_peft_config",
    "add_adapter",
    "create_loraplus_optimizer",
    "setup_chat_format",
    "clone_chat_template",
    "HfArgumentParser",
    "TrlParser",
];

/// Whether a call of this name, the last part of a dotted one, is read.
pub(in crate::import) fn is_wanted(name: &str) -> bool {
    is_run(name) || OTHERS.contains(&name) || LOADERS.contains(&name) || SETTERS.contains(&name)
}

/// Whether a call of this name says that the text describes a run.
pub(super) fn is_run(name: &str) -> bool {
    name == "LoraConfig"
        || name == "get_peft_model"
        || TRAINING.contains(&name)
        || trainer(name).is_some()
        || refused(name).is_some()
}

/// Whether a trainer of this name is TRL's; `None` if it is none of those that are read.
pub(super) fn trainer(name: &str) -> Option<bool> {
    TRAINERS.iter().find(|(known, _)| *known == name).map(|(_, is_trl)| *is_trl)
}

/// Why a trainer or configuration cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It trains by another method: what that learns from.
    Method(&'static str),
    /// It is another kind of adapter.
    Adapter,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Method(from) => write!(
                f,
                "it learns from {from}; Lorelei trains on texts, chats and prompts with completions (SFT), and trains classifiers"
            ),
            Self::Adapter => f.write_str("it is another kind of adapter; Lorelei trains LoRA"),
        }
    }
}

/// Returns why a trainer or configuration of this name cannot be imported, if it cannot.
pub(super) fn refused(name: &str) -> Option<Refused> {
    if OTHER_ADAPTERS.contains(&name) {
        return Some(Refused::Adapter);
    }
    let method = name.strip_suffix("Trainer").or_else(|| name.strip_suffix("Config"))?;
    REFUSED.iter().find(|(known, _)| *known == method).map(|(_, from)| Refused::Method(from))
}

/// Whether a text may describe a run: it has one of the names.
pub(super) fn may_be_run(text: &str) -> bool {
    ["LoraConfig", "TrainingArguments", "Trainer", "get_peft_model"].iter().any(|name| text.contains(name))
        || text.contains("SFTConfig")
        || REFUSED.iter().any(|(name, _)| text.contains(&format!("{name}Config(")))
        || OTHER_ADAPTERS.iter().any(|name| text.contains(name))
}
