//! Rows of labelled files, held until all have been read: only then the number of each label is known.

use crate::{
    error::{DataError, DataErrorKind},
    labels::Labels,
    loader::Loader,
    rows::Row,
};

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
    /// If no row has a label, or there is but one class. If there are bad rows, the error is that of the first.
    pub fn labels(&self, of_words: bool) -> Result<Labels, DataError> {
        let rows = || self.0.iter().flat_map(|(_, rows)| rows).flatten().map(|(_, row)| row);
        let are_tokens = rows().next().is_some() && rows().all(|row| matches!(row, Row::Tokens { .. }));
        let found = match of_words {
            true if are_tokens => Ok(Labels::of_tokens(rows())),
            true => Labels::of_words(rows()),
            false => Labels::of(rows()),
        };
        // Bad rows are the likely reason.
        let bad = || self.0.iter().flat_map(|(_, rows)| rows).find_map(|row| row.as_ref().err().cloned());
        found.map_err(|error| bad().unwrap_or(error))
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
        assert_eq!(held.labels(true).unwrap(), Labels::Tags(vec!["0".into(), "1".into()]));
        assert!(HeldRows::default().labels(true).is_err(), "no row is none of tokens");
    }
}
