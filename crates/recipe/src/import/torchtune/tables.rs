//! The keys of torchtune 0.6's recipes `lora_finetune_*` and `full_finetune_*`.

use super::super::keys::Fate::{List, Read, Take};
use super::super::keys::Known;
use crate::fields::Table::{Data, Lora, Training};

const TORCH: &str = "it is about how torch runs";
const REPORTS: &str = "the log is a file in output_dir; lorelei plot draws it";
const MEMORY: &str = "what a run needs stays on the device";
const ONE_DEVICE: &str = "there is one device";

/// Packages of `torchtune.models` whose attention and MLP are the modules of Hugging Face's model. Those of Phi-3 are joined there.
pub(super) const FAMILIES: &[&str] = &[
    "llama2",
    "code_llama2",
    "llama3",
    "llama3_1",
    "llama3_2",
    "llama3_3",
    "qwen2",
    "qwen2_5",
    "mistral",
    "gemma",
    "gemma2",
];

/// Keys that only other recipes have, and what those do.
pub(super) const OTHER_RECIPES: &[(&str, &str)] = &[
    ("teacher_model", "knowledge distillation"),
    ("teacher_checkpointer", "knowledge distillation"),
    ("kd_ratio", "knowledge distillation"),
    ("kd_loss", "knowledge distillation"),
    ("quantizer", "training for quantisation"),
    ("policy_model", "learning from rewards"),
    ("reward_model", "learning from rewards"),
    ("value_model", "learning from rewards"),
    ("reward_and_value_model", "learning from rewards"),
    ("ref_policy_checkpointer", "learning from rewards"),
    ("ppo_epochs", "learning from rewards"),
    ("reference_model", "learning from preferences"),
    ("base_model", "learning from preferences"),
    ("ref_checkpointer", "learning from preferences"),
    ("reference_checkpointer", "learning from preferences"),
    ("max_new_tokens", "generation"),
    ("prompt", "generation"),
    ("tasks", "an evaluation"),
];

pub(super) const KEYS: Known = &[
    ("model", Read),
    ("tokenizer", Read),
    ("checkpointer", Read),
    ("dataset", Read),
    ("optimizer", Read),
    ("lr_scheduler", Read),
    ("max_steps_per_epoch", Read),
    ("dtype", Read),
    ("output_dir", Take(Training, "output_dir")),
    ("batch_size", Take(Training, "per_device_train_batch_size")),
    ("epochs", Take(Training, "num_train_epochs")),
    ("gradient_accumulation_steps", Take(Training, "gradient_accumulation_steps")),
    ("clip_grad_norm", Take(Training, "max_grad_norm")),
    ("seed", Take(Training, "seed")),
    ("shuffle", Take(Data, "shuffle")),
    ("log_every_n_steps", Take(Training, "logging_steps")),
    ("enable_activation_checkpointing", Take(Training, "gradient_checkpointing")),
    ("loss", Read),
    ("metric_logger", List(REPORTS, &[])),
    ("log_level", List(REPORTS, &[])),
    ("log_peak_memory_stats", List("lorelei fit estimates the memory", &["false"])),
    ("profiler", List(TORCH, &[])),
    ("compile", List(TORCH, &["false"])),
    ("device", List("the device is chosen where the run is started", &[])),
    ("resume_from_checkpoint", List("resuming is asked for where the run is started", &["false"])),
    ("save_adapter_weights_only", List("the adapter alone is saved in any case", &["false", "true"])),
    ("enable_activation_offloading", List(MEMORY, &["false"])),
    ("activation_offloading_use_streams", List(MEMORY, &["false"])),
    ("optimizer_in_bwd", List("an optimizer step comes after the backward pass", &["false"])),
    ("fsdp_cpu_offload", List(ONE_DEVICE, &["false"])),
    ("fsdp_reshard_after_forward", List(ONE_DEVICE, &["true"])),
    ("fsdp_sharding_strategy", List(ONE_DEVICE, &[])),
    ("custom_sharded_layers", List(ONE_DEVICE, &["[]"])),
    ("tensor_parallel_dim", List(ONE_DEVICE, &["1"])),
    ("tensor_parallel_plan", List(ONE_DEVICE, &[])),
    ("use_distributed_state_dict", List(ONE_DEVICE, &["false"])),
    ("enable_async_checkpointing", List("a checkpoint is saved before the next step", &["false"])),
    ("cudnn_deterministic_mode", List(TORCH, &[])),
    (
        "collate_fn",
        List("rows are padded or packed as data.packing says", &["\"torchtune.data.padded_collate_sft\""]),
    ),
    ("dataset_val", List("save its rows as a file, and name that as data.validation_file", &[])),
    ("run_val_every_n_steps", List("write eval_strategy and eval_steps, with data.validation_file", &[])),
    ("batch_size_val", List("write per_device_eval_batch_size", &[])),
    ("packed", List("it stands in dataset", &["false"])),
    ("custom_metrics", List(REPORTS, &[])),
];

/// The keys of a LoRA builder.
pub(super) const ADAPTER: Known = &[
    ("lora_rank", Take(Lora, "r")),
    ("lora_alpha", Take(Lora, "lora_alpha")),
    ("lora_dropout", Take(Lora, "lora_dropout")),
    ("use_dora", Take(Lora, "use_dora")),
    ("lora_attn_modules", Read),
    ("apply_lora_to_mlp", Read),
    ("apply_lora_to_output", Read),
    ("quantize_base", Read),
    ("tie_word_embeddings", List("the model's own config.json says it", &[])),
];

/// The keys of torch's optimizers.
pub(super) const OPTIMIZER: Known = &[
    ("lr", Take(Training, "learning_rate")),
    ("weight_decay", Take(Training, "weight_decay")),
    ("eps", Take(Training, "adam_epsilon")),
    ("fused", List(TORCH, &["true", "false"])),
    ("foreach", List(TORCH, &["true", "false"])),
];

/// torchtune's defaults for `[training]`, as JSON.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("num_train_epochs", "1.0"),
    ("per_device_train_batch_size", "2"),
    ("logging_steps", "1"),
    ("lr_scheduler_type", "\"constant\""),
    ("max_grad_norm", "0"),
    ("save_strategy", "\"epoch\""),
    // A batch that is not full is never made.
    ("dataloader_drop_last", "true"),
];
