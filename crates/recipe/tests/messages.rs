//! Messages: an English text that keeps its template and its arguments.

use lorelei_recipe::{Message, Recipe, filled, hints, message};

fn chinese(template: &str) -> Option<&'static str> {
    Some(match template {
        "{name} takes {values}, not {found}" => "{name} 的取值是{values}，而不是{found}",
        "an integer, {min} to {max}" => "{min} 到 {max} 的整数",
        "the string {text}" => "字符串 {text}",
        "{place}: {message}" => "{place}：{message}",
        "{message}; {help}" => "{message}；{help}",
        "unknown key {key} in [{table}]" => "[{table}] 中没有 {key}",
        "did you mean {near}?" => "是否指 {near}？",
        _ => return None,
    })
}

#[test]
fn a_message_is_its_english_text() {
    let (most, word) = (3, "a \"b\"");
    let message = message!("{word} has more than {most} letters, {most}", ?word, most);
    assert_eq!(message, "\"a \\\"b\\\"\" has more than 3 letters, 3");
    assert_eq!(format!("{message}"), message.as_str());
    assert!(message.contains("3 letters"));
    assert_eq!(message.template(), Some("{word} has more than {most} letters, {most}"));
    assert_eq!(message.argument("most").map(Message::as_str), Some("3"));
    assert_eq!(message!("an object { ... } is expected"), "an object { ... } is expected");
}

#[test]
fn a_string_has_no_template() {
    for text in ["{word}", "", "did you mean {near}?"] {
        let message = Message::from(text);
        assert_eq!((message.template(), message.as_str()), (None, text));
        assert_eq!(message.translated(&chinese), text);
    }
}

#[test]
fn what_is_filled_in_is_not_searched() {
    let value = |name: &str| ["a", "b"].contains(&name).then(|| format!("{{b}}{name}").into());
    assert_eq!(filled("{a} {unknown} { {b}", value), "{b}a {unknown} { {b}b");
    assert_eq!(message!("{a}{b}", a = "{b}", b = "{a}"), "{b}{a}");
}

#[test]
fn a_message_is_said_in_another_language_with_its_parts() {
    let mut recipe = Recipe::default();
    let error = recipe.set("lora.r=big").unwrap_err();
    assert_eq!(error.to_string(), "--set lora.r=big: r takes an integer, 1 to 4096, not the string \"big\"");
    let said = error.to_message().translated(&chinese);
    assert_eq!(said, "--set lora.r=big：r 的取值是1 到 4096 的整数，而不是字符串 \"big\"");
    let error = Recipe::from_toml("[lora]\nlora_aplha = 8", "a.toml").unwrap_err();
    let said = error.to_message().translated(&chinese);
    assert_eq!(said, "a.toml:2:1：[lora] 中没有 \"lora_aplha\"；是否指 \"lora_alpha\"？");
    assert_eq!(error.explanation().translated(&|_| None), error.explanation().as_str());
}

#[test]
fn a_message_crosses_a_boundary_whole() {
    let mut recipe = Recipe::default();
    recipe.lora.lora_dropout = 0.5;
    let error = recipe.set("lora.r={\"a\" = 1}").unwrap_err();
    let messages = [error.to_message(), hints(&recipe, None).remove(0).message, "plain {a}".into()];
    for message in messages {
        let json = serde_json::to_string(&message).unwrap();
        let back: Message = serde_json::from_str(&json).unwrap();
        assert_eq!(back, message, "{json}");
        assert_eq!(back.template(), message.template());
    }
    let plain = serde_json::to_string(&Message::from("a")).unwrap();
    assert_eq!(plain, "\"a\"");
    let filled = serde_json::to_string(&message!("{a} b", a = 1)).unwrap();
    assert_eq!(filled, r#"{"template":"{a} b","arguments":{"a":"1"}}"#);
}

#[test]
fn a_message_is_no_larger_than_a_string() {
    // Errors have several, and are passed on as results.
    assert_eq!(size_of::<Message>(), size_of::<String>());
    assert_eq!(size_of::<Option<Message>>(), size_of::<String>());
}

#[test]
fn long_values_are_cut_between_characters() {
    let inner = message!("the string {text}", text = "é".repeat(50));
    let message = message!("{name} takes {values}, not {found}", name = "r", values = "é", found = inner);
    let cut = message.clone().cut_at(10);
    assert_eq!(cut, format!("r takes é, not the string {}…", "é".repeat(10)).as_str());
    assert_eq!(cut.template(), message.template());
    assert_eq!(message.clone().cut_at(50), message);
}
