//! `[training]`: Transformers 5.23's `TrainingArguments`, every field in its order.

use super::State::*;
use super::training_old;
use super::{Field, rows};
use crate::kind::Kind::*;
use crate::kind::{BELOW_ONE, MAX_INTEGER, NOT_NEGATIVE, POSITIVE};

const BATCH: crate::Kind = Int { min: 1, max: 1 << 20 };
const SEED: crate::Kind = Int { min: 0, max: MAX_INTEGER };
const INTERVAL: crate::Kind = Choice { takes: &["no", "steps", "epoch"], later: &[] };

const ONE_DEVICE: &str = "there is one device";
const TORCH: &str = "it is about how torch runs";
const TRACKER: &str = "it only counts with a tracker in report_to";
const FULL_EVAL: &str = "evaluations during training compute as training does, in Transformers too";
const HUB: &str = "nothing is uploaded";
const MEASURE: &str = "evaluation gives the loss, and of a classifier accuracy and F1";
const LOADER: &str = "it is about torch's loader";

const CURRENT: &[Field] = rows! { Training;
    output_dir: Text => "\"trainer_output\"", Supported, "Folder of the checkpoints and of the adapter.";
    per_device_train_batch_size: BATCH => "8", Supported, "Examples in a micro-batch.";
    num_train_epochs: Number(POSITIVE) => "3.0", Supported, "Passes over the data; decimals are a part of the last pass.";
    max_steps: Int { min: -1, max: MAX_INTEGER } => "-1", Supported, "Optimizer steps; a positive value overrides num_train_epochs.";
    learning_rate: Number(NOT_NEGATIVE) => "5e-5", Supported, "Highest learning rate of the schedule.";
    lr_scheduler_type: Choice {
        takes: &["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt",
            "cosine_with_min_lr", "warmup_stable_decay"],
        later: &["cosine_warmup_with_min_lr", "reduce_lr_on_plateau", "greedy"],
    } => "\"linear\"", Supported, "Course of the learning rate.";
    lr_scheduler_kwargs: SchedulerKwargs => "{}" theirs "null", Supported, "Further settings of the schedule.";
    warmup_steps: Number(NOT_NEGATIVE) => "0", Supported, "Warm-up in optimizer steps; below 1, a share of all steps. Wins over warmup_ratio.";
    optim: Choice {
        takes: &["adamw_torch", "adamw_torch_fused", "adafactor", "lion", "lion_32bit", "sgd"],
        later: &["adamw_torch_xla", "adamw_torch_npu_fused", "adamw_anyprecision", "adamw_torch_4bit", "adamw_torch_8bit",
            "ademamix", "adagrad", "adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit", "lion_8bit",
            "paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit",
            "paged_lion_8bit", "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw",
            "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise", "galore_adamw_8bit_layerwise",
            "galore_adafactor_layerwise", "lomo", "adalomo", "grokadamw", "schedule_free_radam", "schedule_free_adamw",
            "schedule_free_sgd", "apollo_adamw", "apollo_adamw_layerwise", "stable_adamw", "adamw_hf"],
    } => "\"adamw_torch_fused\"", Supported, "The optimizer.";
    optim_args: Any => "null" also ["\"\""], Refused("the optimizers here take no further arguments"), "Arguments of other optimizers.";
    weight_decay: Number(NOT_NEGATIVE) => "0.0", Supported, "Weight decay, not of biases and norms: decoupled, but for sgd.";
    adam_beta1: Number(BELOW_ONE) => "0.9", Supported, "Decay of the first moment in AdamW and Lion.";
    adam_beta2: Number(BELOW_ONE) => "0.999", Supported, "Decay of the second moment in AdamW, of the first in Lion.";
    adam_epsilon: Number(POSITIVE) => "1e-8", Supported, "AdamW's epsilon.";
    optim_target_modules: Any => "null" also ["[]"], Refused("GaLore and APOLLO are not there"), "Modules of GaLore and APOLLO.";
    gradient_accumulation_steps: BATCH => "1", Supported, "Micro-batches in an optimizer step.";
    average_tokens_across_devices: Any => "true", Ignored(ONE_DEVICE), "Count the tokens of all devices.";
    max_grad_norm: Number(NOT_NEGATIVE) => "1.0", Supported, "Global gradient norm above which gradients are scaled down; 0 does not clip.";
    label_smoothing_factor: Number(BELOW_ONE) => "0.0", Supported, "Share of a target's probability that is spread over the vocabulary.";
    bf16: Bool => "false", Supported, "bfloat16 mixed precision, on devices that have it.";
    fp16: Bool => "false", Supported, "float16 mixed precision: the base and what flows through it in half floats, the adapter in float32.";
    bf16_full_eval: Any => "false", Ignored(FULL_EVAL), "Evaluate in bfloat16.";
    fp16_full_eval: Any => "false", Ignored(FULL_EVAL), "Evaluate in float16.";
    tf32: Any => "null" also ["false"], Ignored("products keep the precision of float32"), "TensorFloat-32 products.";
    activation_checkpointing: Any => "false", Renamed("gradient_checkpointing"), "The name of gradient_checkpointing since Transformers 5.";
    activation_checkpointing_kwargs: Any => "null" also ["{}"], Ignored("it only counts with gradient_checkpointing"), "How to recompute.";
    gradient_checkpointing: Bool => "false", Supported, "Recompute activations in the backward pass, a layer at a time.";
    gradient_checkpointing_kwargs: Any => "null" also ["{}"], Ignored("it only counts with gradient_checkpointing"), "How to recompute.";
    torch_compile: Any => "false", Ignored(TORCH), "Compile the model.";
    torch_compile_backend: Any => "null", Ignored(TORCH), "Backend of the compiler.";
    torch_compile_mode: Any => "null", Ignored(TORCH), "Mode of the compiler.";
    use_liger_kernel: Any => "false", Ignored("the kernels here are our own"), "Liger's fused kernels.";
    liger_kernel_config: Any => "null" also ["{}"], Ignored("the kernels here are our own"), "Which of Liger's kernels.";
    use_cache: Any => "false", Ignored("training keeps no key-value cache"), "Keep a key-value cache.";
    neftune_noise_alpha: Number(NOT_NEGATIVE) => "null", Supported, "Strength of NEFTune's noise on the embeddings.";
    torch_empty_cache_steps: Any => "null", Ignored(TORCH), "Steps between two releases of cached memory.";
    auto_find_batch_size: Any => "false", Refused("the batch size is not searched for; lower per_device_train_batch_size"), "Halve the batch until it fits.";
    logging_strategy: INTERVAL => "\"steps\"", Supported, "When to report the loss.";
    logging_steps: Number(NOT_NEGATIVE) => "500", Supported, "Optimizer steps between two reports; below 1, a share of all steps.";
    logging_first_step: Bool => "false", Supported, "Whether to report step 1 as well.";
    log_on_each_node: Any => "true", Ignored(ONE_DEVICE), "Report on every machine.";
    logging_nan_inf_filter: Any => "true", Ignored("a loss that is not finite is never hidden"), "Leave NaN out of the reported loss.";
    include_num_input_tokens_seen: Any => "\"no\"" also ["false"], Ignored("it is about what is reported"), "Count the tokens.";
    log_level: Any => "\"passive\"", Ignored("it is about Python's logger"), "Level of Python's logger.";
    log_level_replica: Any => "\"warning\"", Ignored("it is about Python's logger"), "Level of Python's logger elsewhere.";
    disable_tqdm: Bool => "null", Supported, "No progress bar: a line a report.";
    report_to: Choice { takes: &["none", "tensorboard"], later: &["all", "wandb", "mlflow", "trackio", "comet_ml", "swanlab", "clearml"] }
        => "\"none\"", Supported, "Trackers to report to; the log is a file in any case.";
    run_name: Text => "null", Supported, "Name of the run: of its folder of TensorBoard's files.";
    project: Any => "\"huggingface\"", Ignored(TRACKER), "Project of the run.";
    trackio_space_id: Any => "null" also ["\"trackio\""], Ignored(TRACKER), "Trackio's space.";
    trackio_bucket_id: Any => "null", Ignored(TRACKER), "Trackio's bucket.";
    trackio_static_space_id: Any => "null" also ["false"], Ignored(TRACKER), "Trackio's static space.";
    eval_strategy: INTERVAL => "\"no\"", Supported, "When to evaluate.";
    eval_steps: Number(NOT_NEGATIVE) => "null", Supported, "Optimizer steps between two evaluations; absent, logging_steps.";
    eval_delay: Number(NOT_NEGATIVE) => "0", Supported, "Steps, or with eval_strategy = \"epoch\" epochs, before the first evaluation.";
    per_device_eval_batch_size: BATCH => "8", Supported, "Examples in a batch of an evaluation.";
    prediction_loss_only: Any => "false", Ignored(MEASURE), "Give the loss only.";
    eval_on_start: Bool => "false", Supported, "Evaluate before the first step.";
    eval_do_concat_batches: Any => "true", Ignored(MEASURE), "Join the batches' predictions.";
    eval_use_gather_object: Any => "false", Ignored(ONE_DEVICE), "Gather objects of all devices.";
    eval_accumulation_steps: Any => "null", Ignored(MEASURE), "Batches of predictions on the device.";
    include_for_metrics: Any => "[]", Ignored(MEASURE), "Inputs of compute_metrics.";
    batch_eval_metrics: Any => "false", Ignored(MEASURE), "Metrics after every batch.";
    save_only_model: Any => "false", Refused("a checkpoint always has what resuming needs"), "Save no optimizer state.";
    save_strategy: Choice { takes: &["no", "steps", "epoch"], later: &["best"] } => "\"steps\"", Supported, "When to save a checkpoint.";
    save_steps: Number(NOT_NEGATIVE) => "500", Supported, "Optimizer steps between two checkpoints; below 1, a share of all steps.";
    save_on_each_node: Any => "false", Ignored(ONE_DEVICE), "Save on every machine.";
    save_total_limit: Int { min: 0, max: 1 << 31 } => "null", Supported, "Checkpoints to keep; absent or 0 keeps all.";
    enable_jit_checkpoint: Any => "false", Refused("a checkpoint on SIGTERM is not there yet"), "Save on SIGTERM.";
    push_to_hub: Any => "false", Refused("nothing is uploaded; upload the folder with the hub's own tool"), "Upload checkpoints.";
    hub_token: Any => "null", Ignored(HUB), "The token for uploads.";
    hub_private_repo: Any => "null", Ignored(HUB), "Upload to a private repository.";
    hub_model_id: Any => "null", Ignored(HUB), "The repository to upload to.";
    hub_strategy: Any => "\"every_save\"", Ignored(HUB), "When to upload.";
    hub_always_push: Any => "false", Ignored(HUB), "Upload while an upload is under way.";
    hub_revision: Any => "null", Ignored(HUB), "The revision to upload to.";
    load_best_model_at_end: Bool => "false", Supported, "Go back to the best checkpoint at the end.";
    metric_for_best_model: Choice { takes: &["loss", "eval_loss", "accuracy", "eval_accuracy", "f1", "eval_f1"], later: &[] } => "null", Supported, "What best means; absent, the loss. Accuracy and F1 are a classifier's.";
    greater_is_better: Bool => "null", Supported, "Whether more is better; absent, not of a loss.";
    ignore_data_skip: Any => "false", Refused("a run always resumes where it was in the data"), "Resume at the start of the data.";
    restore_callback_states_from_checkpoint: Any => "false", Ignored("there are no callbacks"), "Restore callbacks.";
    full_determinism: Any => "false", Ignored(TORCH), "Deterministic kernels.";
    seed: SEED => "42", Supported, "Seed of everything random.";
    data_seed: SEED => "null", Supported, "Seed of the order of the examples; absent, seed.";
    use_cpu: Any => "false", Ignored("the device is chosen where the run is started"), "Train on the processor.";
    accelerator_config: Any => "null" also ["{}"], Refused("there is no Accelerate"), "Settings of Accelerate.";
    parallelism_config: Any => "null" also ["{}"], Refused("there is one device"), "Settings of parallelism.";
    dataloader_drop_last: Bool => "false", Supported, "Leave out the last micro-batch of an epoch when it is not full.";
    dataloader_num_workers: Any => "0", Ignored(LOADER), "Processes that read the data.";
    dataloader_pin_memory: Any => "true", Ignored(LOADER), "Pinned memory.";
    dataloader_persistent_workers: Any => "false", Ignored(LOADER), "Keep the processes that read the data.";
    dataloader_prefetch_factor: Any => "null", Ignored(LOADER), "Batches read ahead.";
    dataloader_multiprocessing_context: Any => "null", Ignored(LOADER), "How the processes are started.";
    dataloader_in_order: Any => "true", Ignored(LOADER), "Keep the order of the batches.";
    remove_unused_columns: Any => "true", Ignored("columns that are not used are left alone"), "Drop other columns.";
    label_names: Any => "null" also ["[]"], Ignored("labels are made from the conversation"), "Names of the label columns.";
    train_sampling_strategy: Choice { takes: &["random", "sequential", "group_by_length"], later: &[] } => "\"random\"", Supported,
        "The order of the examples; data.shuffle = false is \"sequential\".";
    length_column_name: Any => "\"length\"", Ignored("lengths are counted"), "The column of the lengths.";
    ddp_find_unused_parameters: Any => "null" also ["false"], Ignored(ONE_DEVICE), "Setting of distributed training.";
    ddp_bucket_cap_mb: Any => "null", Ignored(ONE_DEVICE), "Setting of distributed training.";
    ddp_broadcast_buffers: Any => "null" also ["false"], Ignored(ONE_DEVICE), "Setting of distributed training.";
    ddp_static_graph: Any => "null" also ["false"], Ignored(ONE_DEVICE), "Setting of distributed training.";
    ddp_backend: Any => "null", Ignored(ONE_DEVICE), "Setting of distributed training.";
    ddp_timeout: Any => "1800", Ignored(ONE_DEVICE), "Setting of distributed training.";
    fsdp: Any => "null" also ["\"\"", "[]", "false"], Refused("there is one device"), "Sharded data parallelism.";
    fsdp_config: Any => "null" also ["{}"], Ignored("it only counts with fsdp"), "Settings of fsdp.";
    deepspeed: Any => "null" also ["{}"], Refused("there is no DeepSpeed"), "Settings of DeepSpeed.";
    debug: Any => "\"\"" also ["[]"], Ignored(TORCH), "Debugging aids.";
    skip_memory_metrics: Any => "true", Ignored("memory is not traced"), "Leave memory out of the report.";
    do_train: Any => "false" also ["true"], Ignored("the command says what is done"), "For scripts: train.";
    do_eval: Any => "false" also ["true"], Ignored("the command says what is done"), "For scripts: evaluate.";
    do_predict: Any => "false", Ignored("the command says what is done"), "For scripts: predict.";
    resume_from_checkpoint: Any => "null" also ["false"], Ignored("resuming is asked for where the run is started"), "For scripts: resume.";
    local_rank: Any => "-1" also ["0"], Ignored(ONE_DEVICE), "Setting of distributed training.";
};

const OURS: &[Field] = rows! { Training;
    finetuning_type: Choice { takes: &["lora", "full"], later: &["freeze", "oft"] } => "\"lora\"" theirs "—", Supported,
        "Train an adapter, or every weight.";
    loraplus_lr_ratio: Number(POSITIVE) => "null" theirs "—", Supported, "LoRA+: what the learning rate of B is multiplied by.";
    early_stopping_patience: Int { min: 1, max: MAX_INTEGER } => "null" theirs "—", Supported,
        "Evaluations without an improvement after which the run ends (EarlyStoppingCallback).";
    early_stopping_threshold: Number(NOT_NEGATIVE) => "0.0" theirs "—", Supported,
        "The least change that is an improvement (EarlyStoppingCallback).";
};

const LENGTH: usize = CURRENT.len() + OURS.len() + training_old::FIELDS.len();

static JOINED: [Field; LENGTH] = {
    let mut joined = [OURS[0]; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        joined[at] = if at < OURS.len() {
            OURS[at]
        } else if at < OURS.len() + CURRENT.len() {
            CURRENT[at - OURS.len()]
        } else {
            training_old::FIELDS[at - OURS.len() - CURRENT.len()]
        };
        at += 1;
    }
    joined
};

pub(super) static FIELDS: &[Field] = &JOINED;
