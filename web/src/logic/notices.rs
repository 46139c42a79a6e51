//! The trainer's messages in the page's language: the text for a message's code where there is one, else the trainer's own text.

use std::collections::BTreeMap;

use lorelei_protocol::{Failure, Notice};

use super::texts::Language;

/// Returns the message of a failed request, with its causes.
pub fn failure(language: Language, failure: &Failure) -> String {
    let Failure { code, arguments, message, causes } = failure;
    let message = words(language, code, arguments).unwrap_or_else(|| message.clone());
    causes.iter().fold(message, |line, cause| format!("{line}: {cause}"))
}

/// Returns the message of a notice: a fact that the user may not expect.
pub fn notice(language: Language, notice: &Notice) -> String {
    words(language, &notice.code, &notice.arguments).unwrap_or_else(|| notice.message.clone())
}

/// Returns the text for a code with its arguments filled in, or `None` in the trainer's own language.
fn words(language: Language, code: &str, arguments: &BTreeMap<String, String>) -> Option<String> {
    let words = match language {
        Language::English => return None,
        Language::Chinese => chinese(code)?,
    };
    let put_in =
        |words: String, (name, value): (&String, &String)| words.replace(&format!("{{{name}}}"), value);
    Some(arguments.iter().fold(words.to_owned(), put_in))
}

fn chinese(code: &str) -> Option<&'static str> {
    Some(match code {
        "no_model" => "请先加载模型",
        "no_data" => "没有可用于训练的数据：请选择数据，并修正有误的行",
        "no_adapter" => "还没有适配器：请先训练一个",
        "no_checkpoint" => "没有可以继续的运行",
        "no_run" => "当前没有正在进行的运行",
        "run_goes_on" => "正在训练：请先停止，或等待其结束",
        "trained_elsewhere" => "此页面的另一个标签页正在训练：请在那里停止，或等待其结束",
        "other_task" => "数据是为另一个 lora.task_type 读取的：请等待重新读取",
        "other_labels" => {
            "{checkpoint} 训练的类别是 {before}，而现在数据的类别是 {now}：请使用它自己的数据，或重新开始"
        }
        "other_adapter" => {
            "{checkpoint} 的适配器 {setting} = {before}，而训练方案为 {now}：请使用当时的方案，或重新开始"
        }
        "other_run" => "{checkpoint} 属于另一次训练：{differences}。请使用开始时的训练方案与样本，或重新开始",
        "unknown_run" => {
            "{checkpoint} 没有 manifest.json：无法确认其文件是否保持原样，以及它是否属于当前的训练方案与样本"
        }
        "changed_run" => "{what}：在 {checkpoint} 中为 {before}，此后为 {now}",
        "no_gradient" => {
            "什么也没有学到：每个记录的步骤梯度都是 0。样本中有可学的内容吗？适配器（lora.target_modules）是否作用于样本所训练的部分？"
        }
        "loss_of_a_guess" => {
            "什么也没有学到：损失从未低于 {loss}，即在所有可能中随意猜测的损失。基础模型是训练过的吗？分词器与样本是为它准备的吗？training.learning_rate 足够大吗？"
        }
        "nothing_to_evaluate" => {
            "training.eval_strategy 要求验证，但没有验证样本：请指定 data.validation_file 或 data.validation_split_percentage"
        }
        "unknown_labels" => "{checkpoint} 没有 labels.json：无法确认其类别与数据的类别及顺序相同",
        "missing_file" => "{place} 缺少 {file}：请添加该文件",
        "writes_no_text" => "该模型不生成文本：请先训练它进行分类",
        "diverged" => {
            "第 {step} 步 {what} 为 {value}：训练已发散；最后一个检查点之后没有保存。请降低 learning_rate（LoRA 适合 1e-4 到 5e-4），延长预热，或将 max_grad_norm 保持为 1.0"
        }
        "device_failed" => "设备失败：{reason}",
        "device" => "设备在第 {step} 步失败：{reason}",
        "unmatched" => "{setting} 中的 {name} 没有匹配到模型的任何模块",
        "unknown_adapter_setting" => {
            "适配器的设置 {setting} 无法识别，已忽略：在支持它的程序中，适配器的结果可能不同"
        }
        "unused_tensors" => "检查点中有 {count} 个张量未使用：{names}",
        "no_end_token" => {
            "模型没有结束符：分词器文件、generation_config.json 与 config.json 都没有指定词表中的结束符。文本样本不会教模型在哪里结束；请在 tokenizer_config.json 中设置 eos_token"
        }
        "stopped_early" => "在第 {step} 步停止：eval_{metric} 已连续 {count} 次验证没有改进",
        "best_loaded" => "最好的是第 {step} 步的 eval_{metric} {value}：所学内容取自 {checkpoint}",
        "best_was_not_saved" => {
            "最好的是第 {step} 步的 eval_{metric} {value}，其后没有保存检查点；所学内容取自 {checkpoint}，即已保存的最好的一个"
        }
        "checkpoint_not_kept" => "第 {step} 步的检查点未能保存：{reason}。训练继续进行",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_words_and_what_has_none_is_said_as_it_is() {
        let stopped =
            Notice::new("stopped_early", "stopped").with("step", 7).with("metric", "loss").with("count", 2);
        assert_eq!(notice(Language::English, &stopped), "stopped");
        assert_eq!(notice(Language::Chinese, &stopped), "在第 7 步停止：eval_loss 已连续 2 次验证没有改进");
        let unknown = Failure {
            code: "host".into(),
            message: "cannot read a".into(),
            causes: vec!["it is not there".into()],
            ..Failure::default()
        };
        for language in [Language::English, Language::Chinese] {
            assert_eq!(failure(language, &unknown), "cannot read a: it is not there");
        }
    }
}
