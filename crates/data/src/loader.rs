//! Files of rows to examples: what is counted, left out and refused on the way.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use lorelei_recipe::{DataSection, OnBadRow};

use crate::{
    encode::{Encoder, Fitted},
    error::{DataError, DataErrorKind},
    example::{Example, Target},
    rows::Row,
};

/// Most bad rows whose errors are kept; the others are counted.
const MAX_ERRORS: usize = 100;

/// Rows that are encoded side by side.
const AT_A_TIME: usize = 512;

/// And how much of them is held at once.
const BYTES_AT_A_TIME: usize = 8 << 20;

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
    /// Examples with something to learn, in file order; without those that were [taken](Loader::take).
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
    /// Hashes of the examples there are: of 128 bits, so that two that differ are not taken for one.
    seen: HashSet<u128>,
    /// Examples that were taken.
    taken: usize,
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
            seen: HashSet::new(),
            taken: 0,
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
        self.begin(file_name);
        self.add_some(&mut rows, count)?;
        self.end();
        Ok(())
    }

    /// A file begins, whose rows come in pieces.
    pub fn begin(&mut self, file_name: &str) {
        self.names.push(file_name.into());
    }

    /// Rows of the file that began, until there are `count` examples that were not taken; whether there are more.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn add_some(
        &mut self,
        rows: &mut dyn Iterator<Item = Result<(usize, Row), DataError>>,
        count: usize,
    ) -> Result<bool, DataError> {
        let name = self.names.last().cloned().unwrap_or_default();
        let mut pieces: Vec<Result<(usize, Row), DataError>> = Vec::new();
        while self.encoded.examples.len() < count {
            let (mut weight, mut is_over) = (0, false);
            while pieces.len() < AT_A_TIME.min(count - self.encoded.examples.len())
                && weight < BYTES_AT_A_TIME
            {
                let Some(row) = rows.next() else {
                    is_over = true;
                    break;
                };
                weight += row.as_ref().map_or(0, |(_, row)| row.size());
                pieces.push(row);
            }
            let fitted = fit_all(&self.encoder, &pieces);
            for (row, fitted) in pieces.drain(..).zip(fitted) {
                self.encoded.rows += usize::from(!matches!(row, Ok((_, Row::Stream { begins: false, .. }))));
                let added = row.and_then(|(line, row)| {
                    self.add_row(&Place { file: name.clone(), line }, &row, fitted)
                        .map_err(|error| error.at(&name, line))
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
            if is_over {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The file that began is over.
    pub fn end(&mut self) {
        let mut rest = std::mem::take(&mut self.stream);
        if !rest.is_empty() {
            rest.extend(self.encoder.tokenizer.eos_id().filter(|_| rest.len() < self.encoder.max_length));
        }
        // What is left of a stream is a row, too.
        let rest = Example::learnt_from(rest, 0);
        if rest.num_targets() > 0 {
            self.encoded.examples.push(rest);
        }
    }

    /// The examples since the last time, so that a host may keep them elsewhere.
    pub fn take(&mut self) -> Vec<Example> {
        self.taken += self.encoded.examples.len();
        std::mem::take(&mut self.encoded.examples)
    }

    /// `fitted` is what the encoder made of the row; of a piece of a stream it is nothing.
    fn add_row(
        &mut self,
        place: &Place,
        row: &Row,
        fitted: Option<Result<Fitted, DataError>>,
    ) -> Result<(), DataError> {
        if let Row::Stream { text, begins } = row {
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
        let Fitted { example, was_cut, num_targets } = fitted.unwrap_or_else(|| self.encoder.fit(row))?;
        self.encoded.truncated += usize::from(was_cut);
        if example.target.is_empty() {
            self.cut_away += usize::from(num_targets > 0);
            self.encoded.skipped.push(place.clone());
        } else if self.deduplicate && !self.seen.insert(hash(&example)) {
            self.encoded.duplicates += 1;
        } else {
            self.encoded.examples.push(example);
        }
        Ok(())
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
        if !examples.is_empty() || self.taken > 0 {
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

/// What the encoder makes of some rows: natively by as many threads as there are processors. None of what is no row by itself.
fn fit_all(
    encoder: &Encoder<'_>,
    rows: &[Result<(usize, Row), DataError>],
) -> Vec<Option<Result<Fitted, DataError>>> {
    let fit = |row: &Result<(usize, Row), DataError>| match row {
        Ok((_, row)) if !matches!(row, Row::Stream { .. }) => Some(encoder.fit(row)),
        _ => None,
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        rows.par_iter().map(fit).collect()
    }
    #[cfg(target_arch = "wasm32")]
    rows.iter().map(fit).collect()
}

fn hash(example: &Example) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &example.input_ids, example.labels(), &example.token_type_ids).hash(&mut hasher);
        match &example.target {
            Target::Tokens(_) | Target::Tags(_) => {}
            Target::Class(class) => class.hash(&mut hasher),
            Target::Classes(classes) => classes.iter().for_each(|value| value.to_bits().hash(&mut hasher)),
            Target::Number(number) => number.to_bits().hash(&mut hasher),
        }
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
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
