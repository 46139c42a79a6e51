//! Tests JSON, CSV, TSV and plain text beside JSONL: each gives the same rows, and bad files are reported with their place.

mod common;

use std::io::{BufReader, Read, Write};

use lorelei_data::{DataError, DataErrorKind, Encoder, Loader, Message, Row, read_rows};
use lorelei_recipe::{DataSection, SampleBy};
use proptest::prelude::*;

/// Reads through a buffer of a few bytes, so that every value straddles its end somewhere.
fn rows(bytes: &[u8], name: &str) -> Vec<Result<(usize, Row), DataError>> {
    read_rows(BufReader::with_capacity(3, bytes), name, &DataSection::default()).collect()
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
    assert!(
        matches!(&good(csv.as_bytes(), "x.csv")[0].1, Row::Conversation(talk) if talk.messages[0].content == "q")
    );
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
        ("[\n7]", "x.json", "x.json:2: expected a JSON object, found a number"),
        ("[{\"txet\": \"a\"}\n\n]", "x.json", "x.json:1: no known field"),
        ("text,label\na\n", "x.csv", "x.csv:2: the row has 1 cells, the first line names 2 columns"),
        ("name\na\n", "x.csv", "x.csv:2: no known field: looked for messages"),
        ("input_ids\none\n", "x.csv", "x.csv:2: input_ids is a string that is not JSON"),
    ] {
        let found = errors(bytes.as_bytes(), name);
        assert_eq!(found.len(), 1, "{bytes:?}: {found:?}");
        assert!(found[0].starts_with(wanted), "{bytes:?}: {}", found[0]);
    }
    assert!(
        errors(b"text\n\xff\n", "x.csv")[0].starts_with("x.csv:2: byte 1 of column text is not UTF-8: 0xFF")
    );
    assert!(
        errors(b"fine\n\xff\n", "x.txt")[0].starts_with("x.txt:2: byte 1 of the line is not UTF-8: 0xFF")
    );
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

fn texts(bytes: &[u8], name: &str, sample_by: SampleBy) -> Vec<(usize, Row)> {
    let section = DataSection { sample_by, ..DataSection::default() };
    read_rows(BufReader::with_capacity(5, bytes), name, &section).map(Result::unwrap).collect()
}

#[test]
fn paragraphs_and_streams_of_text() {
    let text = "\n\na\nb\r\n \t\n\nc\n";
    assert_eq!(
        texts(text.as_bytes(), "x.txt", SampleBy::Paragraph),
        [(3, Row::Text("a\nb".into())), (7, Row::Text("c".into()))]
    );
    let pieces = texts("line\n\n".repeat(30_000).as_bytes(), "x.txt", SampleBy::Document);
    assert!(pieces.len() > 1, "{}", pieces.len());
    let whole: String = pieces
        .iter()
        .enumerate()
        .map(|(index, (_, row))| match row {
            Row::Stream { text, begins } if *begins == (index == 0) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(whole, "line\n\n".repeat(30_000));
    assert!(texts(b"", "x.txt", SampleBy::Document).is_empty());
}

#[test]
fn a_paragraph_that_is_too_long_is_one_error_up_to_its_blank_line() {
    let line = format!("{}\n", "a".repeat((1 << 20) - 1));
    let text = format!("first\n\n{}last line of it\n\nsecond\n", line.repeat(66));
    let section = DataSection { sample_by: SampleBy::Paragraph, ..DataSection::default() };
    let found: Vec<_> = read_rows(text.as_bytes(), "x.txt", &section).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].as_ref().unwrap(), &(1, Row::Text("first".into())));
    assert!(found[1].as_ref().unwrap_err().to_string().contains("longer than 64 MiB"));
    assert_eq!(found[2].as_ref().unwrap(), &(71, Row::Text("second".into())));
    // One that ends with the file.
    let found: Vec<_> = read_rows(&text.as_bytes()[..text.len() - 9], "x.txt", &section).collect();
    assert_eq!(found.len(), 2);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_files_whatever_they_are_called() {
    let csv = format!("text\n{}", "hello\n".repeat(100_000));
    for (bytes, name) in [
        (gzip(csv.as_bytes()), "x.csv.gz"),
        (zstd(csv.as_bytes()), "x.CSV.ZST"),
        (gzip(csv.as_bytes()), "x.csv"),
        (csv.clone().into_bytes(), "x.csv.zst"),
    ] {
        let rows = good(&bytes, name);
        assert_eq!(rows.len(), 100_000, "{name}");
        assert_eq!(rows[99_999], (100_001, Row::Text("hello".into())), "{name}");
    }
    // Several members and frames one after the other, and a frame that decoders skip.
    let line = "{\"text\": \"a\"}\n".as_bytes();
    let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
    let members = [gzip(line), gzip(line)].concat();
    assert_eq!(good(&members, "x.jsonl.gz").len(), 2);
    let frames = [zstd(line), skipped, zstd(line), zstd(b"")].concat();
    assert_eq!(good(&frames, "x.jsonl.zst").len(), 2);
}

#[test]
fn compressed_files_that_break_off() {
    let text = "{\"text\": \"abcdefgh\"}\n".repeat(50_000);
    for (bytes, name) in [(gzip(text.as_bytes()), "x.jsonl.gz"), (zstd(text.as_bytes()), "x.jsonl.zst")] {
        let found = rows(&bytes[..bytes.len() / 2], name);
        let error = found.last().unwrap().as_ref().unwrap_err();
        assert_eq!((error.kind, error.line), (DataErrorKind::Read, Some(found.len())), "{error}");
        let mut damaged = bytes.clone();
        damaged[40..80].fill(0x55);
        assert_eq!(rows(&damaged, name).last().unwrap().as_ref().unwrap_err().kind, DataErrorKind::Read);
    }
}

/// A reader of `left` letters, which are made while they are read, and then of `tail`.
struct Long {
    left: usize,
    tail: &'static [u8],
}

impl Read for Long {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return self.tail.read(buf);
        }
        let count = buf.len().min(self.left);
        buf[..count].fill(b'a');
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn a_row_that_is_too_long_is_an_error_and_never_kept() {
    for (head, tail, name, wanted, good) in [
        (
            "{\"text\": \"a\"}\n{\"text\": \"",
            "\"}\n{\"text\": \"b\"}\n",
            "x.jsonl",
            "x.jsonl:2: the row is longer than 64 MiB",
            2,
        ),
        ("one\n", "\ntwo\n", "x.txt", "x.txt:2: the row is longer than 64 MiB", 2),
        ("text\none\n\"", "\"\ntwo\n", "x.csv", "x.csv:3: reading failed: the row is longer than 64 MiB", 1),
        (
            "[{\"text\": \"a\"},\n{\"text\": \"",
            "\"}]",
            "x.json",
            "x.json:2: the row is longer than 64 MiB",
            1,
        ),
    ] {
        let reader = head.as_bytes().chain(Long { left: 100_000_000, tail: tail.as_bytes() });
        let section = DataSection::default();
        let found: Vec<_> = read_rows(BufReader::new(reader), name, &section).collect();
        assert_eq!(found.iter().filter(|row| row.is_ok()).count(), good, "{name}");
        let error = found.iter().find_map(|row| row.as_ref().err()).unwrap().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn files_that_are_not_text() {
    assert!(errors(b"\xff\xfe\0\0a\0\0\0", "x.txt")[0].starts_with("x.txt: the file is UTF-32"));
    assert!(errors(b"fine\na\0b\n", "x.txt")[0].starts_with("x.txt:2: byte 2 of the line is NUL"));
    assert!(errors(b"text\na\0b\n", "x.csv")[0].starts_with("x.csv:2: column text has a NUL byte"));
    assert!(
        errors(b"{\"text\": \"a\0\"}\n", "x.jsonl")[0].starts_with("x.jsonl:1: not valid JSON at column")
    );
    let deep = format!("{{\"text\": {}", "[".repeat(10_000));
    assert!(errors(deep.as_bytes(), "x.jsonl")[0].contains("recursion limit"));
    let deep = format!("messages\n{}\n", "[".repeat(10_000));
    assert!(errors(deep.as_bytes(), "x.csv")[0].contains("recursion limit"));
}

const PARQUET: &[u8] = include_bytes!("fixtures/rows.parquet");

#[test]
fn parquet() {
    let rows = good(PARQUET, "x.parquet");
    let talk = |question: &str, answer: &str| {
        let turns = vec![Message::new("user", question), Message::new("assistant", answer)];
        Row::Conversation(turns.into())
    };
    let expected = [(1, talk("Hi", "Hello")), (2, talk("你好", "您好")), (3, talk("last", "row"))];
    assert_eq!(rows, expected);
    let whole = lorelei_data::read_parquet(bytes::Bytes::from_static(PARQUET), "x", &DataSection::default());
    assert_eq!(whole.map(Result::unwrap).collect::<Vec<_>>(), expected);
    assert_eq!(good(&gzip(PARQUET), "x.parquet.gz"), expected);
    let cut = errors(&PARQUET[..PARQUET.len() - 9], "x.parquet");
    assert!(cut[0].starts_with("x.parquet: the Parquet file cannot be read: "), "{cut:?}");
}

const ARROW: &[u8] = include_bytes!("fixtures/rows.arrow");
const ARROW_STREAM: &[u8] = include_bytes!("fixtures/rows.stream.arrow");

#[test]
fn arrow() {
    let expected = good(PARQUET, "x.parquet");
    assert_eq!(good(ARROW, "x.arrow"), expected);
    assert_eq!(good(ARROW_STREAM, "data-00000-of-00001.arrow"), expected);
    assert_eq!(good(&gzip(ARROW), "x.feather.gz"), expected);
    // A loader, which asks once more at the end, reads the same rows.
    let tokenizer = common::smol();
    let mut loader = Loader::new(Encoder::new(&tokenizer, 512), &DataSection::default());
    for (bytes, name) in [(ARROW, "x.arrow"), (ARROW_STREAM, "y.arrow"), (PARQUET, "z.parquet")] {
        loader.add(read_rows(bytes, name, &DataSection::default()), name).unwrap();
    }
    assert_eq!(loader.finish().unwrap().rows, 9);
    // A stream is recognised by its first bytes, whatever its name is.
    assert_eq!(good(ARROW_STREAM, "x"), expected);
    for length in [3, 7, 40, ARROW.len() / 2, ARROW.len() - 1] {
        let cut = errors(&ARROW[..length], "x.arrow");
        assert!(cut.len() == 1 && cut[0].starts_with("x.arrow"), "{length}: {cut:?}");
    }
    let cut = errors(&ARROW[..ARROW.len() - 1], "x.arrow");
    assert!(cut[0].contains("the Arrow file cannot be read: its end is missing"), "{cut:?}");
    let half = errors(&ARROW_STREAM[..ARROW_STREAM.len() / 2], "x.arrow");
    assert!(half[0].contains("is the file whole?") || half[0].contains("cannot be read"), "{half:?}");
}

proptest! {
    #[test]
    fn a_damaged_file_of_columns_ends(
        which in 0usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (bytes, name) = [(PARQUET, "x.parquet"), (ARROW, "x.arrow"), (ARROW_STREAM, "x.arrow")][which];
        let mut bytes = bytes.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // The reader returns rows or an error: it does not panic, and it ends.
        prop_assert!(read_rows(&bytes[..], name, &DataSection::default()).take(100_000).count() < 100_000);
    }

    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..5) {
        let name = ["x.json", "x.csv", "x.tsv", "x.txt", "x.jsonl"][kind];
        prop_assert!(read_rows(&bytes[..], name, &DataSection::default()).count() <= bytes.len() + 1);
    }

    #[test]
    fn any_json_like_bytes_end_without_a_panic(text in "[\\[\\]{},:\"a0 \n]{0,60}") {
        let rows = read_rows(format!("[{text}").as_bytes(), "x.json", &DataSection::default()).count();
        prop_assert!(rows <= text.len() + 2);
    }

    #[test]
    fn damaged_files_end_without_a_panic(at in 0usize..4000, byte in any::<u8>(), which in 0usize..3) {
        let line = "{\"text\": \"a text of some length\"}\n".repeat(20);
        let mut bytes = [gzip(line.as_bytes()), zstd(line.as_bytes()), PARQUET.to_vec()][which].clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        prop_assert!(read_rows(&bytes[..], "x.jsonl", &DataSection::default()).take(1000).count() < 1000);
        prop_assert!(read_rows(&bytes[..at], "x.jsonl", &DataSection::default()).take(1000).count() < 1000);
    }
}
