//! Tests which bytes of a conversation are learnt: the assistant's words and end tokens, whatever the chat template does with them.
//! The renderings are those of Transformers' `apply_chat_template`.

mod common;

use std::time::{Duration, Instant};

use common::{SMOLLM2, assistant, message, tokenizer, user};
use lorelei_data::{
    Conversation, DataError, DataErrorKind, Encoded, Encoder, Example, Loader, Message, Row, Tokenizer,
    read_rows,
};
use lorelei_recipe::DataSection;

const CONFIG: &str = r#"{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}"#;

/// As DeepSeek-R1-Distill's: the prompt opens a thought, a turn has none.
const THINKS: &str = "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}{% elif m['role'] == 'user' %}{{ '[USER]' + m['content'] }}{% else %}{% set words = m['content'] %}{% if '</think>' in words %}{% set words = words.split('</think>')[-1] %}{% endif %}{{ '[BOT]' + words + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '[BOT]<think>\n' }}{% endif %}";

/// As Qwen2.5's: a system prompt of its own, before the loop.
const QWEN: &str = "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}{{- '<|im_start|>system\nBe kind.<|im_end|>\n' }}{%- endif %}{%- for m in messages %}{%- if not (m.role == 'system' and loop.first) %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}";

/// As Mistral's: the system prompt stands in the user's turn that ends the conversation, and so nowhere where an assistant ends it.
const LAST_SYSTEM: &str = "{%- if messages[0].role == 'system' %}{%- set rules = messages[0].content %}{%- set turns = messages[1:] %}{%- else %}{%- set turns = messages %}{%- endif %}{{- bos_token }}{%- for m in turns %}{%- if m.role == 'user' %}{%- if loop.last and rules is defined %}{{- '[INST] ' + rules + '\n\n' + m.content + '[/INST]' }}{%- else %}{{- '[INST] ' + m.content + '[/INST]' }}{%- endif %}{%- elif m.role == 'assistant' %}{{- ' ' + m.content + eos_token }}{%- endif %}{%- endfor %}";

/// Asks for a content that is none.
const ASKS_FOR_NONE: &str = "{%- for m in messages %}{%- if m['role'] == 'assistant' and m['content'] is none %}{{- '[BOT]' }}{%- for c in m['tool_calls'] %}{{- '[CALL]' + c['function']['name'] + ' ' + (c['function']['arguments'] | tojson) + '[/CALL]' }}{%- endfor %}{{- eos_token }}{%- elif m['role'] == 'assistant' %}{{- '[BOT]' + m['content'] + eos_token }}{%- elif m['role'] == 'tool' %}{{- '[OUT]' + m['content'] + '[/OUT]' }}{%- else %}{{- '[USER]' + m['content'] }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '[BOT]' }}{%- endif %}";

fn with(template: &str) -> Tokenizer {
    tokenizer(CONFIG, Some(template))
}

/// Reads the rows of a file of lines.
fn rows(lines: &str) -> Vec<Row> {
    let section = DataSection::default();
    let rows = read_rows(lines.as_bytes(), "t.jsonl", &section);
    rows.map(|row| row.unwrap().1).collect()
}

fn load(tokenizer: &Tokenizer, section: &DataSection, lines: &str) -> Result<Encoded, DataError> {
    let mut loader = Loader::new(Encoder::of_section(tokenizer, section), section);
    loader.add(read_rows(lines.as_bytes(), "t.jsonl", section), "t.jsonl")?;
    loader.finish()
}

/// Returns the stretches of learnt tokens as text.
fn stretches(tokenizer: &Tokenizer, example: &Example) -> Vec<String> {
    let labels = example.labels().chunk_by(|one, other| (*one == -100) == (*other == -100));
    let learnt = labels.filter(|stretch| stretch[0] != -100);
    let text = |stretch: &[i64]| {
        let ids: Vec<u32> = stretch.iter().map(|label| *label as u32).collect();
        tokenizer.decode(&ids, false).unwrap()
    };
    learnt.map(text).collect()
}

/// Returns the learnt stretches of a row; its tokens are those of the template's rendering.
fn learnt(tokenizer: &Tokenizer, row: &Row) -> Vec<String> {
    let example = Encoder::new(tokenizer, 100_000).encode(row).unwrap();
    if let Row::Conversation(conversation) = row {
        let text = tokenizer.apply_chat_template_to(conversation, false).unwrap();
        assert_eq!(tokenizer.decode(&example.input_ids, false).unwrap(), text);
    }
    stretches(tokenizer, &example)
}

fn of(tokenizer: &Tokenizer, messages: Vec<Message>) -> Vec<String> {
    learnt(tokenizer, &Row::Conversation(messages.into()))
}

#[test]
fn a_prompt_that_opens_a_thought_is_no_part_of_a_turn_without_one() {
    let tokenizer = with(THINKS);
    let rows = rows(concat!(
        r#"{"messages": [{"role": "user", "content": "What is two and two?"}, {"role": "assistant", "content": "It is four."}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "And three?"}, {"role": "assistant", "content": "<think>\nCount on.\n</think>\n\nIt is five."}]}"#,
        "\n",
        r#"{"prompt": [{"role": "user", "content": "What is two and two?"}], "completion": [{"role": "assistant", "content": "It is four."}]}"#,
    ));
    let found: Vec<_> = rows.iter().map(|row| learnt(&tokenizer, row)).collect();
    assert_eq!(found, [["It is four.<|im_end|>"], ["\n\nIt is five.<|im_end|>"], ["It is four.<|im_end|>"]]);
    // Words that begin as the thought does are not taken for it.
    let messages = vec![user("x"), assistant("<b>y</b>"), user("z"), assistant("<think> <t")];
    assert_eq!(of(&tokenizer, messages), ["<b>y</b><|im_end|>", "<think> <t<|im_end|>"]);
    // A turn that has no words of its own.
    assert_eq!(of(&tokenizer, vec![user("x"), assistant("")]), ["<|im_end|>"]);
}

#[test]
fn a_conversation_that_the_assistant_begins() {
    let messages = || {
        vec![
            assistant("Hello, how can I help?"),
            user("Where is my parcel?"),
            assistant("It comes on Monday."),
        ]
    };
    for template in [SMOLLM2, QWEN] {
        let tokenizer = with(template);
        let found = of(&tokenizer, messages());
        assert_eq!(found, ["Hello, how can I help?<|im_end|>\n", "It comes on Monday.<|im_end|>\n"]);
        assert_eq!(of(&tokenizer, vec![assistant("Hello")]), ["Hello<|im_end|>\n"]);
    }
}

#[test]
fn a_system_prompt_that_the_template_moves_or_loses_is_said() {
    let lines = concat!(
        r#"{"messages": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Capital of Norway?"}, {"role": "assistant", "content": "Oslo."}, {"role": "user", "content": "Of Finland?"}, {"role": "assistant", "content": "Helsinki."}]}"#,
        "\n",
        r#"{"messages": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Capital of Spain?"}, {"role": "assistant", "content": "Madrid."}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Rome."}]}"#,
    );
    let tokenizer = with(LAST_SYSTEM);
    let found = load(&tokenizer, &DataSection::default(), lines).unwrap();
    let learnt: Vec<_> = found.examples.iter().map(|example| stretches(&tokenizer, example)).collect();
    assert_eq!(
        learnt,
        [
            vec![" Oslo.<|im_end|>", " Helsinki.<|im_end|>"],
            vec![" Madrid.<|im_end|>"],
            vec![" Rome.<|im_end|>"]
        ]
    );
    assert_eq!((found.changes.system_lost, found.changes.system_moved), (2, 0));
    assert_eq!(found.changes.sentences(), ["the chat template loses the system prompt in 2 rows"]);

    let moved = with(&LAST_SYSTEM.replace("loop.last", "loop.index == 3"));
    let found = load(&moved, &DataSection::default(), lines).unwrap();
    assert_eq!((found.changes.system_lost, found.changes.system_moved), (1, 1));
    assert!(found.changes.sentences()[1].contains("moves the system prompt"));
    let kept = load(&with(SMOLLM2), &DataSection::default(), lines).unwrap();
    assert_eq!(kept.changes, Default::default());
}

#[test]
fn reasoning_calls_and_words_that_the_template_leaves_out_are_counted() {
    let tokenizer = with(THINKS);
    let lines = concat!(
        r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "<think>Hm.</think>y"}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning_content": "Hm."}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "cab", "arguments": {}}}]}]}"#,
    );
    let changes = load(&tokenizer, &DataSection::default(), lines).unwrap().changes;
    assert_eq!((changes.reasoning_dropped, changes.calls_dropped, changes.words_dropped), (2, 1, 0));
    let short = with(
        "{% for m in messages %}{{ m.role }}:{{ m.content[:3] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    let changes = load(
        &short,
        &DataSection::default(),
        r#"{"messages": [{"role": "user", "content": "a long one"}, {"role": "assistant", "content": "y"}]}"#,
    );
    assert_eq!(changes.unwrap().changes.words_dropped, 1);
}

#[test]
fn a_content_that_is_null_is_none_where_the_template_asks() {
    let tokenizer = with(ASKS_FOR_NONE);
    let rows = rows(concat!(
        r#"{"messages": [{"role": "user", "content": "Is it raining?"}, {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"place": "Bergen"}}}]}, {"role": "tool", "content": "yes"}, {"role": "assistant", "content": "It is."}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "Call me a cab."}, {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "cab", "arguments": {}}}]}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": null, "function_call": {"name": "greet", "arguments": "{}"}}]}"#,
        "\n",
        // A text is a text, even if it is empty.
        r#"{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "a", "arguments": {}}}]}]}"#,
    ));
    let found: Vec<_> = rows.iter().map(|row| learnt(&tokenizer, row)).collect();
    assert_eq!(
        found,
        [
            vec![r#"[CALL]weather {"place": "Bergen"}[/CALL]<|im_end|>"#, "It is.<|im_end|>"],
            vec!["[CALL]cab {}[/CALL]<|im_end|>"],
            vec!["<|im_end|>"],
            vec!["<|im_end|>"],
        ]
    );
    // Other templates see an empty text, and never write the word none.
    let plain = with(SMOLLM2);
    assert_eq!(learnt(&plain, &rows[1]), ["<|im_end|>\n"]);
}

#[test]
fn turns_with_weight_zero_are_not_learnt() {
    let tokenizer = with(QWEN);
    let rows = rows(concat!(
        r#"{"messages": [{"role": "user", "content": "Name a tree."}, {"role": "assistant", "content": "Salmon.", "weight": 0}, {"role": "user", "content": "That is a fish."}, {"role": "assistant", "content": "Oak.", "weight": 1}]}"#,
        "\n",
        r#"{"messages": [{"role": "user", "content": "Name a tree."}, {"role": "assistant", "content": "Salmon.", "train": false}, {"role": "user", "content": "That is a fish."}, {"role": "assistant", "content": "Oak.", "train": true}]}"#,
        "\n",
        r#"{"conversations": [{"from": "human", "value": "Name a tree."}, {"from": "gpt", "value": "Salmon.", "weight": 0.0}, {"from": "human", "value": "No."}, {"from": "gpt", "value": "Oak.", "weight": null}]}"#,
    ));
    for row in &rows {
        assert_eq!(learnt(&tokenizer, row), ["Oak.<|im_end|>\n"]);
    }
    let calls = r#"{"conversations": [{"from": "human", "value": "Add 2 and 3", "weight": 0}, {"from": "tool_call", "value": "{\"name\": \"add\"}"}, {"from": "tool_response", "value": "5"}, {"from": "gpt", "value": "Five."}]}"#;
    let found = learnt(&tokenizer, &self::rows(calls)[0]);
    assert_eq!(found, ["{\"name\": \"add\"}<|im_end|>\n", "Five.<|im_end|>\n"]);

    // With generation blocks, after a prompt, and where whole conversations are learnt.
    let marks = "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}";
    assert_eq!(learnt(&with(marks), &rows[0]), ["Oak.<|im_end|>"]);
    let prompt = r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b", "weight": 0}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}"#;
    let whole = ["<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\nd<|im_end|>\n"];
    assert_eq!(learnt(&tokenizer, &self::rows(prompt)[0]), whole);
    let section = DataSection { assistant_only_loss: false, ..DataSection::default() };
    let example = Encoder::of_section(&tokenizer, &section).encode(&rows[0]).unwrap();
    let found = stretches(&tokenizer, &example);
    assert_eq!(found.len(), 2);
    assert!(!found.concat().contains("Salmon") && found[1].starts_with("<|im_start|>user\nThat is a fish."));
}

#[test]
fn a_weight_that_is_neither_zero_nor_one_is_refused() {
    for (field, value) in [("weight", "0.5"), ("train", "\"no\""), ("train_detail", "[{\"train\": false}]")] {
        let line = format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"x\"}}, {{\"role\": \"assistant\", \"content\": \"y\", \"{field}\": {value}}}]}}"
        );
        let error = load(&with(QWEN), &DataSection::default(), &line).unwrap_err();
        assert_eq!((error.kind, error.line), (DataErrorKind::BadRow, Some(1)));
        assert!(error.to_string().contains(&format!("messages[1].{field}")), "{error}");
    }
}

#[test]
fn what_cannot_be_told_apart_names_the_way_out() {
    let tokenizer = with("{{ messages | length }}{{ messages[-1].content }}");
    let row = r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "town"}]}"#;
    let error = load(&tokenizer, &DataSection::default(), &format!("{row}\n{row}")).unwrap_err();
    assert_eq!((error.kind, error.line), (DataErrorKind::Template, Some(1)));
    assert!(error.to_string().contains("assistant_only_loss = false"), "{error}");
    let system = r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "town"}]}"#;
    let error = load(&tokenizer, &DataSection::default(), system).unwrap_err().to_string();
    assert!(error.contains("loses the system prompt"), "{error}");
    let all = DataSection { assistant_only_loss: false, ..DataSection::default() };
    assert_eq!(load(&tokenizer, &all, row).unwrap().examples.len(), 1);
}

#[test]
fn a_template_s_error_names_the_row() {
    let tokenizer = with("{% for m in messages %}{{ m.content + m.nothing }}{% endfor %}");
    let lines = "{\"text\": \"a\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n";
    let error = load(&tokenizer, &DataSection::default(), lines).unwrap_err();
    assert_eq!(
        (error.kind, error.line, error.file.as_deref()),
        (DataErrorKind::Template, Some(2), Some("t.jsonl"))
    );
}

#[test]
fn a_turn_ends_where_the_next_begins() {
    // The end token follows the loop, as in Phi-3's template, and the loop may stand in a macro, whose output is a value.
    let template = "{% macro turns() %}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}{% endmacro %}{{ turns() }}{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}";
    let tokenizer = with(template);
    let messages =
        || vec![message("system", " s "), user(" u "), assistant(" a "), user("v"), assistant("b")];
    assert_eq!(of(&tokenizer, messages()), ["a\n", "b\n<|im_end|>"]);
    // The macro's output is changed, so that marks in it would change it, too.
    let tokenizer = with(
        &template.replace("{{ turns() }}", "{{ turns() | replace('\n', '') | length }}{{ turns() | upper }}"),
    );
    let text = tokenizer.apply_chat_template(&messages(), false).unwrap();
    let row = Row::Conversation(messages().into());
    let section = DataSection { assistant_only_loss: false, ..DataSection::default() };
    let example = Encoder::of_section(&tokenizer, &section).encode(&row).unwrap();
    assert_eq!(tokenizer.decode(&example.input_ids, false).unwrap(), text);
    assert!(text.contains("<|USER|>V") && text.starts_with("57"), "{text}");
}

#[test]
fn an_answer_of_a_tool_in_the_turn_that_calls_it_is_not_learnt() {
    let template = "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}[call]{% set next = messages[loop.index] %}[out]{{ next.content }}[/out]{% endif %}<end>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    let tokenizer = with(template);
    let call = Message {
        fields: serde_json::from_str(r#"{"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}"#)
            .unwrap(),
        ..assistant("")
    };
    let row = Row::Conversation(vec![user("u"), call, message("tool", "secret"), assistant("b")].into());
    match Encoder::new(&tokenizer, 1000).encode(&row) {
        Ok(example) => assert!(!stretches(&tokenizer, &example).concat().contains("secret")),
        Err(error) => assert!(error.to_string().contains("assistant_only_loss = false"), "{error}"),
    }
}

#[test]
fn marks_in_the_data_are_only_text() {
    for template in [SMOLLM2, THINKS, QWEN] {
        let tokenizer = with(template);
        let odd = "a\u{FDD2}0.1\u{FDD4}b\u{FDD0}c";
        for (messages, words) in
            [(vec![user(odd), assistant("town")], "town"), (vec![user("x"), assistant(odd)], odd)]
        {
            match Encoder::new(&tokenizer, 1000).encode(&Row::Conversation(messages.into())) {
                Ok(example) => {
                    let found = stretches(&tokenizer, &example).concat();
                    assert_eq!(found.trim_end(), format!("{words}<|im_end|>"));
                }
                Err(error) => assert!(template == THINKS, "{error}"),
            }
        }
        let text = tokenizer.apply_chat_template(&[user(odd)], false).unwrap();
        assert!(text.contains(odd));
    }
}

#[test]
fn tags_in_strings_comments_and_raw_blocks_are_no_tags() {
    let template = "{# {% for m in messages %} #}{% raw %}{% for m in x %}{{ '%}' }}{% endfor %}{% endraw %}{{ \"{% for m in messages %}\" }}{% for m in messages -%}\n  {% set ns = {'a': {'b': '%}'}} %}{{ m.role }}:{{ m.content }}{{ ns['a']['b'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    let tokenizer = with(template);
    let found = of(&tokenizer, vec![user("x"), assistant("town")]);
    assert_eq!(found, ["town%}\n"]);
    let text = tokenizer.apply_chat_template(&[user("x")], false).unwrap();
    assert_eq!(text, "{% for m in x %}{{ '%}' }}{% endfor %}{% for m in messages %}user:x%}\n");
}

#[test]
fn namespaces_are_seen_in_generation_blocks() {
    let template = "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{%- set ns.n = ns.n + 1 -%} {{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}[{{ ns.n }}]";
    let once = "{% set ns = namespace(n=0) %}{% for m in messages %}{% generation %}{% set ns.n = 7 %}{{ m.content }}{% endgeneration %}{% endfor %}[{{ ns.n }}]";
    for (template, text) in [(template, "ab[1]"), (once, "ab[7]")] {
        assert_eq!(with(template).apply_chat_template(&[user("a"), assistant("b")], false).unwrap(), text);
    }
}

#[test]
fn masking_of_thousands_of_turns_ends() {
    let tokenizer = with(SMOLLM2);
    let turn = |at: usize| {
        let words = format!("The number is {at}, and the river is the capital of the town.");
        if at.is_multiple_of(2) { user(&words) } else { assistant(&words) }
    };
    let row = Row::Conversation((0..3000).map(turn).collect::<Vec<_>>().into());
    let time = |assistant_only_loss: bool| {
        let section = DataSection { assistant_only_loss, max_length: 1 << 20, ..DataSection::default() };
        let encoder = Encoder::of_section(&tokenizer, &section);
        let once = || {
            let begin = Instant::now();
            encoder.encode(&row).unwrap();
            begin.elapsed()
        };
        (0..2).map(|_| once()).min().unwrap_or(Duration::ZERO)
    };
    let (masked, whole) = (time(true), time(false));
    // A rendering for each turn would take hundreds of times the time of one; a busy machine is not told from that by less.
    assert!(masked < 10 * whole + Duration::from_secs(2), "{masked:?} with a mask, {whole:?} without");
    assert_eq!(learnt(&tokenizer, &row).len(), 1500);
}

#[test]
fn words_that_json_quotes_or_that_stand_elsewhere_are_found() {
    // A template that writes every text as JSON, and one that writes the turns the other way round.
    let quotes = with("{% for m in messages %}{{ m.role }}:{{ m | tojson }}\n{% endfor %}");
    let turns = with("{% for m in messages | reverse %}{{ m.role }}:{{ m.content }}\n{% endfor %}");
    let row = |middle: &str| {
        let message = |role: &str, content: &str| serde_json::json!({"role": role, "content": content});
        let messages = [
            message("system", "Be \"kind\"."),
            message("user", "one\ntwo"),
            message("assistant", middle),
            message("user", "the \"town\""),
            message("assistant", "end"),
        ];
        serde_json::json!({"messages": messages}).to_string()
    };
    for tokenizer in [quotes, turns] {
        let section = DataSection { assistant_only_loss: false, ..DataSection::default() };
        let changes = load(&tokenizer, &section, &row("a \\ b\n\"c\"")).unwrap().changes;
        assert_eq!((changes.system_lost, changes.words_dropped, changes.calls_dropped), (0, 0, 0));
    }
    let short = with("{% for m in messages %}{{ m.role }}:{{ m.content[:12] | tojson }}\n{% endfor %}");
    let section = DataSection { assistant_only_loss: false, ..DataSection::default() };
    let changes = load(&short, &section, &row("\"a\"\n and more than that")).unwrap().changes;
    assert_eq!((changes.system_lost, changes.words_dropped), (0, 1));
}

#[test]
fn a_loop_over_the_numbers_of_the_messages() {
    let template = "{% for i in range(messages | length) %}\n{% set m = messages[i] -%}\n{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: <think>{% endif %}";
    let turn = |at: usize| if at.is_multiple_of(2) { user("x") } else { assistant("town") };
    let tokenizer = with(template);
    assert_eq!(of(&tokenizer, (0..800).map(turn).collect()).len(), 400);
    assert_eq!(of(&tokenizer, vec![user("x"), assistant("a<"), user("y")]), ["a<\n"]);
}

#[test]
fn many_turns_of_a_template_that_writes_none_of_them_in_a_loop() {
    let template = "{% for i in range(messages | length) %}{{ messages[i].role }}: {{ messages[i].content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    let tokenizer = with(template);
    let turn = |at: usize| if at.is_multiple_of(2) { user("x") } else { assistant("town") };
    let few = (0..6).map(turn).collect::<Vec<_>>();
    assert_eq!(of(&tokenizer, few), [" town\n"; 3]);
    let many = Conversation::from((0..2000).map(turn).collect::<Vec<_>>());
    let error = Encoder::new(&tokenizer, 1 << 20).encode(&Row::Conversation(many)).unwrap_err();
    assert!(error.to_string().contains("assistant_only_loss = false"), "{error}");
}
