//! Reading JSONL, good and bad.

mod common;

use std::io::Read;

use common::{assistant, user};
use lorelei_data::{DataError, DataErrorKind, Row, read_jsonl};
use proptest::prelude::*;

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
    let expected = vec![
        (1, Row::Text("a".into())),
        (2, Row::PromptCompletion { prompt: "p".into(), completion: String::new() }),
        (3, Row::Messages(vec![user("q"), assistant("a")])),
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
            "looked for messages, prompt + completion, input_ids or text; found txt, label",
        ),
        ("{}", "found none"),
        ("{\"text\": 1}", "text must be a string, found a number"),
        ("{\"prompt\": \"a\"}", "prompt but no completion"),
        ("{\"completion\": \"a\", \"text\": \"b\"}", "completion but no prompt"),
        ("{\"prompt\": \"a\", \"completion\": [\"b\"]}", "completion must be a string, found an array"),
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
    let lines = bytes.split(|&byte| byte == b'\n').count();
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
