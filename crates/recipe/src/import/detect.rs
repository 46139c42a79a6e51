//! Detection of the trainer that a file of keys belongs to.

use super::ImportFormat;
use crate::source::{Entry, Node, Value};

/// Keys by which a trainer's file is recognized: no other trainer has them.
const MARKS: &[(ImportFormat, &[&str])] = &[
    (
        ImportFormat::MlxLm,
        &[
            "iters",
            "lora_parameters",
            "fine_tune_type",
            "num_layers",
            "lora_layers",
            "steps_per_report",
            "steps_per_eval",
            "save_every",
            "adapter_path",
            "grad_checkpoint",
            "grad_accumulation_steps",
            "mask_prompt",
            "val_batches",
            "test_batches",
            "resume_adapter_file",
            "hf_dataset",
            "lr_schedule",
            "optimizer_config",
        ],
    ),
    (
        ImportFormat::LlamaFactory,
        &[
            "stage",
            "finetuning_type",
            "lora_target",
            "lora_rank",
            "cutoff_len",
            "template",
            "dataset_dir",
            "additional_target",
            "val_size",
            "neat_packing",
            "train_on_prompt",
            "mask_history",
            "pissa_init",
            "quantization_bit",
            "freeze_trainable_layers",
            "create_new_adapter",
            "plot_loss",
            "max_samples",
            "model_class",
            "train_dataset",
            "dist_config",
            "kernel_config",
            "quant_config",
        ],
    ),
    (
        ImportFormat::Axolotl,
        &[
            "base_model",
            "adapter",
            "sequence_len",
            "micro_batch_size",
            "num_epochs",
            "val_set_size",
            "sample_packing",
            "eval_sample_packing",
            "train_on_inputs",
            "lora_target_linear",
            "lora_model_dir",
            "dataset_prepared_path",
            "pad_to_sequence_len",
            "saves_per_epoch",
            "evals_per_epoch",
            "test_datasets",
            "peft_use_dora",
            "peft_use_rslora",
            "rl",
            "relora",
            "pretraining_dataset",
        ],
    ),
    (
        ImportFormat::Trl,
        &[
            "use_peft",
            "dataset_name",
            "dataset_config",
            "dataset_train_split",
            "dataset_test_split",
            "dataset_streaming",
            "dataset_text_field",
            "dataset_mixer",
            "dataset_mixture",
            "lora_task_type",
            "assistant_only_loss",
            "completion_only_loss",
            "packing_strategy",
            "padding_free",
            "use_bnb_nested_quant",
            "bnb_4bit_quant_type",
        ],
    ),
];

/// Keys that are not TRL's alone. They recognize its file where no trainer's own keys are found.
const SHARED: &[&str] = &[
    "lora_r",
    "lora_target_modules",
    "lora_modules_to_save",
    "load_in_4bit",
    "load_in_8bit",
    "datasets",
    "dataset_num_proc",
    "chat_template_path",
    "attn_implementation",
];

/// The trainer of a file, with the marks of others that the file has too.
pub(super) struct Detected {
    pub(super) format: ImportFormat,
    /// The names of other trainers, and their keys in the file.
    pub(super) others: Vec<(&'static str, Vec<String>)>,
}

/// Finds the trainer with most marks among the keys.
pub(super) fn detect(entries: &[Entry]) -> Option<Detected> {
    if entries.iter().any(|entry| has_component(&entry.node)) {
        return Some(Detected { format: ImportFormat::Torchtune, others: Vec::new() });
    }
    let marks_of = |marks: &[&str]| -> Vec<String> {
        let has = |name: &&&str| entries.iter().any(|entry| entry.name == **name);
        marks.iter().filter(has).map(|name| (*name).to_owned()).collect()
    };
    let mut found: Vec<(ImportFormat, Vec<String>)> = MARKS
        .iter()
        .map(|(format, marks)| (*format, marks_of(marks)))
        .filter(|(_, marks)| !marks.is_empty())
        .collect();
    // The sort is stable, so that of equals the first in the table wins.
    found.sort_by_key(|(_, marks)| std::cmp::Reverse(marks.len()));
    let mut found = found.into_iter();
    match found.next() {
        Some((format, _)) => Some(Detected {
            format,
            others: found.map(|(format, marks)| (format.trainer(), marks)).collect(),
        }),
        None if !marks_of(SHARED).is_empty() => {
            Some(Detected { format: ImportFormat::Trl, others: Vec::new() })
        }
        None => None,
    }
}

/// Whether a value is one of torchtune's components.
fn has_component(node: &Node) -> bool {
    matches!(&node.value, Value::Table(entries) if entries.iter().any(|entry| entry.name == "_component_"))
}
