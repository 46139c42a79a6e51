//! Tests renderings against those of Transformers' own Jinja.

mod common;

use common::{SMOLLM2, assistant, message, tokenizer, user};
use lorelei_data::{DataErrorKind, Message, Tokenizer};

const CONFIG: &str = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
const LLAMA: &str = include_str!("fixtures/llama3_like.jinja");
const NAMESPACE: &str = include_str!("fixtures/namespace.jinja");
/// 2024-07-26.
const NOW: i64 = 1_721_995_509;

fn with(template: &str) -> Tokenizer {
    tokenizer(CONFIG, Some(template)).with_now(NOW)
}

fn render(template: &str, messages: &[Message], prompt: bool) -> String {
    with(template).apply_chat_template(messages, prompt).unwrap()
}

fn failure(template: &str, messages: &[Message]) -> String {
    let error = with(template).apply_chat_template(messages, false).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::Template);
    error.to_string()
}

#[test]
fn smollm2_without_a_system_message() {
    let expected = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
                    <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(render(SMOLLM2, &[user("Hi")], true), expected);
    assert_eq!(
        render(SMOLLM2, &[user("Hi"), assistant("Hello!")], false),
        format!("{expected}Hello!<|im_end|>\n")
    );
}

#[test]
fn smollm2_with_a_system_message() {
    assert_eq!(
        render(SMOLLM2, &[message("system", "Be brief."), user("Hi")], true),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn llama3_like() {
    assert_eq!(
        render(LLAMA, &[user("Hi")], true),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(
        render(
            LLAMA,
            &[message("system", "  Be <kind> & 'brief'.\n"), user(" Hi\n"), assistant("Hello!")],
            false
        ),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\nBe <kind> & 'brief'.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
    );
}

#[test]
fn namespaces_loops_python_methods_and_tojson() {
    let messages = [message("system", "é \"q\" <b> & 'x'\n"), user(" x </think>Hi"), assistant(" Hello ")];
    assert_eq!(
        render(NAMESPACE, &messages, false),
        "[INST] \"é \\\"q\\\" <b> & 'x'\\n\" Hi [/INST]\nHello</s>\n\
         {\"role\": \"assistant\", \"content\": \" Hello \"}\nn=2"
    );
}

#[test]
fn raise_exception_names_the_line_and_its_own_words() {
    let text = failure(NAMESPACE, &[user("a"), user("b")]);
    assert!(text.contains("line 8") && text.contains("Roles must alternate, not user"), "{text}");
}

#[test]
fn errors_name_the_line() {
    let text = failure("one\n{% if %}\n", &[user("a")]);
    assert!(text.contains("line 2"), "{text}");
    let text = failure("one\ntwo\n{{ messages[0].nothing.more }}", &[user("a")]);
    assert!(text.contains("line 3"), "{text}");
}

#[test]
fn endless_templates_are_stopped() {
    let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}";
    assert!(failure(nested, &[user("a")]).contains("too long"));
    assert!(failure("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", &[user("a")]).contains("template"));
}

#[test]
fn a_bad_template_hurts_only_those_who_render() {
    let tokenizer = with("{% if %}");
    assert!(!tokenizer.encode("the", false).unwrap().is_empty());
    assert!(tokenizer.apply_chat_template(&[user("a")], false).is_err());
}

#[test]
fn generation_marks_are_passed_over() {
    let template =
        "{%- for m in messages -%}{% generation %}{{ m.content }}{% endgeneration %}{%- endfor -%}";
    assert_eq!(render(template, &[user("a"), assistant("b")], false), "ab");
}

#[test]
fn default_is_chatml() {
    let plain = tokenizer(r#"{"eos_token": "<|im_end|>"}"#, None);
    assert!(plain.uses_default_template());
    assert_eq!(
        plain.apply_chat_template(&[message("system", "S"), user("U\n"), assistant("A")], true).unwrap(),
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU\n<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n\
         <|im_start|>assistant\n"
    );
    let begins = tokenizer(r#"{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true}"#, None);
    assert_eq!(begins.apply_chat_template(&[user("U")], false).unwrap(), "<s><|im_start|>user\nU</s>\n");
}
