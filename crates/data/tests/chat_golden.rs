//! Chat templates of real models, rendered as Transformers renders them (`tests/reference/chat_templates.py`).

use std::collections::BTreeMap;
use std::path::Path;

use lorelei_data::{
    Conversation, Encoder, Example, Message, Row, Tokenizer, read_rows, train_byte_level_bpe,
};
use lorelei_recipe::DataSection;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Golden {
    cases: BTreeMap<String, Case>,
    renderings: Vec<Rendering>,
}

#[derive(Clone, Deserialize)]
struct Case {
    messages: Vec<Map<String, Value>>,
    tools: Option<Value>,
    #[serde(default)]
    add_generation_prompt: bool,
    enable_thinking: Option<bool>,
}

#[derive(Deserialize)]
struct Rendering {
    template: String,
    case: String,
    text: Option<String>,
    generated: Option<Vec<String>>,
    error: Option<String>,
}

impl Case {
    fn conversation(&self) -> Conversation {
        let message = |fields: &Map<String, Value>| {
            let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
            let mut message = Message::new(text("role"), text("content"));
            message.content_is_none = fields["content"].is_null();
            message.fields = fields.clone();
            message.fields.remove("role");
            message.fields.remove("content");
            message
        };
        let variables = self.enable_thinking.map(|value| ("enable_thinking".to_owned(), json!(value)));
        Conversation {
            messages: self.messages.iter().map(message).collect(),
            given: 0,
            tools: self.tools.clone(),
            variables: variables.into_iter().collect(),
        }
    }
}

/// 2024-07-26.
const NOW: i64 = 1_721_995_509;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden() -> Golden {
    serde_json::from_str(&fixture("golden.json")).unwrap()
}

/// Creates a tokenizer whose tokens are single bytes, so that the learnt part is known to the byte.
fn tokenizer(template: &str) -> Tokenizer {
    let json = train_byte_level_bpe(std::iter::empty(), 258, &["<s>", "</s>"], None).unwrap();
    let config = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
    Tokenizer::from_files(json.as_bytes(), Some(config), Some(&fixture(template))).unwrap().with_now(NOW)
}

/// Returns the runs of learnt tokens, joined.
fn learnt(tokenizer: &Tokenizer, example: &Example) -> String {
    let ids: Vec<u32> =
        example.labels().iter().filter(|label| **label != -100).map(|label| *label as u32).collect();
    tokenizer.decode(&ids, false).unwrap()
}

#[test]
fn every_rendering_is_transformers_own() {
    let Golden { cases, renderings } = golden();
    assert!(renderings.len() > 150);
    for Rendering { template, case, text, error, .. } in renderings {
        let asked = &cases[&case];
        let found =
            tokenizer(&template).apply_chat_template_to(&asked.conversation(), asked.add_generation_prompt);
        match (found, text, error) {
            (Ok(found), Some(text), _) => {
                assert_eq!(found, text, "{template} {case}");
                // What is learnt is found in a rendering with marks, whose text is the same.
                if !asked.add_generation_prompt && !text.is_empty() {
                    let section = DataSection {
                        assistant_only_loss: false,
                        max_length: 1 << 20,
                        ..DataSection::default()
                    };
                    let tokenizer = tokenizer(&template);
                    let row = Row::Conversation(asked.conversation());
                    let ids = Encoder::of_section(&tokenizer, &section).encode(&row).unwrap().input_ids;
                    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text, "{template} {case}");
                }
            }
            // A content that is none is an empty text here where the template does not ask for it; there it may be an error.
            (_, None, Some(_)) if case == "content_none" => {}
            (Err(found), None, Some(error)) => {
                let raised = !error.contains("has no ")
                    && !error.contains("is undefined")
                    && !error.starts_with("TypeError");
                assert!(!raised || found.to_string().contains(&error), "{template} {case}: {found}");
            }
            (found, text, error) => panic!("{template} {case}: {found:?}, not {text:?} {error:?}"),
        }
    }
}

#[test]
fn generation_blocks_mark_what_they_mark_in_transformers() {
    let Golden { cases, renderings } = golden();
    let mut seen = 0;
    for Rendering { template, case, text, generated, .. } in renderings {
        let (Some(generated), Some(text)) = (generated, text) else { continue };
        let asked = &cases[&case];
        if asked.add_generation_prompt || text.is_empty() {
            continue;
        }
        let tokenizer = tokenizer(&template);
        let row = Row::Conversation(asked.conversation());
        let example = Encoder::new(&tokenizer, 100_000).encode(&row).unwrap();
        assert_eq!(learnt(&tokenizer, &example), generated.concat(), "{template} {case}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn without_blocks_the_assistant_s_turns_are_found_by_what_comes_before_them() {
    let Golden { cases, .. } = golden();
    for (template, end) in [
        ("llama3.jinja", "<|eot_id|>"),
        ("llama3_2.jinja", "<|eot_id|>"),
        ("qwen2_5.jinja", "<|im_end|>\n"),
        ("smollm2.jinja", "<|im_end|>\n"),
        ("gemma3.jinja", "<end_of_turn>\n"),
        ("mistral.jinja", "</s>"),
        ("glm4moe.jinja", ""),
    ] {
        let tokenizer = tokenizer(template);
        let row = Row::Conversation(cases["answer"].conversation());
        let example = Encoder::new(&tokenizer, 100_000).encode(&row);
        let example = example.unwrap_or_else(|error| panic!("{template}: {error}"));
        let words = learnt(&tokenizer, &example);
        assert!(
            words.trim_start().starts_with("Hello!\n\nWhat \"now\"? 好") || template == "glm4moe.jinja",
            "{template}: {words:?}"
        );
        assert!(words.ends_with(end) && !words.contains("Hi"), "{template}: {words:?}");
    }
    // A thinking model learns the thought where the template writes it.
    let tokenizer = tokenizer("qwen3.jinja");
    let words = |case: &str| {
        let row = Row::Conversation(cases[case].conversation());
        learnt(&tokenizer, &Encoder::new(&tokenizer, 100_000).encode(&row).unwrap())
    };
    assert_eq!(words("reasoning"), "<think>\nBecause.\n</think>\n\nHello!\n\nWhat \"now\"? 好 <|im_end|>\n");
    assert_eq!(
        words("thought_last"),
        "Hello!\n\nWhat \"now\"? 好 <|im_end|>\n<think>\nHm.\n</think>\n\nTwo.<|im_end|>\n"
    );
    assert!(words("tool_call").starts_with("<tool_call>\n{\"name\": \"weather\""), "{}", words("tool_call"));
    assert!(!words("tool_call").contains("tool_response"));
    assert_eq!(
        words("two_turns"),
        "Two.<|im_end|>\n<think>\n\n</think>\n\nHello!\n\nWhat \"now\"? 好 <|im_end|>\n"
    );
}

/// TRL's training templates write the same text as the models' own, with marks around what is learnt.
#[test]
fn what_is_learnt_without_blocks_is_what_trl_marks() {
    let Golden { cases, renderings } = golden();
    let text_of = |name: &str, case: &str| {
        let found = renderings.iter().find(|one| one.template == name && one.case == case);
        found.and_then(|one| one.text.clone())
    };
    let mut seen = 0;
    for Rendering { template, case, text, generated, .. } in &renderings {
        let Some(name) = template.strip_suffix("_training.jinja") else { continue };
        // Its marks of these include the prompt that the model is given: a header, or the beginning of a thought.
        let given: &[&str] = match name {
            "deepseek_r1_distill" => &["<｜Assistant｜>", "<｜tool▁outputs▁end｜>"],
            "gptoss" => &["<|start|>assistant"],
            "qwen3_5_think" => &["<think>\n"],
            _ => &[],
        };
        let (name, asked) = (format!("{name}.jinja"), &cases[case]);
        let (Some(generated), false) = (generated, asked.add_generation_prompt) else { continue };
        if text.as_deref().is_none_or(str::is_empty)
            || *text != text_of(&name, case)
            || name.contains("glm4moe")
        {
            continue;
        }
        let tokenizer = tokenizer(&name);
        let row = Row::Conversation(asked.conversation());
        let example = Encoder::new(&tokenizer, 100_000).encode(&row).unwrap();
        let bare = |text: &str| text.replace('\n', "");
        let without =
            |text: &str| given.iter().find_map(|given| text.strip_prefix(given)).unwrap_or(text).to_owned();
        let marked: String = generated.iter().map(|text| without(text)).collect();
        assert_eq!(bare(&learnt(&tokenizer, &example)), bare(&marked), "{name} {case}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_row_of_a_file_renders_with_its_tools_and_variables() {
    let Golden { cases, renderings } = golden();
    let case = &cases["tool_call"];
    let line = json!({"messages": case.messages, "tools": case.tools}).to_string();
    let row = read_rows(line.as_bytes(), "x.jsonl", &DataSection::default()).next().unwrap().unwrap().1;
    let Row::Conversation(conversation) = row else { panic!("{row:?}") };
    let found = tokenizer("qwen3.jinja").apply_chat_template_to(&conversation, false).unwrap();
    let wanted = renderings.into_iter().find(|one| one.template == "qwen3.jinja" && one.case == "tool_call");
    assert_eq!(Some(found), wanted.unwrap().text);
}
