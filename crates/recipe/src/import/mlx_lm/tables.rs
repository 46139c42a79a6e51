//! The keys of mlx-lm 0.32: `CONFIG_DEFAULTS` and the parser of `mlx_lm/lora.py`, and those of releases before it.

use super::super::keys::Fate::{List, Take};
use super::super::keys::Known;
use crate::fields::Table::{Lora, Model, Training};

const TRACKERS: &str =
    "there are no such trackers here; report_to = \"tensorboard\" writes TensorBoard's files";

pub(super) const OTHERS: Known = &[
    ("model", Take(Model, "model_name_or_path")),
    ("adapter_path", Take(Training, "output_dir")),
    ("batch_size", Take(Training, "per_device_train_batch_size")),
    ("grad_accumulation_steps", Take(Training, "gradient_accumulation_steps")),
    ("learning_rate", Take(Training, "learning_rate")),
    ("seed", Take(Training, "seed")),
    ("max_seq_length", Take(crate::fields::Table::Data, "max_length")),
    ("grad_checkpoint", Take(Training, "gradient_checkpointing")),
    ("use_dora", Take(Lora, "use_dora")),
    ("train", List("a recipe is always a training", &["true"])),
    (
        "test",
        List(
            "nothing is tested after training: name test.jsonl as data.validation_file in another run",
            &["false"],
        ),
    ),
    ("test_batches", List("nothing is tested after training", &["500"])),
    ("val_batches", List("the whole of data.validation_file is evaluated; shorten the file", &["-1"])),
    (
        "resume_adapter_file",
        List(
            "it is a file in mlx-lm's own form; model.adapter_name_or_path takes a folder with PEFT's adapter_config.json",
            &["\"\""],
        ),
    ),
    (
        "hf_dataset",
        List(
            "a dataset of the hub is not fetched: save its rows as a file, and name that as data.train_file",
            &[],
        ),
    ),
    ("report_to", List(TRACKERS, &["\"\"", "\"none\""])),
    ("project_name", List(TRACKERS, &["\"\""])),
    ("wandb", List(TRACKERS, &["\"\"", "false"])),
    ("clear_cache_threshold", List("there is no such cache", &["0"])),
    ("trust_remote_code", List("no code of a model is run", &["false"])),
    ("config", List("it names the file itself", &[])),
];

/// The keys of `lora_parameters`.
pub(super) const ADAPTER: Known = &[
    ("rank", Take(Lora, "r")),
    ("dropout", Take(Lora, "lora_dropout")),
    ("keys", Take(Lora, "target_modules")),
];

/// The keys that name columns of the rows, and the fields of a row here.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("prompt_feature", "prompt"),
    ("completion_feature", "completion"),
    ("text_feature", "text"),
    ("chat_feature", "messages"),
];

/// mlx-lm's defaults for `[training]`, as JSON.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("per_device_train_batch_size", "4"),
    ("learning_rate", "1e-5"),
    ("lr_scheduler_type", "\"constant\""),
    ("max_grad_norm", "0"),
    ("seed", "0"),
    ("output_dir", "\"adapters\""),
    // A batch that is not full is never made.
    ("dataloader_drop_last", "true"),
];
