//! Files of rows.

use std::{io::BufReader, sync::OnceLock};

use lorelei_data::{DataErrorKind, Encoder, HeldRows, Labels, Loader, Row, Tokenizer, read_rows, shown};
use lorelei_recipe::{DataSection, SampleBy};

use crate::text;

/// Reads rows of JSON, a line each.
pub fn jsonl(input: &[u8]) {
    read(input, "rows.jsonl");
}

/// Reads one JSON array of rows.
pub fn json(input: &[u8]) {
    read(input, "rows.json");
}

/// Reads a table and a plain text: the first bytes say which.
pub fn csv(input: &[u8]) {
    let (name, rest) = match input {
        [b't', rest @ ..] => ("rows.tsv", rest),
        [b'x', rest @ ..] => ("rows.txt", rest),
        rest => ("rows.csv", rest),
    };
    read(rest, name);
}

/// Reads a Parquet file. `PAR1` is put before bytes that begin otherwise.
pub fn parquet(input: &[u8]) {
    read_after(b"PAR1", input, "rows.parquet");
}

/// Reads an Arrow file or stream. The sign of a message is put before bytes that begin otherwise.
pub fn arrow(input: &[u8]) {
    let magic: &[u8] = if input.starts_with(b"ARROW1") { b"" } else { &[0xff; 4] };
    read_after(magic, input, "rows.arrow");
}

/// Reads a file that is compressed, or in UTF-16.
pub fn compressed(input: &[u8]) {
    read(input, "rows.jsonl.gz");
}

fn read_after(magic: &[u8], input: &[u8], name: &str) {
    match input.starts_with(magic) {
        true => read(input, name),
        false => read(&[magic, input].concat(), name),
    }
}

/// Reads labels of classes, as they lie beside an adapter.
pub fn labels(input: &[u8]) {
    if let Ok(labels) = Labels::from_json(&text(input)) {
        let again = Labels::from_json(&labels.to_json()).expect("labels that were written are read");
        assert_eq!(again.to_json(), labels.to_json());
        let _ = (labels.num_labels(), labels.summary(), labels.listed());
    }
}

/// Reads every row, encodes it for a language model, and finds the labels of a classifier.
fn read(input: &[u8], name: &str) {
    let section = DataSection { max_length: 64, sample_by: SampleBy::Line, ..DataSection::default() };
    // A small buffer: what is recognised by its beginning must not depend on how much arrives at once.
    let rows: Vec<_> = read_rows(BufReader::with_capacity(64, input), name, &section).collect();
    let whole: Vec<_> = read_rows(input, name, &section).collect();
    // An array behind more white space than a buffer holds is taken for lines, and a damaged file breaks off where its decoder says.
    let begins = input.iter().take(64).any(|byte| byte.is_ascii_graphic());
    let is_whole = !matches!(whole.last(), Some(Err(error)) if error.kind == DataErrorKind::Read);
    assert!(!begins || !is_whole || rows.len() == whole.len(), "the size of a buffer changes the rows");
    let mut last = 0;
    for (index, row) in rows.iter().enumerate() {
        match row {
            Ok((line, row)) => {
                assert!(*line >= last, "line {line} after line {last}");
                last = *line;
                check(row);
            }
            Err(error) => {
                let ends = error.kind != DataErrorKind::Read || index + 1 == rows.len();
                assert!(ends, "rows after the end of the file: {error}");
            }
        }
    }
    let mut loader = Loader::survey(Encoder::of_section(tokenizer(), &section), &section);
    if loader.add(whole.into_iter(), name).is_ok() {
        let (encoded, _) = loader.finish_survey();
        for example in &encoded.examples {
            assert!(example.input_ids.len() <= section.max_length);
            let _ = shown(example, tokenizer());
        }
    }
    for of_words in [false, true] {
        let mut held = HeldRows::default();
        let _ = held.add(read_rows(input, name, &section), name, false);
        let Ok(labels) = held.labels(of_words) else { continue };
        let _ = held.check(&labels);
        let encoder = Encoder::of_section(tokenizer(), &section).with_labels(&labels);
        let mut loader = Loader::survey(encoder, &section);
        let _ = held.load(&mut loader, usize::MAX);
    }
}

fn check(row: &Row) {
    if let Row::Tokens { input_ids, labels } = row {
        assert_eq!(input_ids.len(), labels.len());
    }
    if let Row::Words { words, tags } = row {
        assert_eq!(words.len(), tags.len());
    }
}

/// Returns the tokenizer of the embedded model.
pub fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let model = lorelei_builtin::model("builtin:tiny").expect("the embedded model");
        Tokenizer::from_files(model.tokenizer.as_bytes(), Some(model.tokenizer_config), None)
            .expect("its tokenizer")
    })
}
