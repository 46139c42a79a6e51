//! The keys of TRL 1.16's files, and of releases before it.

use super::super::keys::Fate::{List, Read};
use super::super::keys::Known;
use super::super::trl;

/// All keys of `trl sft`'s files but those of Transformers' `TrainingArguments`.
pub(super) const TABLES: &[Known] = &[KEYS, trl::SFT, trl::MODEL_CONFIG];

const HUB: &str =
    "a dataset of the hub is not fetched: save its rows as a file, and name that as data.train_file";
const CHAT: &str = "the model's own chat template is used";

/// The keys that only the files have, of `ScriptArguments` and `DatasetMixtureConfig` and of the alignment handbook.
const KEYS: Known = &[
    ("dataset_name", Read),
    ("dataset_config", List(HUB, &[])),
    ("dataset_train_split", List(HUB, &["\"train\""])),
    ("dataset_test_split", Read),
    (
        "dataset_streaming",
        List("the rows are read whole, and spilled to the disk where memory is short", &["false"]),
    ),
    ("ignore_bias_buffers", List("there is one device", &["false"])),
    ("gradient_checkpointing_use_reentrant", List("it is about how torch runs", &["false"])),
    ("datasets", Read),
    ("streaming", List("the rows are read whole, and spilled to the disk where memory is short", &["false"])),
    ("test_split_size", Read),
    ("model_init_kwargs", List("it is about how Transformers loads", &["{}"])),
    ("chat_template", List(CHAT, &[])),
    ("env", List("the environment is the shell's", &["{}"])),
    ("config", List("it names the file itself", &[])),
    // The alignment handbook's
    ("dataset_mixer", List(HUB, &[])),
    ("dataset_mixture", List(HUB, &[])),
    ("dataset_splits", List(HUB, &[])),
    ("dataset_configs", List(HUB, &[])),
    ("preprocessing_num_workers", List("it is about how datasets runs", &[])),
    ("auto_insert_empty_system_msg", List(CHAT, &["false"])),
];

/// Commands of TRL other than `trl sft`, and keys that only they have.
pub(super) const OTHER_COMMANDS: &[(&str, &[&str])] = &[
    (
        "dpo",
        &[
            "discopop_tau",
            "f_alpha_divergence_coef",
            "f_divergence_type",
            "label_smoothing",
            "ld_alpha",
            "loss_weights",
            "max_prompt_length",
            "ref_model_name_or_path",
            "rpo_alpha",
            "reference_free",
            "use_weighting",
            "ref_model_init_kwargs",
        ],
    ),
    ("kto", &["desirable_weight", "undesirable_weight"]),
    ("reward", &["center_rewards_coefficient"]),
    ("distillation", &["teacher_model_name_or_path", "teacher_model_init_kwargs", "teacher_model_revision"]),
    (
        "grpo or rloo",
        &[
            "num_generations",
            "num_generations_eval",
            "generation_batch_size",
            "steps_per_generation",
            "max_completion_length",
            "reward_funcs",
            "reward_weights",
            "reward_model_name_or_path",
            "reward_model_path",
            "scale_rewards",
            "num_iterations",
            "epsilon",
            "epsilon_high",
            "use_vllm",
            "vllm_mode",
            "importance_sampling_level",
            "mask_truncated_completions",
            "normalize_advantages",
            "sft_model_path",
            "num_ppo_epochs",
            "kl_coef",
        ],
    ),
    // The rest is what these have in common.
    (
        "dpo, kto, grpo or rloo",
        &[
            "beta",
            "precompute_ref_log_probs",
            "precompute_ref_batch_size",
            "sync_ref_model",
            "ref_model_mixup_alpha",
            "ref_model_sync_steps",
            "disable_dropout",
        ],
    ),
];
