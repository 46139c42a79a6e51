//! `[training]`: Transformers' `TrainingArguments`, as far as Lorelei has them.

use serde::{Deserialize, Serialize};

use crate::number::{is_false, is_zero, whole, whole_option};
use crate::{LrSchedulerKwargs, LrSchedulerType};

/// How to train. Every name and default is Transformers'; `finetuning_type`,
/// `loraplus_lr_ratio` and `early_stopping_*` are the only additions. A `*_steps` below 1
/// is a share of all optimizer steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingArguments {
    /// Folder of the checkpoints and of the adapter.
    pub output_dir: String,
    /// Train an adapter, or every weight.
    pub finetuning_type: FinetuningType,
    /// Examples in a micro-batch.
    pub per_device_train_batch_size: usize,
    /// Examples in a batch of an evaluation.
    pub per_device_eval_batch_size: usize,
    /// Micro-batches in an optimizer step.
    pub gradient_accumulation_steps: usize,
    /// Passes over the data; the decimals are a part of the last pass.
    pub num_train_epochs: f64,
    /// Optimizer steps; a positive value overrides `num_train_epochs`.
    pub max_steps: i64,
    /// Highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub lr_scheduler_type: LrSchedulerType,
    /// Further settings of the schedule.
    #[serde(skip_serializing_if = "LrSchedulerKwargs::is_empty")]
    pub lr_scheduler_kwargs: LrSchedulerKwargs,
    /// Warm-up in optimizer steps; below 1, a share of all steps. Wins over `warmup_ratio`.
    #[serde(serialize_with = "whole")]
    pub warmup_steps: f64,
    /// Warm-up as a share of all steps: the name it had before Transformers 5.
    pub warmup_ratio: f64,
    /// The optimizer.
    pub optim: Optimizer,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// AdamW's decay of the first moment.
    pub adam_beta1: f64,
    /// AdamW's decay of the second moment.
    pub adam_beta2: f64,
    /// AdamW's epsilon.
    pub adam_epsilon: f64,
    /// Global gradient norm above which gradients are scaled down; 0 does not clip.
    pub max_grad_norm: f64,
    /// Share of a target's probability that is spread over the whole vocabulary.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing_factor: f64,
    /// Strength of NEFTune's noise on the embeddings in training.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
    pub neftune_noise_alpha: Option<f64>,
    /// LoRA+: what the learning rate of `B` is multiplied by (LLaMA-Factory's name; PEFT's `create_loraplus_optimizer`).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
    pub loraplus_lr_ratio: Option<f64>,
    /// float16 mixed precision.
    pub fp16: bool,
    /// bfloat16 mixed precision.
    pub bf16: bool,
    /// Recompute activations in the backward pass (`activation_checkpointing` since Transformers 5).
    pub gradient_checkpointing: bool,
    /// When to report the loss.
    pub logging_strategy: IntervalStrategy,
    /// Optimizer steps between two reports.
    #[serde(serialize_with = "whole")]
    pub logging_steps: f64,
    /// Whether to report step 1 as well.
    pub logging_first_step: bool,
    /// Trackers to report to.
    #[serde(skip_serializing_if = "ReportTo::is_none")]
    pub report_to: ReportTo,
    /// Folder of TensorBoard's files; absent, one in `output_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_dir: Option<String>,
    /// Name of the run: of its folder of TensorBoard's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_name: Option<String>,
    /// When to evaluate.
    pub eval_strategy: IntervalStrategy,
    /// Optimizer steps between two evaluations; as `logging_steps` when absent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
    pub eval_steps: Option<f64>,
    /// Steps, or epochs with that `eval_strategy`, before the first evaluation.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "whole")]
    pub eval_delay: f64,
    /// Whether to evaluate before the first step.
    #[serde(skip_serializing_if = "is_false")]
    pub eval_on_start: bool,
    /// When to save a checkpoint.
    pub save_strategy: IntervalStrategy,
    /// Optimizer steps between two checkpoints.
    #[serde(serialize_with = "whole")]
    pub save_steps: f64,
    /// Checkpoints to keep; absent or 0 keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_total_limit: Option<usize>,
    /// Go back to the best checkpoint at the end.
    #[serde(skip_serializing_if = "is_false")]
    pub load_best_model_at_end: bool,
    /// Whether to show no progress bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_tqdm: Option<bool>,
    /// What best means: `loss`, or of a classifier `accuracy` or `f1`, each also behind `eval_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_for_best_model: Option<String>,
    /// Whether more of it is better; absent, not for a loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greater_is_better: Option<bool>,
    /// Evaluations without an improvement after which the run ends; absent, it does not (`EarlyStoppingCallback`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping_patience: Option<usize>,
    /// The least change that is an improvement (`EarlyStoppingCallback`).
    #[serde(skip_serializing_if = "is_zero")]
    pub early_stopping_threshold: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Seed of the order of the examples; as `seed` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_seed: Option<u64>,
    /// Whether to leave out the last micro-batch of an epoch when it is not full.
    pub dataloader_drop_last: bool,
    /// The order of the examples.
    pub train_sampling_strategy: SamplingStrategy,
}

/// The order of the examples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplingStrategy {
    /// Drawn anew for each epoch.
    #[default]
    Random,
    /// As in the file.
    Sequential,
    /// Drawn anew, with examples of like length in a batch.
    GroupByLength,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinetuningType {
    /// An adapter; the base model is frozen.
    #[default]
    Lora,
    /// Every weight of the model.
    Full,
}

/// A tracker of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// None: the log is a file.
    #[default]
    None,
    /// Event files that TensorBoard reads.
    Tensorboard,
}

impl ReportTo {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// When something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntervalStrategy {
    /// Never.
    No,
    /// Every so many optimizer steps.
    Steps,
    /// At the end of every epoch.
    Epoch,
}

/// The optimizer, by Transformers' names. Those of AdamW are the same mathematics and the same code here, and so are those of Lion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Transformers' Adafactor with `scale_parameter=False, relative_step=False`, as the `Trainer` makes it.
    Adafactor,
    /// AdamW.
    AdamwTorch,
    /// AdamW, one kernel for the whole update in torch.
    #[default]
    AdamwTorchFused,
    /// Lion.
    Lion,
    /// Lion, by bitsandbytes' name.
    #[serde(rename = "lion_32bit")]
    Lion32bit,
    /// Gradient descent without momentum.
    Sgd,
}

impl TrainingArguments {
    /// The seed of the order of the examples.
    pub fn shuffle_seed(&self) -> u64 {
        self.data_seed.unwrap_or(self.seed)
    }

    /// Whether more of `metric_for_best_model` is better: not of a loss, unless told so.
    pub fn more_is_better(&self) -> bool {
        self.greater_is_better.unwrap_or(!self.best_metric().ends_with("loss"))
    }

    /// `metric_for_best_model` without its prefix.
    pub fn best_metric(&self) -> &str {
        let name = self.metric_for_best_model.as_deref().unwrap_or("loss");
        name.strip_prefix("eval_").unwrap_or(name)
    }
}

impl Default for TrainingArguments {
    fn default() -> Self {
        Self {
            output_dir: "trainer_output".into(),
            finetuning_type: FinetuningType::Lora,
            per_device_train_batch_size: 8,
            per_device_eval_batch_size: 8,
            gradient_accumulation_steps: 1,
            num_train_epochs: 3.0,
            max_steps: -1,
            learning_rate: 5e-5,
            lr_scheduler_type: LrSchedulerType::Linear,
            lr_scheduler_kwargs: LrSchedulerKwargs::default(),
            warmup_steps: 0.0,
            warmup_ratio: 0.0,
            optim: Optimizer::AdamwTorchFused,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            label_smoothing_factor: 0.0,
            neftune_noise_alpha: None,
            loraplus_lr_ratio: None,
            fp16: false,
            bf16: false,
            gradient_checkpointing: false,
            logging_strategy: IntervalStrategy::Steps,
            logging_steps: 500.0,
            logging_first_step: false,
            report_to: ReportTo::None,
            logging_dir: None,
            run_name: None,
            eval_strategy: IntervalStrategy::No,
            eval_steps: None,
            eval_delay: 0.0,
            eval_on_start: false,
            save_strategy: IntervalStrategy::Steps,
            save_steps: 500.0,
            save_total_limit: None,
            load_best_model_at_end: false,
            disable_tqdm: None,
            metric_for_best_model: None,
            greater_is_better: None,
            early_stopping_patience: None,
            early_stopping_threshold: 0.0,
            seed: 42,
            data_seed: None,
            dataloader_drop_last: false,
            train_sampling_strategy: SamplingStrategy::Random,
        }
    }
}
