//! Rows of labelled files, held until all have been read: only then the number of each label is known.

use std::collections::BTreeSet;

use lorelei_recipe::{Message, message};

use crate::{
    error::{DataError, DataErrorKind},
    labels::{ClassNames, Labels},
    loader::Loader,
    rows::{Row, bad},
};

/// The two ways to write a row for a classifier of tokens.
const NUMBERS: Message = message!("input_ids with the numbers of their classes");
const TAGGED: Message = message!("words with tags");

/// A row with its line, or its error.
type NumberedRow = Result<(usize, Row), DataError>;

/// The rows of some files, good and bad.
#[derive(Default)]
pub struct HeldRows(Vec<(String, Vec<NumberedRow>)>);

impl HeldRows {
    /// Holds the rows of one file more. With `stops`, a bad row is an error.
    ///
    /// # Errors
    ///
    /// The first bad row, with its line, if it is one to stop at.
    pub fn add(
        &mut self,
        rows: impl Iterator<Item = NumberedRow>,
        file_name: &str,
        stops: bool,
    ) -> Result<(), DataError> {
        let mut held = Vec::new();
        for row in rows {
            match row {
                Err(error) if stops => return Err(error),
                // There are no rows after the error that broke the file off.
                Err(error) if error.kind == DataErrorKind::Read => {
                    held.push(Err(error));
                    break;
                }
                row => held.push(row),
            }
        }
        self.0.push((file_name.to_owned(), held));
        Ok(())
    }

    /// Determines the labels of the rows, of words or of texts. If all rows are tokens, their labels are the numbers of the classes.
    ///
    /// # Errors
    ///
    /// If no row has a label, there is but one class, or some rows are words with tags and others are tokens. If there are bad rows, the error is
    /// that of the first.
    pub fn labels(&self, of_words: bool) -> Result<Labels, DataError> {
        let rows = || self.0.iter().flat_map(|(_, rows)| rows).flatten().map(|(_, row)| row);
        let found = match of_words {
            true if self.are_tokens()? => Ok(Labels::of_tokens(rows())),
            true => Labels::of_words(rows()),
            false => Labels::of(rows()),
        };
        // Bad rows are the likely reason.
        let bad = || self.0.iter().flat_map(|(_, rows)| rows).find_map(|row| row.as_ref().err().cloned());
        found.map_err(|error| bad().unwrap_or_else(|| self.in_files(error)))
    }

    /// Whether the rows for a classifier of tokens are tokens, and not words with tags.
    ///
    /// # Errors
    ///
    /// If there are rows of both kinds: which number is which tag is not known.
    fn are_tokens(&self) -> Result<bool, DataError> {
        let mut first = None;
        for (file, rows) in &self.0 {
            for (line, row) in rows.iter().flatten() {
                let is_tokens = match row {
                    Row::Tokens { .. } => true,
                    Row::Words { .. } => false,
                    _ => continue,
                };
                if *first.get_or_insert(is_tokens) != is_tokens {
                    let [this, others] = match is_tokens {
                        true => [NUMBERS, TAGGED],
                        false => [TAGGED, NUMBERS],
                    };
                    let problem =
                        message!("the row has {this}, and rows before it have {others}", this, others);
                    let help = message!("write all rows in one of the two ways");
                    return Err(bad(problem, help).at(file, *line));
                }
            }
        }
        Ok(first.unwrap_or(false))
    }

    /// Returns the same error with the files it is about. If they have no row at all, that is the error.
    fn in_files(&self, error: DataError) -> DataError {
        let error = match self.0.iter().all(|(_, rows)| rows.is_empty()) {
            true => DataError::empty(self.0.len()),
            false => error,
        };
        match &self.0[..] {
            [] => error,
            [(file, _)] => error.in_file(file),
            [(first, _), others @ ..] => error.in_file(&format!("{first} and {} more", others.len())),
        }
    }

    /// Checks that the training rows have all labels of these rows, the validation rows.
    ///
    /// # Errors
    ///
    /// If they lack some: names all of them, and the first row that has one.
    pub fn check(&self, labels: &Labels) -> Result<(), DataError> {
        let mut unknown = BTreeSet::new();
        let mut first = None;
        for (file, rows) in &self.0 {
            for (line, row) in rows.iter().flatten() {
                let found = labels.unknown(row);
                if !found.is_empty() {
                    first.get_or_insert((file, *line));
                    unknown.extend(found);
                }
            }
        }
        let Some((file, line)) = first else { return Ok(()) };
        let unknown = ClassNames::from(Vec::from_iter(unknown));
        let listed = unknown
            .listed()
            .map_or_else(|| message!("of {count} classes", count = unknown.len()), Message::from);
        let problem = message!(
            "labels that no training row has: {listed}; the training rows have {classes}",
            listed,
            classes = labels.listed()
        );
        let help = message!("have training rows with them too, or leave these rows out");
        Err(bad(problem, help).at(file, line))
    }

    /// Gives the rows to a loader whose encoder knows the labels, until it has `count` examples.
    ///
    /// # Errors
    ///
    /// The same as those of [`Loader::add`].
    pub fn load(self, loader: &mut Loader<'_>, count: usize) -> Result<(), DataError> {
        self.0.into_iter().try_for_each(|(file, rows)| loader.add_first(rows.into_iter(), &file, count))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Vec<NumberedRow> {
        let labelled =
            |label: &str| Row::Labelled { text: "a".to_owned(), text_pair: None, label: json!(label) };
        let broken = |kind| Err(DataError::new(kind, "broken", "").at("a.csv", 2));
        vec![Ok((1, labelled("x"))), broken(DataErrorKind::BadRow), Ok((3, labelled("y")))]
    }

    #[test]
    fn bad_rows_stop_or_are_held_with_the_others() {
        let error = HeldRows::default().add(rows().into_iter(), "a.csv", true).unwrap_err();
        assert_eq!((error.file.as_deref(), error.line), (Some("a.csv"), Some(2)));
        let mut held = HeldRows::default();
        held.add(rows().into_iter(), "a.csv", false).unwrap();
        assert_eq!(held.labels(false).unwrap().names(), ["x", "y"]);
        assert_eq!(
            held.labels(true).unwrap_err().problem,
            "broken",
            "rows with words may be among the bad ones"
        );
    }

    #[test]
    fn rows_of_numbered_tokens_need_no_labels() {
        let tokens = || Row::Tokens { input_ids: vec![1, 2], labels: vec![0, 1] };
        let mut held = HeldRows::default();
        held.add([Ok((1, tokens())), Ok((2, tokens()))].into_iter(), "a", true).unwrap();
        assert_eq!(held.labels(true).unwrap().names(), ["0", "1"]);
        assert!(HeldRows::default().labels(true).is_err(), "no row is none of tokens");
    }

    #[test]
    fn tokens_and_words_with_tags_do_not_mix() {
        let tokens = || Row::Tokens { input_ids: vec![1, 2], labels: vec![0, 1] };
        let words = || Row::Words { words: vec!["a".into()], tags: vec![json!("B")] };
        for (rows, wanted) in [
            (
                [words(), tokens()],
                "b.jsonl:7: the row has input_ids with the numbers of their classes, and rows before it have words",
            ),
            (
                [tokens(), words()],
                "b.jsonl:7: the row has words with tags, and rows before it have input_ids",
            ),
        ] {
            let mut held = HeldRows::default();
            for (row, (file, line)) in rows.into_iter().zip([("a.jsonl", 1), ("b.jsonl", 7)]) {
                held.add([Ok((line, row))].into_iter(), file, true).unwrap();
            }
            let error = held.labels(true).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn labels_that_the_training_rows_lack_are_all_named() {
        let held = |labels: &[&str]| {
            let row =
                |label: &&str| Row::Labelled { text: "a".to_owned(), text_pair: None, label: json!(label) };
            let mut held = HeldRows::default();
            let rows = labels.iter().map(row).zip(1..).map(|(row, line)| Ok((line, row)));
            held.add(rows, "valid.csv", true).unwrap();
            held
        };
        let labels = held(&["a", "b"]).labels(false).unwrap();
        assert!(held(&["b", "a", "b"]).check(&labels).is_ok());
        assert_eq!(
            held(&["a", "d", "c", "d"]).check(&labels).unwrap_err().to_string(),
            "valid.csv:2: labels that no training row has: c, d; the training rows have a, b (have training rows with them \
             too, or leave these rows out)"
        );
        let numbers = held(&["1.5", "2"]);
        assert!(numbers.check(&Labels::Number).is_ok());
        let counted = held(&["0", "1", "2"]).labels(false).unwrap();
        assert!(held(&["-1", "2"]).check(&counted).is_ok());
    }

    #[test]
    fn what_is_wrong_with_the_labels_names_the_file() {
        let labelled =
            |label: &str| Row::Labelled { text: "a".to_owned(), text_pair: None, label: json!(label) };
        let of = |files: &[(&str, Vec<Row>)], of_words| {
            let mut held = HeldRows::default();
            for (file, rows) in files {
                held.add(rows.iter().cloned().zip(1..).map(|(row, line)| Ok((line, row))), file, true)
                    .unwrap();
            }
            held.labels(of_words).unwrap_err().to_string()
        };
        let text = || Row::Text("a".to_owned());
        for (found, wanted) in [
            (of(&[("a.csv", vec![])], false), "a.csv: the file is empty: it has no rows"),
            (of(&[("a.csv", vec![])], true), "a.csv: the file is empty: it has no rows"),
            (of(&[("a.csv", vec![]), ("b.csv", vec![])], false), "a.csv and 1 more: the files are empty"),
            (of(&[("a.csv", vec![text()])], false), "a.csv: no row has a label"),
            (of(&[("a.csv", vec![text()])], true), "a.csv: no row has words with tags"),
            (
                of(&[("a.csv", vec![labelled("x"), labelled("x")])], false),
                "a.csv: all rows have the same label, \"x\"",
            ),
        ] {
            assert!(found.starts_with(wanted), "{found}");
        }
    }
}
