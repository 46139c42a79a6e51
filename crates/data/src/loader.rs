//! Files of rows to examples: what is counted, left out and refused on the way.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use lorelei_recipe::{DataSection, OnBadRow};

use crate::{
    encode::{Encoder, Example, Fitted},
    error::{DataError, DataErrorKind},
    rows::Row,
};

/// Most bad rows whose errors are kept; the others are counted.
const MAX_ERRORS: usize = 100;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the caller gave it.
    pub file: Arc<str>,
    /// The line on which the row begins, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The examples of some files.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoded {
    /// Examples with something to learn, in file order.
    pub examples: Vec<Example>,
    /// Rows, good and bad.
    pub rows: usize,
    /// How many rows were cut at the maximum length.
    pub truncated: usize,
    /// Rows that were left out because nothing of them would be learnt.
    pub skipped: Vec<Place>,
    /// Rows that were left out because another has the same tokens and labels.
    pub duplicates: usize,
    /// Rows with a label, which a language model does not learn.
    pub labelled: usize,
    /// Rows that were left out because they cannot be used.
    pub bad: usize,
    /// What is wrong with the first hundred of them.
    pub errors: Vec<DataError>,
}

/// Reads rows into [`Encoded`] as a recipe's `[data]` says, file after file.
pub struct Loader<'t> {
    encoder: Encoder<'t>,
    reads_on: bool,
    deduplicate: bool,
    /// The examples there are, by a hash of their tokens and labels.
    seen: HashMap<u64, Vec<usize>>,
    /// Tokens of a stream that do not fill a row yet.
    stream: Vec<u32>,
    encoded: Encoded,
    /// Rows of which what was to be learnt was cut off.
    cut_away: usize,
    names: Vec<Arc<str>>,
}

impl<'t> Loader<'t> {
    /// The first bad row is the error, or with `on_bad_row = "skip"` it is left out.
    pub fn new(encoder: Encoder<'t>, section: &DataSection) -> Self {
        Self {
            encoder,
            reads_on: section.on_bad_row == OnBadRow::Skip,
            deduplicate: section.deduplicate,
            seen: HashMap::new(),
            stream: Vec::new(),
            encoded: Encoded::default(),
            cut_away: 0,
            names: Vec::new(),
        }
    }

    /// As [`Self::new`], but reads on after a bad row whatever the recipe says, so that all of them can be shown at once.
    pub fn survey(encoder: Encoder<'t>, section: &DataSection) -> Self {
        Self { reads_on: true, ..Self::new(encoder, section) }
    }

    /// Encodes every row of a file.
    ///
    /// # Errors
    ///
    /// The first bad row, with its line. Where bad rows are left out, only what ends the file before its end.
    pub fn add(
        &mut self,
        rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
        file_name: &str,
    ) -> Result<(), DataError> {
        self.add_first(rows, file_name, usize::MAX)
    }

    /// As [`Self::add`], and no more rows than it takes to have `count` examples.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn add_first(
        &mut self,
        mut rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
        file_name: &str,
        count: usize,
    ) -> Result<(), DataError> {
        let name: Arc<str> = file_name.into();
        self.names.push(name.clone());
        while self.encoded.examples.len() < count
            && let Some(row) = rows.next()
        {
            let goes_on = matches!(row, Ok((_, Row::Stream { begins: false, .. })));
            self.encoded.rows += usize::from(!goes_on);
            let added = row.and_then(|(line, row)| {
                self.add_row(&Place { file: name.clone(), line }, row)
                    .map_err(|error| error.at(file_name, line))
            });
            if let Err(error) = added {
                if !self.reads_on || error.kind == DataErrorKind::Read {
                    return Err(error);
                }
                self.encoded.bad += 1;
                if self.encoded.errors.len() < MAX_ERRORS {
                    self.encoded.errors.push(error);
                }
            }
        }
        self.end_stream();
        Ok(())
    }

    fn add_row(&mut self, place: &Place, row: Row) -> Result<(), DataError> {
        if let Row::Stream { text, begins } = &row {
            self.stream.extend(self.encoder.tokenizer.encode(text, *begins)?);
            let length = self.encoder.max_length;
            let whole = self.stream.len() - self.stream.len() % length;
            for ids in self.stream[..whole].chunks(length) {
                self.encoded.examples.push(Example::learnt_from(ids.to_vec(), 0));
            }
            self.stream.drain(..whole);
            return Ok(());
        }
        let is_labelled = matches!(row, Row::Labelled { .. } | Row::Words { .. });
        self.encoded.labelled += usize::from(is_labelled && !self.encoder.classifies());
        let Fitted { example, was_cut, num_targets } = self.encoder.fit(&row)?;
        self.encoded.truncated += usize::from(was_cut);
        if example.num_targets() == 0 {
            self.cut_away += usize::from(num_targets > 0);
            self.encoded.skipped.push(place.clone());
        } else if self.deduplicate && self.is_known(&example) {
            self.encoded.duplicates += 1;
        } else {
            self.encoded.examples.push(example);
        }
        Ok(())
    }

    /// Whether there is such an example; if not, it is the next.
    fn is_known(&mut self, example: &Example) -> bool {
        let mut hasher = DefaultHasher::new();
        (&example.input_ids, &example.labels).hash(&mut hasher);
        let same = self.seen.entry(hasher.finish()).or_default();
        let known = same.iter().any(|index| self.encoded.examples[*index] == *example);
        if !known {
            same.push(self.encoded.examples.len());
        }
        known
    }

    /// What is left of a stream is a row, too.
    fn end_stream(&mut self) {
        let mut rest = std::mem::take(&mut self.stream);
        if !rest.is_empty() {
            rest.extend(self.encoder.tokenizer.eos_id().filter(|_| rest.len() < self.encoder.max_length));
        }
        let rest = Example::learnt_from(rest, 0);
        if rest.num_targets() > 0 {
            self.encoded.examples.push(rest);
        }
    }

    /// What was read.
    ///
    /// # Errors
    ///
    /// If there is nothing to learn: no row, only bad ones, or only masked ones.
    pub fn finish(self) -> Result<Encoded, DataError> {
        match self.problem() {
            Some(error) => Err(error),
            None => Ok(self.encoded),
        }
    }

    /// What was read, and everything that is wrong with it.
    pub fn finish_survey(self) -> (Encoded, Vec<DataError>) {
        let mut errors = self.encoded.errors.clone();
        if errors.is_empty() {
            errors.extend(self.problem());
        }
        (self.encoded, errors)
    }

    /// Why there is nothing to train on, if so.
    fn problem(&self) -> Option<DataError> {
        let Encoded { examples, skipped, errors, bad, .. } = &self.encoded;
        if !examples.is_empty() {
            return None;
        }
        let several = self.names.iter().collect::<HashSet<_>>().len() > 1;
        let error = match (errors.first(), skipped.len()) {
            (Some(first), 0) => {
                let problem = format!("every row is bad ({bad}); the first: {}", first.problem);
                return Some(DataError { problem, ..first.clone() });
            }
            (None, 0) if several => DataError::new(
                DataErrorKind::EmptyFile,
                "the files are empty: they have no rows",
                "give them at least one row",
            ),
            (None, 0) => DataError::new(
                DataErrorKind::EmptyFile,
                "the file is empty: it has no rows",
                "give it at least one row",
            ),
            (_, rows) => DataError::new(
                DataErrorKind::NothingToLearn,
                format!(
                    "nothing to learn: in each of the {rows} rows every label is masked; {} lost what they had to learn \
                     when they were cut at {} tokens, {} had nothing to learn (no assistant turn, all labels -100, or a \
                     single token)",
                    self.cut_away,
                    self.encoder.max_length,
                    rows - self.cut_away
                ),
                if self.cut_away > 0 { "raise max_length" } else { "check the rows' roles and labels" },
            ),
        };
        Some(match self.names.first() {
            Some(name) if !several => error.in_file(name),
            _ => error,
        })
    }
}

/// Encodes every row of a file with nothing left out. The first bad row is the error, with its line; so is a file without
/// rows, and one of which nothing would be learnt.
pub fn encode_rows(
    rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
    file_name: &str,
    encoder: &Encoder<'_>,
) -> Result<Encoded, DataError> {
    let mut loader = Loader::new(*encoder, &DataSection::default());
    loader.add(rows, file_name)?;
    loader.finish()
}
