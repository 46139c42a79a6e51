//! Tests what stands between a file's bytes and its rows: line ends, separators, encodings, Python's NaN, and files without an end.

use std::io::{self, BufReader, Read};

use lorelei_data::{DataError, DataErrorKind, Message, Row, read_rows};
use lorelei_recipe::DataSection;
use proptest::prelude::*;

fn rows(bytes: &[u8], name: &str) -> Vec<Result<(usize, Row), DataError>> {
    read_rows(BufReader::with_capacity(3, bytes), name, &DataSection::default()).collect()
}

fn good(bytes: &[u8], name: &str) -> Vec<(usize, Row)> {
    rows(bytes, name).into_iter().map(|row| row.unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn error(bytes: &[u8], name: &str) -> String {
    let mut errors = rows(bytes, name).into_iter().filter_map(Result::err);
    let error = errors.next().unwrap_or_else(|| panic!("{:?} has no error", String::from_utf8_lossy(bytes)));
    assert!(errors.next().is_none());
    error.to_string()
}

fn pair(prompt: &str, completion: &str) -> Row {
    Row::PromptCompletion { prompt: prompt.into(), completion: completion.into() }
}

fn alpaca(instruction: &str, output: &str) -> Row {
    Row::Conversation(vec![Message::new("user", instruction), Message::new("assistant", output)].into())
}

#[test]
fn a_bad_row_of_a_table_is_on_its_line_whatever_ends_the_lines() {
    let table = "prompt,completion\nCafe,plain\nA,b,c\n";
    for end in ["\n", "\r\n", "\r"] {
        for mark in ["", "\u{feff}"] {
            for last in [end, ""] {
                let text = format!("{mark}{}{last}", table.trim_end().replace('\n', end));
                assert_eq!(
                    error(text.as_bytes(), "x.csv"),
                    "x.csv:3: the row has 3 cells, the first line names 2 columns (a cell with a comma, a quote or a \
                     line end stands in double quotes)",
                    "{text:?}"
                );
            }
        }
    }
}

proptest! {
    /// The line of a row is that on which an editor shows it.
    #[test]
    fn the_line_of_each_row_of_a_table(
        lines in proptest::collection::vec(("[a-z ]{0,5}", 0usize..4, any::<bool>()), 1..12),
        end in 0usize..3,
        ends in any::<bool>(),
    ) {
        let end = ["\n", "\r\n", "\r"][end];
        let mut table = "text,label".to_owned();
        let (mut line, mut wanted) = (2, Vec::new());
        for (word, breaks, is_blank) in lines {
            table += end;
            if is_blank {
                line += 1;
                table += end;
            }
            wanted.push(line);
            // A quote within a cell that has none around it, and line ends and quotes within quotes.
            let text = format!("\"a{}\"\"{word},\",4\"", end.repeat(breaks));
            table += &text;
            line += 1 + breaks;
        }
        if ends {
            table += end;
        }
        let found: Vec<usize> = good(table.as_bytes(), "x.csv").into_iter().map(|(line, _)| line).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_column_that_is_there_twice_is_refused_where_it_is_read() {
    assert_eq!(
        error(b"text,label,text\na,1,b\n", "x.csv"),
        "x.csv:1: the first line names the column \"text\" twice (give one of them another name)"
    );
    assert_eq!(good(b"text,,,id,id\na,1,2,3,4\n", "x.csv"), [(2, Row::Text("a".into()))]);
}

/// pandas says "EOF inside string starting at row 2".
#[test]
fn a_quote_that_is_never_closed_is_an_error() {
    let found = rows(b"text\na\n\"b\nc\nd\n", "x.csv");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].as_ref().unwrap(), &(2, Row::Text("a".into())));
    let error = found[1].as_ref().unwrap_err();
    assert_eq!((error.kind, error.line), (DataErrorKind::Read, Some(3)));
    assert!(error.problem.contains("a quote is never closed"), "{error}");
    // A quote within a cell that has none around it opens nothing.
    assert_eq!(good(b"text\n5\" pipe\n", "x.csv"), [(2, Row::Text("5\" pipe".into()))]);
}

#[test]
fn line_ends_within_quotes_are_kept() {
    let table = "text\r\n\"a\r\nb\rc\nd\"\r\ne";
    assert_eq!(
        good(table.as_bytes(), "x.csv"),
        [(2, Row::Text("a\r\nb\rc\nd".into())), (6, Row::Text("e".into()))]
    );
}

#[test]
fn lines_of_text_and_json_end_as_in_python() {
    for end in ["\n", "\r\n", "\r"] {
        let with = |text: &str| text.replace('\n', end).into_bytes();
        assert_eq!(
            good(&with("\u{feff}a\n\nb"), "x.txt"),
            [(1, Row::Text("a".into())), (3, Row::Text("b".into()))]
        );
        let jsonl = "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n";
        assert_eq!(good(&with(jsonl), "x.jsonl"), [(1, Row::Text("a".into())), (3, Row::Text("b".into()))]);
        assert!(
            error(&with("{\"text\": \"a\"}\n{\"text\": }\n"), "x.jsonl")
                .starts_with("x.jsonl:2: not valid JSON")
        );
        let json = "[\n{\"text\":\n\"a\"},\n{\"text\": \"b\"}]";
        assert_eq!(good(&with(json), "x.json"), [(2, Row::Text("a".into())), (4, Row::Text("b".into()))]);
        assert!(
            error(&with("[\n{\"text\":\nx}]"), "x.json")
                .starts_with("x.json:3: not valid JSON: expected value")
        );
    }
}

/// What is read and its separator is what Python's `csv.Sniffer` says of these.
#[test]
fn a_table_that_certainly_has_other_separators_is_read_by_them_and_said() {
    let remark = |text: &str, name: &str| {
        let rows = read_rows(text.as_bytes(), name, &DataSection::default());
        rows.remark().map(ToString::to_string)
    };
    let german = "\u{feff}prompt;completion\nWas ist das?;Ein Haus, rot\nUnd das?;Ein Baum\n";
    assert_eq!(
        good(german.as_bytes(), "x.csv"),
        [(2, pair("Was ist das?", "Ein Haus, rot")), (3, pair("Und das?", "Ein Baum"))]
    );
    assert_eq!(
        remark(german, "x.csv").unwrap(),
        "x.csv: the cells are separated by semicolons, not by commas, and are read so"
    );
    let tabs = "prompt\tcompletion\na\tb, c\n";
    assert_eq!(good(tabs.as_bytes(), "x.csv"), [(2, pair("a", "b, c"))]);
    assert!(remark(tabs, "x.csv").unwrap().contains("tabs"));
    assert_eq!((remark(tabs, "x.tsv"), good(tabs.as_bytes(), "x.tsv")), (None, vec![(2, pair("a", "b, c"))]));
    let bars = "completion|prompt\r\n\"a|\r\nb\"|c\r\n";
    assert_eq!(good(bars.as_bytes(), "x.csv"), [(2, pair("c", "a|\r\nb"))]);
    // A row that does not fit is named with its line, as the names of the columns are known.
    assert!(error(b"prompt;completion\na;b\na;b;c\n", "x.csv").starts_with("x.csv:3: the row has 3 cells"));
    let long = format!("{german}{}", "x;y\n".repeat(100_000));
    assert_eq!(good(long.as_bytes(), "x.csv").len(), 100_002);
}

#[test]
fn a_table_of_commas_or_one_column_stays_one() {
    let text = |line, text: &str| (line, Row::Text(text.into()));
    let section = |column: &str| DataSection {
        columns: [("text".to_owned(), column.to_owned())].into(),
        ..DataSection::default()
    };
    assert_eq!(good(b"text\na; b\nc; d\n", "x.csv"), [text(2, "a; b"), text(3, "c; d")]);
    assert_eq!(good(b"text,id\na;b,1\nc;d,2\n", "x.csv"), [text(2, "a;b"), text(3, "c;d")]);
    assert_eq!(good(b"text,\"a;b\"\na;b,1\n", "x.csv"), [text(2, "a;b")]);
    // One column whose name has a semicolon, and whose cells have as many by chance only in the first row.
    let one = read_rows(&b"a;b\nc;d\ne\n"[..], "x.csv", &section("a;b"));
    assert!(one.remark().is_none());
    assert_eq!(one.map(Result::unwrap).collect::<Vec<_>>(), [text(2, "c;d"), text(3, "e")]);
    let unsure = error(b"frage;antwort\na;b;c\n", "x.csv");
    assert!(unsure.contains("found frage;antwort (are the cells separated by semicolons?"), "{unsure}");
}

#[test]
fn utf_16_with_a_mark_is_read_and_latin_1_is_named() {
    let text = "prompt,completion\r\nQu'est-ce?,Une maison 🏠\r\nÀ,é\r\n";
    let expected = [(2, pair("Qu'est-ce?", "Une maison 🏠")), (3, pair("À", "é"))];
    let units = || "\u{feff}".encode_utf16().chain(text.encode_utf16());
    let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
    assert_eq!(good(&little, "x.csv"), expected);
    assert_eq!(good(&big, "x.csv"), expected);
    assert!(error(&little[..little.len() - 1], "x.txt").contains("it ends within a character"));
    let half: Vec<u8> = [0xfeff, 0xd83c].into_iter().flat_map(u16::to_le_bytes).collect();
    assert!(error(&half, "x.txt").contains("half of a pair of surrogates"));
    // A pair on the border between two parts of the file.
    let long = format!("\u{feff}{}🏠", "a".repeat(4094));
    let long: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(good(&long, "x.txt"), [(1, Row::Text(format!("{}🏠", "a".repeat(4094))))]);

    let latin =
        |text: &str| text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect::<Vec<_>>();
    for (text, name, wanted) in [
        ("text,label\na,1\nUn café noir,2\n", "x.csv", "x.csv:3: byte 7 of column text is not UTF-8: 0xE9"),
        ("text,étiquette\na,1\n", "x.csv", "x.csv:1: byte 1 of the name of a column is not UTF-8: 0xE9"),
        ("{\"text\": \"Un café noir\"}\n", "x.jsonl", "x.jsonl:1: byte 17 of the line is not UTF-8: 0xE9"),
        ("[\n{\"text\": \"Un café noir\"}]", "x.json", "x.json:2: byte 17 of the row is not UTF-8: 0xE9"),
        ("a\nUn café noir", "x.txt", "x.txt:2: byte 7 of the line is not UTF-8: 0xE9"),
    ] {
        let found = error(&latin(text), name);
        assert!(found.starts_with(wanted) && found.contains("iconv -f WINDOWS-1252 -t UTF-8"), "{found}");
        assert!(
            name.contains("csv") || found.contains("in Latin-1 or Windows-1252 part of \"café\""),
            "{found}"
        );
    }
}

/// What `datasets` reads: `[None, 'small']`.
#[test]
fn pythons_nan_is_a_missing_value() {
    let lines = "{\"instruction\": \"Name a colour\", \"input\": NaN, \"output\": \"red\"}\n\
                 {\"instruction\": \"Name a bird\", \"input\": \"small\", \"output\": \"wren\"}\n";
    let expected = [alpaca("Name a colour", "red"), alpaca("Name a bird\nsmall", "wren")];
    let only = |rows: Vec<(usize, Row)>| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
    let plain = only(good(lines.replace("NaN", "null").as_bytes(), "x.jsonl"));
    assert_eq!(plain[0], expected[0]);
    assert_eq!(only(good(lines.as_bytes(), "x.jsonl")), plain);
    for word in ["Infinity", "-Infinity"] {
        assert_eq!(only(good(lines.replace("NaN", word).as_bytes(), "x.jsonl")), plain);
    }
    let array = format!("[{}]", lines.trim_end().replace('\n', ", \n"));
    let found = good(array.as_bytes(), "x.json");
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(only(found), plain);
    // A cell of a table with JSON in it, and words that only look like it.
    let cell = "messages\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"NaN\"\", \"\"name\"\": NaN}, \
                {\"\"role\"\": \"\"assistant\"\", \"\"content\"\": \"\"b\"\"}]\"\n";
    let [(2, Row::Conversation(talk))] = &good(cell.as_bytes(), "x.csv")[..] else {
        panic!("one conversation")
    };
    assert_eq!(talk.messages[0].content, "NaN");
    assert_eq!(good(b"{\"text\": \"NaN\", \"label\": NaN}", "x.jsonl"), [(1, Row::Text("NaN".into()))]);
    let bare = error(b"{\"text\": NaN, \"label\": 1}", "x.jsonl");
    assert!(bare.starts_with("x.jsonl:1: no known field has a value: text is null"), "{bare}");
    let lacks = error(b"{\"prompt\": \"a\", \"completion\": NaN}", "x.jsonl");
    assert!(lacks.starts_with("x.jsonl:1: the row has prompt, and completion has no value"), "{lacks}");
    let fault = error(b"{\"a\": NaN, \"text\": nan}", "x.jsonl");
    assert!(fault.starts_with("x.jsonl:1: not valid JSON at column 21: expected ident"), "{fault}");
    assert!(
        error(b"{\"input_ids\": [1, NaN]}", "x.jsonl")
            .contains("input_ids[1] must be an integer, found null")
    );
}

/// A reader that repeats a text for ever.
struct Endless(&'static [u8]);

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = buf.len() - buf.len() % self.0.len();
        buf[..count].chunks_mut(self.0.len()).for_each(|part| part.copy_from_slice(self.0));
        Ok(count)
    }
}

#[test]
fn a_file_without_an_end_is_refused() {
    let first = |pattern, name: &str| {
        let reader = BufReader::with_capacity(1 << 16, Endless(pattern));
        let errors: Vec<_> =
            read_rows(reader, name, &DataSection::default()).take(3).filter_map(Result::err).collect();
        assert_eq!(errors.last().unwrap().kind, DataErrorKind::Read, "{name}");
        errors[0].to_string()
    };
    for name in ["zero", "x.jsonl", "x.json", "x.csv", "x.tsv", "x.txt"] {
        let found = first(b"\0", name);
        assert!(found.starts_with(&format!("{name}: the file begins with a NUL byte")), "{found}");
    }
    assert!(first(b"aa", "x.txt").contains("a line does not end within"));
    assert!(first(b"aa", "x.csv").contains("the row is longer than 64 MiB"));
    let header = first(b",a", "x.csv");
    assert!(header.starts_with("x.csv:1: reading failed: a row has more than 16384 cells"), "{header}");
}

/// Files found by changing bytes of good ones, which the reader answered with a panic, or took although its lengths lie.
#[test]
fn arrow_whose_lengths_lie_is_refused() {
    for (bytes, name) in [
        (&include_bytes!("fixtures/damaged/cut.stream.arrow")[..], "cut"),
        (&include_bytes!("fixtures/damaged/lengths.arrow")[..], "lengths"),
    ] {
        let found = rows(bytes, "x.arrow");
        let error = found.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.kind, DataErrorKind::Read);
        assert!(!error.problem.contains("damaged"), "{name}: the library did not panic: {error}");
    }
    // Every length of a good file in turn, too long by far.
    let good = include_bytes!("fixtures/rows.stream.arrow");
    for at in 4..good.len() - 8 {
        for wrong in [i64::MAX, -1, 1 << 40] {
            let mut bytes = good.to_vec();
            bytes[at..at + 8].copy_from_slice(&wrong.to_le_bytes());
            assert!(rows(&bytes, "x.arrow").len() <= 4, "{at} {wrong}");
        }
    }
}
