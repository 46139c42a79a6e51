//! The messages of the crates below in the page's language.

use lorelei_protocol::Failure;
use lorelei_recipe::Message;

use super::chinese;
use super::texts::Language;

/// Returns a message's text.
pub fn said(language: Language, message: &Message) -> String {
    match language {
        Language::English => message.to_string(),
        Language::Chinese => message.translated(&chinese::template),
    }
}

/// Returns the text of a failed request, with its causes.
pub fn failure(language: Language, failure: &Failure) -> String {
    let colon = match language {
        Language::English => ": ",
        Language::Chinese => "：",
    };
    let texts = std::iter::once(&failure.message).chain(&failure.causes);
    texts.map(|message| said(language, message)).collect::<Vec<_>>().join(colon)
}

#[cfg(test)]
mod tests {
    use lorelei_protocol::Notice;
    use lorelei_recipe::{HostKind, Recipe, hints, message};

    use super::*;

    const LANGUAGES: [Language; 2] = Language::ALL;

    #[test]
    fn what_has_no_template_is_said_as_it_is() {
        let unknown = Failure {
            code: "host".into(),
            message: "cannot read {a}".into(),
            causes: vec!["it is not there".into()],
        };
        assert_eq!(failure(Language::English, &unknown), "cannot read {a}: it is not there");
        assert_eq!(failure(Language::Chinese, &unknown), "cannot read {a}：it is not there");
    }

    #[test]
    fn notices_and_failures_are_said_with_their_values_after_they_crossed_over() {
        let (step, metric, count) = (7, "loss", 2);
        let message = message!(
            "stopped at step {step}: eval_{metric} was no better for {count} evaluations",
            step,
            metric,
            count
        );
        let json = serde_json::to_string(&Notice::new("stopped_early", message)).unwrap();
        let back: Notice = serde_json::from_str(&json).unwrap();
        assert_eq!(back.code, "stopped_early");
        assert_eq!(
            LANGUAGES.map(|language| said(language, &back.message)),
            [
                "stopped at step 7: eval_loss was no better for 2 evaluations",
                "在第 7 步停止：eval_loss 已连续 2 次验证没有改进"
            ]
        );
        let place = Failure {
            code: "no_data".into(),
            message: "my-adapter".into(),
            causes: vec![message!(
                "{place} has no {file}: {help}",
                place = message!("the model"),
                file = "tokenizer.json",
                help = message!("add the file")
            )],
        };
        let json = serde_json::to_string(&place).unwrap();
        let back: Failure = serde_json::from_str(&json).unwrap();
        assert_eq!(
            LANGUAGES.map(|language| failure(language, &back)),
            [
                "my-adapter: the model has no tokenizer.json: add the file",
                "my-adapter：模型 缺少 tokenizer.json：请添加该文件"
            ]
        );
    }

    #[test]
    fn a_recipe_s_errors_warnings_and_hints_are_said() {
        let zh = |message: &Message| said(Language::Chinese, message);
        let mut recipe = Recipe::default();
        let wrong =
            |recipe: &mut Recipe, assignment: &str| zh(&recipe.set(assignment).unwrap_err().explanation());
        assert_eq!(wrong(&mut recipe, "lora.r=0"), "r = 0 超出范围：1 <= r <= 4096");
        assert_eq!(wrong(&mut recipe, "lora.use_dora=3"), "use_dora 的值应为：true 或 false；而不是3");
        assert_eq!(
            wrong(&mut recipe, "lora.use_qalora=true"),
            "不支持 use_qalora = true：尚不支持 QALoRA；请去掉它，或保持默认值 false"
        );
        assert_eq!(
            wrong(&mut recipe, "lora.lora_aplha=8"),
            "[lora] 中没有键 \"lora_aplha\"；是否指 \"lora_alpha\"？"
        );
        recipe.training.learning_rate = 0.5;
        let hint =
            hints(&recipe, None).into_iter().find(|hint| hint.key == "training.learning_rate").unwrap();
        assert_eq!(
            zh(&hint.message),
            "对使用 adamw_torch_fused 的 LoRA 来说，5e-1 偏高：通常为 1e-4 到 5e-4"
        );
        recipe.training.save_total_limit = Some(3);
        let warnings = recipe.validate_for(HostKind::Page).unwrap();
        let limit = warnings.iter().find(|warning| warning.key == "training.save_total_limit").unwrap();
        assert_eq!(
            zh(&limit.message),
            "save_total_limit = 3 在网页中不起作用：浏览器存储只保留最新的一个检查点"
        );
        for text in ["[lora]\nr = 8\nr = 9", "r = 8", "[lora]\nlayers_pattern = [\"h\"]", "{"] {
            let error = Recipe::from_toml(text, "a.toml").unwrap_err();
            let said = zh(&error.to_message());
            assert!(said.chars().any(|letter| letter as u32 > 0x2e80), "{said}");
        }
    }
}
