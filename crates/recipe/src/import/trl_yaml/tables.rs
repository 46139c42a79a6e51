//! The keys of TRL 1.16, but those that are Transformers' `TrainingArguments`', and of releases before it.

use super::super::keys::Fate::{List, Read, Take};
use super::super::keys::Known;
use crate::fields::Table::{Data, Lora, Model};

const QUANTIZED: &str = "the base is kept as its file has it: name a GGUF file to train over packed weights";
const HUB: &str =
    "a dataset of the hub is not fetched: save its rows as a file, and name that as data.train_file";
const CHAT: &str = "the model's own chat template is used";

pub(super) const KEYS: Known = &[
    // ScriptArguments and DatasetMixtureConfig
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
    // SFTConfig
    ("max_length", Take(Data, "max_length")),
    ("max_seq_length", Take(Data, "max_length")),
    ("packing", Take(Data, "packing")),
    (
        "packing_strategy",
        List("rows are packed whole, where they fit best: rows are not cut to fill a sequence", &[]),
    ),
    ("padding_free", List("the numbers are the same; packing = true saves the padding", &["false"])),
    ("pad_to_multiple_of", Take(Data, "pad_to_multiple_of")),
    ("eval_packing", List("evaluations are packed as training is", &[])),
    ("completion_only_loss", Take(Data, "completion_only_loss")),
    ("assistant_only_loss", Take(Data, "assistant_only_loss")),
    ("dataset_text_field", Read),
    ("dataset_kwargs", List("rows are always prepared", &["{}"])),
    ("dataset_num_proc", List("it is about how datasets runs", &[])),
    ("dataset_batch_size", List("it is about how datasets runs", &[])),
    ("num_of_sequences", List("max_length and packing say it", &[])),
    ("chars_per_token", List("tokens are counted", &[])),
    ("shuffle_dataset", List("each epoch has an order of its own in any case", &["false"])),
    ("truncation_mode", Read),
    ("loss_type", List("the loss is the cross-entropy", &["\"nll\"", "\"chunked_nll\""])),
    ("activation_offloading", List("what a run needs stays on the device", &["false"])),
    ("chat_template_path", List(CHAT, &[])),
    ("chat_template", List(CHAT, &[])),
    ("eos_token", List("the model's own end token is learnt", &[])),
    ("pad_token", List("padding is never learnt", &[])),
    ("router_aux_loss_coef", List("there is no loss of the router", &["0"])),
    ("model_init_kwargs", List("it is about how Transformers loads", &["{}"])),
    ("trust_remote_code", List("no code of a model is run", &["false"])),
    // ModelConfig
    ("model_name_or_path", Read),
    ("model_revision", Read),
    ("dtype", Take(Model, "dtype")),
    ("torch_dtype", Take(Model, "dtype")),
    ("attn_implementation", List("the kernels here are our own", &[])),
    ("use_peft", List("it takes true or false", &[])),
    ("lora_r", Take(Lora, "r")),
    ("lora_alpha", Take(Lora, "lora_alpha")),
    ("lora_dropout", Take(Lora, "lora_dropout")),
    ("lora_target_modules", Read),
    ("lora_target_parameters", Take(Lora, "target_parameters")),
    ("lora_modules_to_save", Take(Lora, "modules_to_save")),
    ("lora_task_type", Read),
    ("use_rslora", Take(Lora, "use_rslora")),
    ("use_dora", Take(Lora, "use_dora")),
    ("load_in_8bit", List(QUANTIZED, &["false"])),
    ("load_in_4bit", List(QUANTIZED, &["false"])),
    ("bnb_4bit_quant_type", List(QUANTIZED, &["\"nf4\""])),
    ("bnb_4bit_quant_storage", List(QUANTIZED, &[])),
    ("use_bnb_nested_quant", List(QUANTIZED, &["false"])),
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
