//! Chat templates of real models, as Transformers renders them.

use lorelei_export::recognise_template;

#[test]
fn the_usual_templates_are_recognised_and_others_are_not() {
    let table: serde_json::Value = serde_json::from_str(include_str!("fixtures/chat_probes.json")).unwrap();
    for (name, family) in [
        ("smollm2", Some("ChatML")),
        ("qwen2_5", Some("ChatML")),
        ("qwen3", Some("ChatML")),
        ("llama3", Some("Llama 3")),
        ("gemma2", Some("Gemma without a system's text")),
        ("gemma3", Some("Gemma")),
        ("phi3", Some("Phi-3")),
        ("phi3_5", Some("Phi-3")),
        ("zephyr", Some("Zephyr")),
        ("glm4", Some("GLM-4 without a line's end")),
        // Its system says today's date.
        ("llama3_2", None),
        ("gptoss", None),
        ("deepseek_r1_distill", None),
        ("qwen3_5_think", None),
    ] {
        let texts = &table[name];
        let found = recognise_template(|turns| {
            let at = match (turns.len(), turns[0].0) {
                (1, _) => 0,
                (3, _) => 1,
                (2, _) => 2,
                _ => 3,
            };
            texts[at].as_str().map(str::to_owned)
        });
        assert_eq!(found.as_ref().map(|found| found.family), family, "{name}");
        if name == "qwen2_5" || name == "smollm2" {
            // The words that the model is told where a conversation has none.
            let template = found.unwrap().template;
            assert!(template.starts_with("{{- if not .System }}<|im_start|>system\nYou are "), "{template}");
        }
    }
}
