//! Tests reading JSONL, good and bad.

mod common;

use std::io::Read;

use common::{assistant, message, user};
use lorelei_data::{Conversation, DataError, DataErrorKind, Message, Row, read_jsonl, read_rows};
use lorelei_recipe::DataSection;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn rows(bytes: &[u8]) -> Vec<Result<(usize, Row), DataError>> {
    read_jsonl(bytes, "train.jsonl").collect()
}

fn error(line: &str) -> String {
    let bytes = format!("{{\"text\": \"fine\"}}\n\n{line}\n");
    let mut rows = rows(bytes.as_bytes());
    let error = rows.remove(1).expect_err(line);
    assert_eq!(
        (error.kind, error.file.as_deref(), error.line),
        (DataErrorKind::BadRow, Some("train.jsonl"), Some(3))
    );
    assert!(error.to_string().starts_with("train.jsonl:3: "), "{error}");
    error.to_string()
}

fn tokens(line: &str) -> (Vec<u32>, Vec<i64>) {
    match rows(line.as_bytes()).remove(0).unwrap().1 {
        Row::Tokens { input_ids, labels } => (input_ids, labels),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_four_forms() {
    let file = concat!(
        "{\"text\": \"a\", \"id\": 7}\n",
        "{\"prompt\": \"p\", \"completion\": \"\"}\n",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\", \"name\": 1}, {\"role\": \"assistant\", \"content\": \"a\"}], \"text\": \"x\"}\n",
        "{\"input_ids\": [1, 2]}",
    );
    let rows: Vec<_> = rows(file.as_bytes()).into_iter().map(Result::unwrap).collect();
    let named = json!({"name": 1}).as_object().cloned().unwrap();
    let expected = vec![
        (1, Row::Text("a".into())),
        (2, Row::PromptCompletion { prompt: "p".into(), completion: String::new() }),
        (3, Row::Conversation(vec![Message { fields: named, ..user("q") }, assistant("a")].into())),
        (4, Row::Tokens { input_ids: vec![1, 2], labels: vec![1, 2] }),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn byte_order_mark_windows_line_ends_and_blank_lines() {
    let rows = rows(b"\xEF\xBB\xBF\r\n  \t\r\n{\"text\": \"a\\u00e9\"}\r\n\n{\"text\": \"b\"}");
    let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
    assert_eq!(rows, [(3, Row::Text("aé".into())), (5, Row::Text("b".into()))]);
    assert!(self::rows(b"").is_empty() && self::rows(b"\xEF\xBB\xBF").is_empty());
}

#[test]
fn labels_and_masks() {
    assert_eq!(
        tokens(r#"{"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "attention_mask": [1, 1, 0]}"#),
        (vec![5, 6], vec![-100, 6])
    );
    assert_eq!(
        tokens(r#"{"input_ids": [5, 6], "labels": null, "attention_mask": [0, 1]}"#),
        (vec![6], vec![6])
    );
}

#[test]
fn bad_rows_say_what_is_wrong() {
    let cases = [
        ("{\"text\": ", "not valid JSON at column"),
        ("[1]", "expected a JSON object, found an array"),
        (
            "{\"txt\": \"a\", \"label\": 1}",
            "looked for messages, conversations, prompt + completion, instruction + output, input_ids, tokens + tags, text + label or text; found txt, label",
        ),
        ("{}", "found none"),
        ("{\"text\": 1}", "text must be a string, found a number"),
        ("{\"prompt\": \"a\"}", "prompt but no completion"),
        ("{\"completion\": \"a\", \"text\": \"b\"}", "completion but no prompt"),
        ("{\"prompt\": \"a\", \"completion\": [\"b\"]}", "completion[0] has no role"),
        (
            "{\"prompt\": \"a\", \"completion\": 3}",
            "completion must be a string or an array of messages, found a number",
        ),
        ("{\"instruction\": \"a\"}", "instruction but no output"),
        ("{\"instruction\": \"a\", \"output\": 3}", "output must be a string, found a number"),
        (
            "{\"conversations\": [{\"from\": \"nobody\", \"value\": \"x\"}]}",
            "conversations[0].from is \"nobody\"; known are system, human",
        ),
        ("{\"conversations\": [{\"from\": \"human\"}]}", "conversations[0] has no value"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}",
            "messages[0].content[0] is not text",
        ),
        ("{\"messages\": \"hello\"}", "messages is a string that is not JSON"),
        ("{\"messages\": null}", "messages is null"),
        ("{\"text\": null}", "no known field has a value: text is null"),
        ("{\"text\": null, \"label\": 1}", "text is null"),
        ("{\"instruction\": null, \"output\": \"a\"}", "instruction is null"),
        ("{\"messages\": \"\"}", "messages is empty"),
        ("{\"messages\": {}}", "messages must be an array, found an object"),
        ("{\"messages\": []}", "messages is empty"),
        ("{\"messages\": [{\"role\": \"user\"}]}", "messages[0] has no content"),
        ("{\"messages\": [3]}", "messages[0] has no role"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": null}]}",
            "messages[0].content must be a string, found null",
        ),
        ("{\"input_ids\": 3}", "input_ids must be an array"),
        ("{\"input_ids\": [1, 2.5]}", "input_ids[1] must be an integer, found 2.5"),
        ("{\"input_ids\": [-1]}", "input_ids[0] is -1"),
        ("{\"input_ids\": [4294967296]}", "input_ids[0] is 4294967296"),
        ("{\"input_ids\": [1], \"labels\": [1, 2]}", "labels has 2 entries but input_ids has 1"),
        ("{\"input_ids\": [1], \"attention_mask\": []}", "attention_mask has 0 entries"),
        ("{\"input_ids\": [1], \"attention_mask\": [2]}", "attention_mask[0] is 2"),
    ];
    for (line, expected) in cases {
        let text = error(line);
        assert!(text.contains(expected), "{line}: {text}");
    }
}

/// Parses a row with `columns`, in a file of one line.
fn mapped(columns: &[(&str, &str)], line: &Value) -> Result<Row, DataError> {
    let columns = columns.iter().map(|(field, column)| (field.to_string(), column.to_string())).collect();
    let section = DataSection { columns, ..DataSection::default() };
    let line = line.to_string();
    let mut rows = read_rows(line.as_bytes(), "t.jsonl", &section);
    rows.next().unwrap().map(|(_, row)| row)
}

fn conversation(line: &Value) -> Conversation {
    match mapped(&[], line).unwrap() {
        Row::Conversation(conversation) => conversation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sharegpt() {
    let turns = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", "weight": 1}]);
    let plain = conversation(&json!({"conversations": turns, "id": "x"}));
    assert_eq!(plain, vec![user("q"), assistant("a")].into());
    let with_system =
        conversation(&json!({"conversations": turns, "system": "s", "tools": "[{\"name\": \"f\"}]"}));
    assert_eq!(with_system.messages, [message("system", "s"), user("q"), assistant("a")]);
    assert_eq!(with_system.tools, Some(json!([{"name": "f"}])));
    // Other data sets have OpenAI's form under the same name.
    let openai = conversation(
        &json!({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
    );
    assert_eq!(openai, plain);
}

#[test]
fn alpaca() {
    let row = json!({"instruction": "Add.", "input": "1 2", "output": "3", "text": "all of it"});
    assert_eq!(conversation(&row), vec![user("Add.\n1 2"), assistant("3")].into());
    let row =
        json!({"instruction": "Hi", "input": "", "output": "Ho", "system": "s", "history": [["a", "b"]]});
    let turns = vec![message("system", "s"), user("a"), assistant("b"), user("Hi"), assistant("Ho")];
    assert_eq!(conversation(&row), turns.into());
}

#[test]
fn prompts_of_messages() {
    let row = json!({
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
        "completion": [{"role": "assistant", "content": "a"}],
        "chat_template_kwargs": {"enable_thinking": false},
    });
    let found = conversation(&row);
    assert_eq!(found.messages, [message("system", "s"), user("q"), assistant("a")]);
    assert_eq!((found.given, &found.variables["enable_thinking"]), (2, &json!(false)));
    let mixed = conversation(
        &json!({"prompt": [{"role": "user", "content": "q"}], "completion": "a", "system": "s"}),
    );
    assert_eq!((mixed.messages.len(), mixed.given, &mixed.messages[2]), (3, 2, &assistant("a")));
}

#[test]
fn tool_calls_and_parts_of_a_text() {
    let calls = json!([{"type": "function", "function": {"name": "f", "arguments": {"x": null}}}]);
    let row = json!({"messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": calls, "name": null},
    ]});
    let found = conversation(&row);
    assert_eq!(found.messages[0], user("ab"));
    let fields: Vec<_> = found.messages[1].fields.iter().collect();
    assert_eq!((found.messages[1].content.as_str(), fields), ("", vec![(&"tool_calls".to_string(), &calls)]));
}

#[test]
fn texts_with_labels() {
    let row = json!({"text": "t", "label": 1, "text_pair": "u"});
    let expected = Row::Labelled { text: "t".into(), text_pair: Some("u".into()), label: json!(1) };
    assert_eq!(mapped(&[], &row).unwrap(), expected);
    assert_eq!(mapped(&[], &json!({"text": "t", "label": null})).unwrap(), Row::Text("t".into()));
}

#[test]
fn columns_name_the_fields() {
    let row = json!({"question": "q", "answer": "a", "text": "not this"});
    let columns = [("prompt", "question"), ("completion", "answer")];
    let expected = Row::PromptCompletion { prompt: "q".into(), completion: "a".into() };
    assert_eq!(mapped(&columns, &row).unwrap(), expected);
    let twice = mapped(&[("prompt", "question"), ("completion", "question")], &row).unwrap();
    assert_eq!(twice, Row::PromptCompletion { prompt: "q".into(), completion: "q".into() });
    let error = mapped(&[("text", "body")], &row).unwrap_err().to_string();
    assert!(
        error.starts_with("t.jsonl:1: the row has no column \"body\", which data.columns names as text; found question, answer, text"),
        "{error}"
    );
}

#[test]
fn text_that_is_not_utf8() {
    let rows = rows(b"{\"text\": \"a\"}\n{\"text\": \"\xff\"}\n{\"text\": \"b\"}\n");
    assert_eq!(rows.len(), 3);
    let error = rows[1].as_ref().unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(error.to_string().contains("byte 11 of the line is not UTF-8"), "{error}");
    assert!(rows[2].is_ok());
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("unplugged"))
    }
}

#[test]
fn a_failing_reader_ends_the_rows() {
    let reader = std::io::BufReader::new((&b"{\"text\": \"a\"}\n"[..]).chain(Broken));
    let rows: Vec<_> = read_jsonl(reader, "train.jsonl").collect();
    assert_eq!(rows.len(), 2);
    let error = rows[1].as_ref().unwrap_err();
    assert_eq!((error.kind, error.line), (DataErrorKind::Read, Some(2)));
    assert!(error.to_string().contains("unplugged"));
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let lines = bytes.split(|&byte| matches!(byte, b'\n' | b'\r')).count();
    let rows = rows(bytes);
    prop_assert!(rows.len() <= lines);
    for row in rows {
        match row {
            Ok((line, Row::Tokens { input_ids, labels })) => {
                prop_assert!((1..=lines).contains(&line));
                prop_assert_eq!(input_ids.len(), labels.len());
            }
            Ok((line, _)) => prop_assert!((1..=lines).contains(&line)),
            Err(error) => prop_assert!((1..=lines).contains(&error.line.unwrap())),
        }
    }
    Ok(())
}

/// Any JSON, with the names that rows and messages have.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "role",
        "content",
        "from",
        "value",
        "text",
        "type",
        "weight",
        "train",
        "train_detail",
        "tool_calls",
        "function",
        "name",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..300).prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "assistant",
            "gpt",
            "",
            " ",
            "é</think>",
            "[1]",
            "{}",
            "[[",
            "null"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..4).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_a_known_field_panics(
        fields in prop::collection::vec((prop::sample::select(vec![
            "messages", "conversations", "history", "tools", "chat_template_kwargs", "input_ids", "labels", "attention_mask", "tokens",
            "tags", "text", "text_pair", "label", "prompt", "completion", "instruction", "input", "output", "system",
        ]), any_json()), 1..4),
    ) {
        let tokenizer = common::smol();
        let line: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let line = Value::Object(line).to_string();
        for row in rows(line.as_bytes()) {
            match row {
                Ok((_, row)) => drop(lorelei_data::Encoder::new(&tokenizer, 64).encode(&row)),
                Err(error) => prop_assert_eq!(error.line, Some(1)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
    }

    #[test]
    fn no_damaged_row_panics(
        at in 0usize..200,
        byte in any::<u8>(),
        row in prop::sample::select(vec![
            "{\"input_ids\": [1, 22, 3], \"labels\": [-100, 2, 3], \"attention_mask\": [1, 1, 0]}\n",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}]}\r\n{\"text\": \"\\ud83e\\udd80\"}",
            "\u{feff}{\"prompt\": \"p\", \"completion\": \"é\"}\n\n",
        ]),
    ) {
        let mut bytes = row.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        check(&bytes)?;
        check(&bytes[..at])?;
    }
}
