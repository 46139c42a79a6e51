//! JSON, CSV, TSV and plain text beside JSONL: the same rows from each, and bad files told with their place.

use std::io::BufReader;

use lorelei_data::{DataError, Row, read_rows};
use proptest::prelude::*;

/// Reads through a buffer of a few bytes, so that every value straddles its end somewhere.
fn rows(bytes: &[u8], name: &str) -> Vec<Result<(usize, Row), DataError>> {
    read_rows(BufReader::with_capacity(3, bytes), name).collect()
}

fn good(bytes: &[u8], name: &str) -> Vec<(usize, Row)> {
    rows(bytes, name).into_iter().map(|row| row.unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn errors(bytes: &[u8], name: &str) -> Vec<String> {
    rows(bytes, name).into_iter().filter_map(Result::err).map(|error| error.to_string()).collect()
}

fn pair(prompt: &str, completion: &str) -> Row {
    Row::PromptCompletion { prompt: prompt.into(), completion: completion.into() }
}

#[test]
fn the_same_rows_from_every_format() {
    let expected = [pair("a, \"b\"", "c\nd"), pair("问", "答")];
    let only = |rows: Vec<(usize, Row)>| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
    let jsonl = "{\"prompt\": \"a, \\\"b\\\"\", \"completion\": \"c\\nd\"}\n{\"prompt\": \"问\", \"completion\": \"答\"}";
    assert_eq!(only(good(jsonl.as_bytes(), "x.jsonl")), expected);
    assert_eq!(only(good(jsonl.as_bytes(), "x.json")), expected);
    let array = format!("[{}]", jsonl.replace('\n', ","));
    assert_eq!(only(good(array.as_bytes(), "x.json")), expected);
    let csv = "prompt, completion,id\n\"a, \"\"b\"\"\",\"c\nd\",1\n问,答,2\n";
    assert_eq!(only(good(csv.as_bytes(), "x.CSV")), expected);
    let tsv = "completion\tprompt\r\n\"c\nd\"\t\"a, \"\"b\"\"\"\r\n答\t问\r\n";
    assert_eq!(only(good(tsv.as_bytes(), "x.tsv")), expected);
}

#[test]
fn lines_are_those_on_which_a_row_begins() {
    let csv = "text\n\"a\nb\"\n\nc\n";
    assert_eq!(good(csv.as_bytes(), "x.csv"), [(2, Row::Text("a\nb".into())), (5, Row::Text("c".into()))]);
    let json = "\n[\n {\"text\":\n \"a\"},\n\n {\"text\": \"b\"}\n]\n";
    assert_eq!(good(json.as_bytes(), "x.json"), [(3, Row::Text("a".into())), (6, Row::Text("b".into()))]);
    let text = "\u{feff}a\r\n\n  b \n";
    assert_eq!(good(text.as_bytes(), "x.txt"), [(1, Row::Text("a".into())), (3, Row::Text("  b ".into()))]);
}

#[test]
fn columns_of_tokens_and_conversations() {
    let csv = "input_ids,labels,attention_mask\n\"[1, 2]\",\"[-100, 2]\",\n\"[3]\",,\n";
    assert_eq!(
        good(csv.as_bytes(), "x.csv"),
        [
            (2, Row::Tokens { input_ids: vec![1, 2], labels: vec![-100, 2] }),
            (3, Row::Tokens { input_ids: vec![3], labels: vec![3] }),
        ]
    );
    let csv = "messages\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"q\"\"}]\"\n";
    assert!(matches!(&good(csv.as_bytes(), "x.csv")[0].1, Row::Messages(turns) if turns[0].content == "q"));
}

#[test]
fn an_array_may_be_empty_and_a_file_too() {
    for (bytes, name) in [
        ("[]", "x.json"),
        (" [ ]\n", "x.json"),
        ("", "x.json"),
        ("", "x.csv"),
        ("text\n", "x.csv"),
        ("", "x.txt"),
    ] {
        assert!(rows(bytes.as_bytes(), name).is_empty(), "{bytes:?} {name}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (bytes, name, wanted) in [
        ("[{\"text\": \"a\"}\n{\"text\": \"b\"}]", "x.json", "x.json:2: expected ',', found '{'"),
        ("[{\"text\": \"a\"},\n", "x.json", "x.json:2: not valid JSON"),
        ("[\n{\"text\": }]", "x.json", "x.json:2: not valid JSON"),
        ("[{\"text\": \"a\"}] x", "x.json", "x.json:1: something follows the array"),
        ("[\n7, 8]", "x.json", "x.json:2: expected a JSON object, found a number"),
        ("[{\"txet\": \"a\"}\n\n]", "x.json", "x.json:1: no known field"),
        ("text,label\na\n", "x.csv", "x.csv:2: the row has 1 cells, the first line names 2 columns"),
        ("name\na\n", "x.csv", "x.csv:2: no known field: looked for messages"),
        ("input_ids\none\n", "x.csv", "x.csv:2: column input_ids is not JSON"),
    ] {
        let found = errors(bytes.as_bytes(), name);
        assert_eq!(found.len(), 1, "{bytes:?}: {found:?}");
        assert!(found[0].starts_with(wanted), "{bytes:?}: {}", found[0]);
    }
    assert!(errors(b"text\n\xff\n", "x.csv")[0].starts_with("x.csv:2: cell 1 is not UTF-8"));
    assert!(errors(b"fine\n\xff\n", "x.txt")[0].starts_with("x.txt:2: the line is not UTF-8"));
    let deep = format!("[{}", "[".repeat(10_000));
    assert!(errors(deep.as_bytes(), "x.json")[0].contains("recursion limit"));
}

#[test]
fn rows_after_a_bad_one_are_read() {
    let json = "[{\"text\": \"a\"}, [1], \"b\", {\"no\": 1},\n{\"text\": \"c\"}]";
    assert_eq!(errors(json.as_bytes(), "x.json").len(), 3);
    assert_eq!(rows(json.as_bytes(), "x.json").pop().unwrap().unwrap(), (2, Row::Text("c".into())));
    let csv = "text\na,b\nc\n";
    assert_eq!(rows(csv.as_bytes(), "x.csv").pop().unwrap().unwrap(), (3, Row::Text("c".into())));
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..5) {
        let name = ["x.json", "x.csv", "x.tsv", "x.txt", "x.jsonl"][kind];
        prop_assert!(read_rows(&bytes[..], name).count() <= bytes.len() + 1);
    }

    #[test]
    fn any_json_like_bytes_end_without_a_panic(text in "[\\[\\]{},:\"a0 \n]{0,60}") {
        let rows = read_rows(format!("[{text}").as_bytes(), "x.json").count();
        prop_assert!(rows <= text.len() + 2);
    }
}
