//! What a setting is and what to choose, in the page's language. English is the recipe's own.

use lorelei_recipe::fields::Field;

use super::texts::Language;

/// The lines under a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What it is.
    pub doc: &'static str,
    /// What to choose.
    pub advice: Option<&'static str>,
}

/// The words for a setting.
pub fn of(language: Language, field: &Field) -> Words {
    let path = field.path();
    let doc = match language {
        Language::English => None,
        Language::Chinese => chinese(&path),
    };
    Words { doc: doc.unwrap_or(field.doc), advice: advice(language, &path) }
}

/// What to choose for a setting.
pub fn advice(language: Language, path: &str) -> Option<&'static str> {
    let english = lorelei_recipe::advice(path)?;
    match language {
        Language::English => Some(english),
        Language::Chinese => chinese_advice(path).or(Some(english)),
    }
}

fn chinese(path: &str) -> Option<&'static str> {
    Some(match path {
        "data.validation_split_percentage" => "没有 validation_file 时，留作验证的样本百分比。",
        "data.columns" => "行的各字段对应文件中的哪一列。",
        "data.on_bad_row" => "无法使用的行：停止运行，或跳过并计数。",
        "data.sample_by" => "文本文件中的一行样本：一行、空行之间的一段，或整个文件中的 max_length 个词元。",
        "data.assistant_only_loss" => "对话中是否只学习助手的回合。",
        "data.completion_only_loss" => "提示与补全中是否只学习后者。",
        "data.deduplicate" => "词元相同的行是否只保留第一行。",
        "data.max_length" => "序列的最大长度，以词元计。",
        "data.truncation_side" => "过长的行从哪一侧截断。",
        "data.pad_to_multiple_of" => "批次填充到此数的倍数（以词元计）。",
        "data.shuffle" => "每轮是否打乱样本顺序。",
        "data.packing" => "是否将多个短样本放入同一序列。",
        "lora.r" => "更新矩阵的秩。",
        "lora.lora_alpha" => "缩放系数 alpha / r 的分子。",
        "lora.lora_dropout" => "丢弃 A 的输入的概率。",
        "lora.target_modules" => "添加适配器的模块；留空则用 PEFT 对该架构的默认值。",
        "lora.exclude_modules" => "不添加适配器的模块。",
        "lora.use_rslora" => "按 alpha / sqrt(r) 缩放。",
        "lora.rank_pattern" => "个别模块的秩。",
        "lora.alpha_pattern" => "个别模块的 alpha。",
        "lora.layers_to_transform" => "添加适配器的层。",
        "lora.layers_pattern" => "层号之前的名称。",
        "lora.init_lora_weights" => "A 和 B 的初始化方式。",
        "lora.task_type" => "模型的用途。",
        "lora.bias" => "同时训练哪些偏置。",
        "training.output_dir" => "存放检查点和适配器的文件夹。",
        "training.per_device_train_batch_size" => "一个微批次的样本数。",
        "training.num_train_epochs" => "遍历数据的轮数；小数表示最后一轮只进行一部分。",
        "training.max_steps" => "优化步数；为正时取代 num_train_epochs。",
        "training.learning_rate" => "学习率的最高值。",
        "training.lr_scheduler_type" => "学习率的变化方式。",
        "training.lr_scheduler_kwargs" => "学习率变化方式的其他设置。",
        "training.warmup_steps" => "预热的步数；小于 1 时为占总步数的比例。优先于 warmup_ratio。",
        "training.warmup_ratio" => "预热占总步数的比例；warmup_steps 优先。",
        "training.optim" => "优化器。",
        "training.weight_decay" => "权重衰减，不作用于偏置和归一化层；除 sgd 外均为解耦形式。",
        "training.adam_beta1" => "AdamW 和 Lion 中一阶矩的衰减率。",
        "training.adam_beta2" => "AdamW 中二阶矩、Lion 中一阶矩的衰减率。",
        "training.adam_epsilon" => "AdamW 的 epsilon。",
        "training.gradient_accumulation_steps" => "每个优化步的微批次数。",
        "training.max_grad_norm" => "梯度的全局范数超过此值时按比例缩小；0 表示不裁剪。",
        "training.label_smoothing_factor" => "目标概率中分摊到整个词表的份额。",
        "training.neftune_noise_alpha" => "NEFTune：训练时加在嵌入上的噪声强度。",
        "training.eval_on_start" => "是否在第一步之前验证一次。",
        "training.load_best_model_at_end" => "结束时回到最好的检查点。",
        "training.metric_for_best_model" => "何为最好；留空为损失。准确率与 F1 仅限分类模型。",
        "training.greater_is_better" => "是否越大越好；留空时，损失越小越好。",
        "training.loraplus_lr_ratio" => "LoRA+：B 的学习率乘以此数。",
        "training.early_stopping_patience" => "验证连续多少次没有改进就结束（EarlyStoppingCallback）。",
        "training.early_stopping_threshold" => "变化达到多少才算改进（EarlyStoppingCallback）。",
        "training.report_to" => "向谁报告：none，或写 TensorBoard 文件的 tensorboard。",
        "training.logging_dir" => "TensorBoard 文件的文件夹；留空为 output_dir 中的 runs。",
        "training.run_name" => "运行的名称：其 TensorBoard 文件所在的文件夹。",
        "lora.use_dora" => "权重分解的适配（DoRA）。",
        "lora.lora_bias" => "B 是否有偏置。",
        "lora.modules_to_save" => "整体训练并随适配器保存的模块。",
        "lora.trainable_token_indices" => "训练哪些词元的嵌入。",
        "training.eval_delay" => "第一次验证之前的步数；eval_strategy 为 epoch 时为轮数。",
        "training.disable_tqdm" => "不显示进度条：每次报告一行。",
        "training.fp16" => "float16 混合精度：基础模型及其激活值用半精度，适配器用 float32。",
        "training.bf16" => "bfloat16 混合精度，仅限支持它的设备。",
        "training.gradient_checkpointing" => "反向传播时逐层重新计算激活值。",
        "training.logging_strategy" => "何时报告损失。",
        "training.logging_steps" => "两次报告之间的优化步数；小于 1 时为占总步数的比例。",
        "training.logging_first_step" => "是否也报告第 1 步。",
        "training.eval_strategy" => "何时验证。",
        "training.eval_steps" => "两次验证之间的优化步数；留空同 logging_steps。",
        "training.per_device_eval_batch_size" => "验证时一个批次的样本数。",
        "training.save_strategy" => "何时保存检查点。",
        "training.save_steps" => "两个检查点之间的优化步数；小于 1 时为占总步数的比例。",
        "training.save_total_limit" => "保留的检查点数；留空或 0 则全部保留。",
        "training.seed" => "一切随机性的种子。",
        "training.data_seed" => "样本顺序的种子；留空同 seed。",
        "training.train_sampling_strategy" => "样本的顺序；data.shuffle = false 即 \"sequential\"。",
        "training.dataloader_drop_last" => "一轮中最后一个微批次不满时丢弃。",
        _ => return None,
    })
}

fn chinese_advice(path: &str) -> Option<&'static str> {
    Some(match path {
        "model.model_name_or_path" => "用于对话时，从指令模型开始：它已学会模板和结束词元。",
        "data.on_bad_row" => "先用 error：它会指出问题所在。已知杂乱的数据可用 skip。",
        "data.truncation_side" => "最后的回答最重要的长对话用 left；否则用 right。",
        "data.pad_to_multiple_of" => "长度不一时，8、16 或 64 在 GPU 上可能更快。",
        "data.max_length" => "取能容纳大多数行的最短长度：内存和时间随之增长，被截断的部分不参与学习。",
        "data.validation_split_percentage" => {
            "5 到 10。若留出行的损失上升而训练损失下降，应停止：适配器在死记硬背。"
        }
        "data.packing" => "短行多时开启：填充与词元的代价相同。各行互不可见。",
        "lora.r" => "风格或格式用 8 到 16，新知识用 32 到 64。秩加倍，适配器也加倍。",
        "lora.lora_alpha" => "r 的 2 到 4 倍。更新按 alpha / r 缩放，只改 r 会改变其强度。",
        "lora.lora_dropout" => "几百行用 0.05 到 0.1；行数多时用 0，也最快。",
        "lora.target_modules" => "\"all-linear\" 在同样大小下学得最多；q_proj 和 v_proj 是可行的最小选择。",
        "lora.use_rslora" => "秩为 32 及以上时开启：alpha / sqrt(r) 使高秩不至于学得太少。",
        "training.per_device_train_batch_size" => {
            "内存能容纳多少就用多少。有效批大小是它乘以 gradient_accumulation_steps。"
        }
        "training.gradient_accumulation_steps" => {
            "不占内存即可增大有效批大小。每步 8 到 32 行适合大多数数据。"
        }
        "training.learning_rate" => "LoRA 需要全量微调的十倍左右：1e-4 到 5e-4。若损失跳动，减半。",
        "training.num_train_epochs" => "1 到 3。更多会死记小数据。",
        "training.max_steps" => "为正时优先于 num_train_epochs。",
        "training.warmup_steps" => "总步数的十分之一：写 0.1 或步数。优先于 warmup_ratio。",
        "training.warmup_ratio" => "0.1，即总步数的十分之一。",
        "training.lr_scheduler_type" => "cosine 或 linear；之后还要继续训练则用 constant_with_warmup。",
        "training.weight_decay" => "0 到 0.01：适配器本来就小。",
        "training.gradient_checkpointing" => "内存不够时开启：只保留一层的激活值，时间约多三分之一。",
        "training.max_grad_norm" => "1.0 可避免个别异常批次毁掉训练；0 表示不裁剪。",
        "training.logging_steps" => "短训练用 1。每次报告都要等待设备。",
        "training.save_steps" => "取决于你能承受丢失多少。每个检查点是适配器的三倍大。",
        "training.train_sampling_strategy" => "长度不一且不打包时，group_by_length 可减少填充。",
        "training.seed" => "相同的种子、数据和设备得到相同的适配器。",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::layout::all_shown;

    #[test]
    fn every_setting_is_explained_in_every_language() {
        for field in all_shown() {
            assert!(chinese(&field.path()).is_some(), "{}", field.path());
            assert_eq!(of(Language::English, field).doc, field.doc);
            let advised = lorelei_recipe::advice(&field.path()).is_some();
            assert_eq!(chinese_advice(&field.path()).is_some(), advised, "{}", field.path());
        }
    }
}
