//! `[training]`: Transformers' `TrainingArguments`, as far as Lorelei has them.

use crate::kind::{BELOW_ONE, Kind, MAX_INTEGER, NOT_NEGATIVE, POSITIVE, SHARE};
use crate::number::{is_false, is_zero, whole, whole_option};
use crate::setting::settings;
use crate::{
    FinetuningType, IntervalStrategy, LrSchedulerKwargs, LrSchedulerType, OptimizerNames, ReportTo,
    SamplingStrategy,
};

const BATCH: Kind = Kind::Int { min: 1, max: 1 << 20 };
const SEED: Kind = Kind::Int { min: 0, max: MAX_INTEGER };
settings! {
    /// How to train. Every name and default is Transformers'; `finetuning_type`,
    /// `loraplus_lr_ratio` and `early_stopping_*` are the only additions. A `*_steps` below 1
    /// is a share of all optimizer steps.
    pub struct TrainingArguments in Training {
        /// Folder of the checkpoints and of the adapter.
        output_dir: String = "trainer_output" => Kind::Text
            .zh("存放检查点和适配器的文件夹。")
            .ignored_by_page(
                "checkpoints stay in the browser's storage, and the adapter is downloaded",
                "检查点保存在浏览器存储中，适配器以下载方式取得",
            )
            .free_on_resume();
        /// Train an adapter, or every weight.
        finetuning_type: FinetuningType = FinetuningType::Lora => FinetuningType::KIND
            .zh("训练适配器，或训练全部权重。")
            .ours()
            .refused_by_page("the page trains adapters only", "网页只训练适配器");
        /// Highest learning rate of the schedule.
        learning_rate: f64 = 5e-5 => Kind::Number(NOT_NEGATIVE)
            .zh("学习率的最高值。")
            .advice(
                "LoRA wants ten times what full fine-tuning does: 1e-4 to 5e-4. If the loss jumps, halve it.",
                "LoRA 需要全量微调的十倍左右：1e-4 到 5e-4。若损失跳动，减半。",
            )
            .shown_first();
        /// Passes over the data; decimals are a part of the last pass.
        num_train_epochs: f64 = 3.0 => Kind::Number(POSITIVE)
            .zh("遍历数据的轮数；小数表示最后一轮只进行一部分。")
            .advice("1 to 3. More learns small data by heart.", "1 到 3。更多会死记小数据。")
            .shown_first();
        /// Optimizer steps; a positive value overrides `num_train_epochs`.
        max_steps: i64 = (-1) => Kind::Int { min: -1, max: MAX_INTEGER }
            .zh("优化步数；为正时取代 num_train_epochs。")
            .advice("Wins over `num_train_epochs` when it is positive.", "为正时优先于 num_train_epochs。")
            .shown_first();
        /// Examples in a micro-batch.
        per_device_train_batch_size: usize = 8 => BATCH
            .zh("一个微批次的样本数。")
            .advice(
                "As many as fit into memory. The effective batch is this times `gradient_accumulation_steps`.",
                "内存能容纳多少就用多少。有效批大小是它乘以 gradient_accumulation_steps。",
            )
            .shown_first();
        /// Micro-batches in an optimizer step.
        gradient_accumulation_steps: usize = 1 => BATCH
            .zh("每个优化步的微批次数。")
            .advice(
                "Raises the effective batch without memory. 8 to 32 rows a step suit most data.",
                "不占内存即可增大有效批大小。每步 8 到 32 行适合大多数数据。",
            )
            .shown_first();
        /// Examples in a batch of an evaluation.
        per_device_eval_batch_size: usize = 8 => BATCH.zh("验证时一个批次的样本数。").free_on_resume();
        /// Course of the learning rate.
        lr_scheduler_type: LrSchedulerType = LrSchedulerType::Linear => LrSchedulerType::KIND
            .zh("学习率的变化方式。")
            .advice(
                "`cosine` or `linear`; `constant_with_warmup` to go on later.",
                "cosine 或 linear；之后还要继续训练则用 constant_with_warmup。",
            )
            .shown_first();
        /// Further settings of the schedule.
        #[serde(skip_serializing_if = "LrSchedulerKwargs::is_empty")]
        lr_scheduler_kwargs: LrSchedulerKwargs = {} => Kind::SchedulerKwargs
            .zh("学习率变化方式的其他设置。")
            .upstream("null");
        /// Warm-up in optimizer steps; below 1, a share of all steps. Wins over `warmup_ratio`.
        #[serde(serialize_with = "whole")]
        warmup_steps: f64 = 0 => Kind::Number(NOT_NEGATIVE)
            .zh("预热的步数；小于 1 时为占总步数的比例。优先于 warmup_ratio。")
            .advice(
                "A tenth of all steps: write 0.1, or the number of steps. Wins over `warmup_ratio`.",
                "总步数的十分之一：写 0.1 或步数。优先于 warmup_ratio。",
            );
        /// Warm-up as a share of all steps, as it was said before Transformers 5; `warmup_steps` wins.
        warmup_ratio: f64 = 0.0 => Kind::Number(SHARE)
            .zh("预热占总步数的比例（Transformers 5 之前的写法）；warmup_steps 优先。")
            .advice("0.1, a tenth of all steps.", "0.1，即总步数的十分之一。")
            .upstream("0.0, removed in 5")
            .shown_first();
        /// The optimizer.
        optim: OptimizerNames = OptimizerNames::AdamwTorchFused => OptimizerNames::KIND.zh("优化器。");
        /// Weight decay, not of biases and norms: decoupled, but for `sgd`.
        weight_decay: f64 = 0.0 => Kind::Number(NOT_NEGATIVE)
            .zh("权重衰减，不作用于偏置和归一化层；除 sgd 外均为解耦形式。")
            .advice("0 to 0.01: an adapter is small already.", "0 到 0.01：适配器本来就小。");
        /// Decay of the first moment in AdamW and Lion.
        adam_beta1: f64 = 0.9 => Kind::Number(BELOW_ONE).zh("AdamW 和 Lion 中一阶矩的衰减率。");
        /// Decay of the second moment in AdamW, of the first in Lion.
        adam_beta2: f64 = 0.999 => Kind::Number(BELOW_ONE).zh("AdamW 中二阶矩、Lion 中一阶矩的衰减率。");
        /// AdamW's epsilon.
        adam_epsilon: f64 = 1e-8 => Kind::Number(POSITIVE).zh("AdamW 的 epsilon。");
        /// Global gradient norm above which gradients are scaled down; 0 does not clip.
        max_grad_norm: f64 = 1.0 => Kind::Number(NOT_NEGATIVE)
            .zh("梯度的全局范数超过此值时按比例缩小；0 表示不裁剪。")
            .advice(
                "1.0 keeps one odd batch from spoiling the run. 0 does not clip.",
                "1.0 可避免个别异常批次毁掉训练；0 表示不裁剪。",
            );
        /// Share of a target's probability that is spread over the whole vocabulary.
        #[serde(skip_serializing_if = "is_zero")]
        label_smoothing_factor: f64 = 0.0 => Kind::Number(BELOW_ONE).zh("目标概率中分摊到整个词表的份额。");
        /// Strength of NEFTune's noise on the embeddings in training.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
        neftune_noise_alpha: Option<f64> = None => Kind::Number(NOT_NEGATIVE)
            .zh("NEFTune：训练时加在嵌入上的噪声强度。");
        /// LoRA+: what the learning rate of `B` is multiplied by (LLaMA-Factory's name; PEFT's `create_loraplus_optimizer`).
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
        loraplus_lr_ratio: Option<f64> = None => Kind::Number(POSITIVE)
            .zh("LoRA+：B 的学习率乘以此数（LLaMA-Factory 的名称；即 PEFT 的 create_loraplus_optimizer）。")
            .ours();
        /// float16 mixed precision: the base and what flows through it in half floats, the adapter in float32.
        fp16: bool = false => Kind::Bool.zh("float16 混合精度：基础模型及其激活值用半精度，适配器用 float32。");
        /// bfloat16 mixed precision, on devices that have it.
        bf16: bool = false => Kind::Bool.zh("bfloat16 混合精度，仅限支持它的设备。");
        /// Recompute activations in the backward pass, a layer at a time (`activation_checkpointing` since Transformers 5).
        gradient_checkpointing: bool = false => Kind::Bool
            .zh("反向传播时逐层重新计算激活值（Transformers 5 起称 activation_checkpointing）。")
            .advice(
                "On where memory is short: the activations of one layer instead of all, for about a third more time.",
                "内存不够时开启：只保留一层的激活值，时间约多三分之一。",
            )
            .free_on_resume();
        /// When to report the loss.
        logging_strategy: IntervalStrategy = IntervalStrategy::Steps => IntervalStrategy::KIND.zh("何时报告损失。").free_on_resume();
        /// Optimizer steps between two reports; below 1, a share of all steps.
        #[serde(serialize_with = "whole")]
        logging_steps: f64 = 500 => Kind::Number(NOT_NEGATIVE)
            .zh("两次报告之间的优化步数；小于 1 时为占总步数的比例。")
            .advice("1 for short runs. Each report waits for the device.", "短训练用 1。每次报告都要等待设备。")
            .shown_first()
            .free_on_resume();
        /// Whether to report step 1 as well.
        logging_first_step: bool = false => Kind::Bool.zh("是否也报告第 1 步。").free_on_resume();
        /// Trackers to report to; the log is a file in any case.
        #[serde(skip_serializing_if = "ReportTo::is_none")]
        report_to: ReportTo = ReportTo::None => ReportTo::KIND
            .zh("向谁报告；日志始终写入文件。")
            .ignored_by_page("a page has no folder for TensorBoard's files; its log can be downloaded", "网页没有存放 TensorBoard 文件的文件夹；日志可以下载")
            .free_on_resume();
        /// Folder of TensorBoard's files; absent, `runs` in `output_dir`.
        #[serde(skip_serializing_if = "Option::is_none")]
        logging_dir: Option<String> = None => Kind::Text
            .zh("TensorBoard 文件的文件夹；留空为 output_dir 中的 runs。")
            .upstream("null, removed in 5")
            .ignored_by_page("a page has no folder for TensorBoard's files", "网页没有存放 TensorBoard 文件的文件夹")
            .free_on_resume();
        /// Name of the run: of its folder of TensorBoard's files.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_name: Option<String> = None => Kind::Text
            .zh("运行的名称：其 TensorBoard 文件所在的文件夹。")
            .ignored_by_page("a page has no folder for TensorBoard's files", "网页没有存放 TensorBoard 文件的文件夹")
            .free_on_resume();
        /// No progress bar: a line a report.
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_tqdm: Option<bool> = None => Kind::Bool
            .zh("不显示进度条：每次报告一行。")
            .ignored_by_page("a page has curves and a log", "网页显示曲线和日志")
            .unless(&["true", "false"])
            .free_on_resume();
        /// When to evaluate.
        eval_strategy: IntervalStrategy = IntervalStrategy::No => IntervalStrategy::KIND.zh("何时验证。").shown_first().free_on_resume();
        /// Optimizer steps between two evaluations; absent, `logging_steps`.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_option")]
        eval_steps: Option<f64> = None => Kind::Number(NOT_NEGATIVE)
            .zh("两次验证之间的优化步数；留空同 logging_steps。")
            .shown_first()
            .free_on_resume();
        /// Steps, or with `eval_strategy = "epoch"` epochs, before the first evaluation.
        #[serde(skip_serializing_if = "is_zero", serialize_with = "whole")]
        eval_delay: f64 = 0 => Kind::Number(NOT_NEGATIVE)
            .zh("第一次验证之前的步数；eval_strategy 为 epoch 时为轮数。")
            .free_on_resume();
        /// Whether to evaluate before the first step.
        #[serde(skip_serializing_if = "is_false")]
        eval_on_start: bool = false => Kind::Bool.zh("是否在第一步之前验证一次。").free_on_resume();
        /// When to save a checkpoint.
        save_strategy: IntervalStrategy = IntervalStrategy::Steps => IntervalStrategy::KIND_OF_SAVES.zh("何时保存检查点。").free_on_resume();
        /// Optimizer steps between two checkpoints; below 1, a share of all steps.
        #[serde(serialize_with = "whole")]
        save_steps: f64 = 500 => Kind::Number(NOT_NEGATIVE)
            .zh("两个检查点之间的优化步数；小于 1 时为占总步数的比例。")
            .advice(
                "How much you can bear to lose. Each checkpoint is three times the adapter.",
                "取决于你能承受丢失多少。每个检查点是适配器的三倍大。",
            )
            .shown_first()
            .free_on_resume();
        /// Checkpoints to keep; absent or 0 keeps all.
        #[serde(skip_serializing_if = "Option::is_none")]
        save_total_limit: Option<usize> = None => Kind::Int { min: 0, max: 1 << 31 }
            .zh("保留的检查点数；留空或 0 则全部保留。")
            .ignored_by_page("the browser's storage holds one checkpoint, the newest", "浏览器存储只保留最新的一个检查点")
            .unless(&["1"])
            .free_on_resume();
        /// Go back to the best checkpoint at the end.
        #[serde(skip_serializing_if = "is_false")]
        load_best_model_at_end: bool = false => Kind::Bool.zh("结束时回到最好的检查点。").free_on_resume();
        /// What best means: a metric of the run's evaluations, with `eval_` before it or without; absent, the loss. Accuracy and F1 are a
        /// classifier's.
        #[serde(skip_serializing_if = "Option::is_none")]
        metric_for_best_model: Option<String> = None => Kind::Text
            .zh("何为最好：验证所得的某个指标，可带前缀 eval_；留空为损失。准确率与 F1 仅限分类模型。");
        /// Whether more of it is better; absent, as the metric has it: less of a loss, more of an accuracy.
        #[serde(skip_serializing_if = "Option::is_none")]
        greater_is_better: Option<bool> = None => Kind::Bool.zh("是否越大越好；留空时按指标而定：损失越小越好，准确率越大越好。");
        /// Evaluations without an improvement after which the run ends; absent, it does not (`EarlyStoppingCallback`).
        #[serde(skip_serializing_if = "Option::is_none")]
        early_stopping_patience: Option<usize> = None => Kind::Int { min: 1, max: MAX_INTEGER }
            .zh("验证连续多少次没有改进就结束；留空则不提前结束（EarlyStoppingCallback）。")
            .ours()
            .free_on_resume();
        /// The least change that is an improvement (`EarlyStoppingCallback`).
        #[serde(skip_serializing_if = "is_zero")]
        early_stopping_threshold: f64 = 0.0 => Kind::Number(NOT_NEGATIVE)
            .zh("变化达到多少才算改进（EarlyStoppingCallback）。")
            .ours()
            .free_on_resume();
        /// Seed of everything random.
        seed: u64 = 42 => SEED
            .zh("一切随机性的种子。")
            .advice(
                "The same seed, data and device give the same adapter.",
                "相同的种子、数据和设备得到相同的适配器。",
            )
            .shown_first();
        /// Seed of the order of the examples; absent, `seed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        data_seed: Option<u64> = None => SEED.zh("样本顺序的种子；留空同 seed。");
        /// Leave out the last micro-batch of an epoch when it is not full.
        dataloader_drop_last: bool = false => Kind::Bool.zh("一轮中最后一个微批次不满时丢弃。");
        /// The order of the examples; `data.shuffle = false` is `"sequential"`.
        train_sampling_strategy: SamplingStrategy = SamplingStrategy::Random => SamplingStrategy::KIND
            .zh("样本的顺序；data.shuffle = false 即 \"sequential\"。")
            .advice(
                "`group_by_length` saves padding where lengths vary and rows are not packed.",
                "长度不一且不打包时，group_by_length 可减少填充。",
            );
        /// Upload the result to a hub at the end of the run, with the token of `HF_TOKEN` or of `hf auth login`.
        #[serde(skip_serializing_if = "is_false")]
        push_to_hub: bool = false => Kind::Bool
            .zh("训练结束时将结果上传到模型库，使用 HF_TOKEN 或 hf auth login 的令牌。")
            .refused_by_page(
                "a page sends no token: download the result, and upload it with `lorelei push`",
                "网页不发送令牌：请下载结果，再用 lorelei push 上传",
            )
            .free_on_resume();
        /// The repository to upload to, `owner/name`, or `name` under the token's account; absent, the name of `output_dir`.
        #[serde(skip_serializing_if = "Option::is_none")]
        hub_model_id: Option<String> = None => Kind::Text
            .zh("上传到的仓库：owner/name，或令牌账户下的 name；留空则用 output_dir 的名称。")
            .ignored_by_page("nothing is uploaded from a page", "网页不上传任何内容")
            .free_on_resume();
        /// Whether a repository that the upload creates is private; absent, as the account has it. With `true`, nothing is uploaded to a public one.
        #[serde(skip_serializing_if = "Option::is_none")]
        hub_private_repo: Option<bool> = None => Kind::Bool
            .zh("上传时新建的仓库是否私有；留空按账户的设置。为 true 时不会上传到公开仓库。")
            .ignored_by_page("nothing is uploaded from a page", "网页不上传任何内容")
            .free_on_resume();
        /// The branch to upload to; absent, `main`.
        #[serde(skip_serializing_if = "Option::is_none")]
        hub_revision: Option<String> = None => Kind::Text
            .zh("上传到的分支；留空为 main。")
            .ignored_by_page("nothing is uploaded from a page", "网页不上传任何内容")
            .free_on_resume();
    }
}

impl TrainingArguments {
    /// Returns the seed of the order of the examples.
    pub fn shuffle_seed(&self) -> u64 {
        self.data_seed.unwrap_or(self.seed)
    }

    /// Returns the name of the repository to upload to: `hub_model_id`, or the name of `output_dir`.
    pub fn hub_name(&self) -> &str {
        let own = self.hub_model_id.as_deref().filter(|name| !name.is_empty());
        own.unwrap_or_else(|| crate::recipe::last_part(&self.output_dir))
    }

    /// Returns `metric_for_best_model` without its prefix `eval_`; `loss` if it is absent.
    pub fn best_metric(&self) -> &str {
        let name = self.metric_for_best_model.as_deref().unwrap_or("loss");
        name.strip_prefix("eval_").unwrap_or(name)
    }
}
