//! Loads files of rows into examples, and counts the rows that are cut, left out or refused.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use lorelei_recipe::{DataSection, OnBadRow, message};

use crate::{
    encode::{EncodedRow, Encoder, Fitted},
    error::{DataError, DataErrorKind},
    example::{Example, Target},
    rows::Row,
    template_changes::TemplateChanges,
    tokenizer::parts,
};

/// Maximum number of bad rows whose errors are kept; the others are only counted.
const MAX_ERRORS: usize = 100;

/// Maximum number of rows that are encoded side by side.
const AT_A_TIME: usize = 512;

/// Bytes of text from which on no further row is added to those encoded side by side.
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
    /// Examples with something to learn, in file order, without those that were [taken](Loader::take).
    pub examples: Vec<Example>,
    /// Number of rows, good and bad.
    pub rows: usize,
    /// Number of rows that were cut at the maximum length.
    pub truncated: usize,
    /// Rows that were left out because nothing of them would be learnt.
    pub skipped: Vec<Place>,
    /// Number of the rows among them whose label stands for none, as -1 does.
    pub unlabelled: usize,
    /// Number of rows that were left out because another has the same tokens and labels.
    pub duplicates: usize,
    /// Number of rows with a label that a language model does not learn.
    pub labelled: usize,
    /// Number of examples of a language model that teach no end: no end token is learnt in the last part that is learnt.
    pub without_end: usize,
    /// Changes that the chat template made to conversations.
    pub changes: TemplateChanges,
    /// Number of rows that were left out because they cannot be used.
    pub bad: usize,
    /// Errors of the first hundred bad rows.
    pub errors: Vec<DataError>,
}

/// Reads rows into [`Encoded`] by the settings of a recipe's `[data]`, file after file.
pub struct Loader<'t> {
    encoder: Encoder<'t>,
    reads_on: bool,
    deduplicate: bool,
    /// Hashes of the examples so far. They have 128 bits, so that different examples are not mistaken for equal ones.
    seen: HashSet<u128>,
    /// Number of examples that were taken.
    taken: usize,
    /// Tokens of a stream that do not fill a row yet.
    stream: Vec<u32>,
    encoded: Encoded,
    /// Number of rows whose learnt tokens were all cut off.
    cut_away: usize,
    names: Vec<Arc<str>>,
}

impl<'t> Loader<'t> {
    /// Creates a loader. The first bad row is an error; with `on_bad_row = "skip"` bad rows are left out.
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

    /// Like [`Self::new`], but reads on after a bad row whatever the recipe sets, so that all bad rows can be shown at once.
    pub fn survey(encoder: Encoder<'t>, section: &DataSection) -> Self {
        Self { reads_on: true, ..Self::new(encoder, section) }
    }

    /// Encodes every row of a file.
    ///
    /// # Errors
    ///
    /// Returns the first bad row, with its line. Where bad rows are left out, returns only an error that ends the file early.
    pub fn add(
        &mut self,
        rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
        file_name: &str,
    ) -> Result<(), DataError> {
        self.add_first(rows, file_name, usize::MAX)
    }

    /// Like [`Self::add`], but reads only as many rows as it takes to have `count` examples.
    ///
    /// # Errors
    ///
    /// The same as those of [`Self::add`].
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

    /// Begins a file whose rows come in pieces.
    pub fn begin(&mut self, file_name: &str) {
        self.names.push(file_name.into());
    }

    /// Encodes rows of the file that was begun until there are `count` examples that were not taken. Returns whether there are more rows.
    ///
    /// # Errors
    ///
    /// The same as those of [`Self::add`].
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

    /// Ends the file that was begun.
    pub fn end(&mut self) {
        let mut rest = std::mem::take(&mut self.stream);
        if !rest.is_empty() {
            rest.extend(self.encoder.tokenizer.eos_id().filter(|_| rest.len() < self.encoder.max_length));
        }
        // The rest of a stream is a row, too.
        let rest = Example::learnt_from(rest, 0);
        if rest.num_targets() > 0 {
            self.encoded.examples.push(rest);
        }
    }

    /// Takes the examples since the last call, so that a host can store them elsewhere.
    pub fn take(&mut self) -> Vec<Example> {
        self.taken += self.encoded.examples.len();
        std::mem::take(&mut self.encoded.examples)
    }

    /// Adds a row. `fitted` is the encoder's result for it; a piece of a stream has none.
    fn add_row(
        &mut self,
        place: &Place,
        row: &Row,
        fitted: Option<Result<EncodedRow, DataError>>,
    ) -> Result<(), DataError> {
        if let Row::Stream { text, begins } = row {
            for (at, part) in parts(text).enumerate() {
                let ids = self.encoder.tokenizer.encode(part, *begins && at == 0)?;
                let piece = Example::learnt_from(ids, 0);
                self.encoder.check_ids(&piece)?;
                self.stream.extend(piece.input_ids);
            }
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
        let fitted = fitted.unwrap_or_else(|| self.encoder.fit(row));
        if fitted.as_ref().is_err_and(|error| error.kind == DataErrorKind::NoLabel) {
            self.encoded.unlabelled += 1;
            self.encoded.skipped.push(place.clone());
            return Ok(());
        }
        let EncodedRow { fitted, lacks_end, changes } = fitted?;
        let Fitted { example, was_cut, num_targets } = fitted;
        self.encoded.changes.add(&changes);
        self.encoded.truncated += usize::from(was_cut);
        if example.target.is_empty() {
            self.cut_away += usize::from(num_targets > 0);
            self.encoded.skipped.push(place.clone());
        } else if self.deduplicate && !self.seen.insert(hash(&example)) {
            self.encoded.duplicates += 1;
        } else {
            self.encoded.without_end += usize::from(lacks_end);
            self.encoded.examples.push(example);
        }
        Ok(())
    }

    /// Returns the rows that were read.
    ///
    /// # Errors
    ///
    /// If there is nothing to learn: no row, only bad rows, or only masked ones.
    pub fn finish(self) -> Result<Encoded, DataError> {
        match self.problem() {
            Some(error) => Err(error),
            None => Ok(self.encoded),
        }
    }

    /// Returns the rows that were read, and all their errors.
    pub fn finish_survey(self) -> (Encoded, Vec<DataError>) {
        let mut errors = self.encoded.errors.clone();
        if errors.is_empty() {
            errors.extend(self.problem());
        }
        (self.encoded, errors)
    }

    /// Returns the reason why there is nothing to train on, if so.
    fn problem(&self) -> Option<DataError> {
        let Encoded { examples, skipped, errors, bad, .. } = &self.encoded;
        if !examples.is_empty() || self.taken > 0 {
            return None;
        }
        let several = self.names.iter().collect::<HashSet<_>>().len() > 1;
        let error = match (errors.first(), skipped.len()) {
            (Some(first), 0) => {
                let problem = message!(
                    "every row is bad ({count}); the first: {problem}",
                    count = *bad,
                    problem = &first.problem
                );
                return Some(DataError { problem, ..first.clone() });
            }
            (None, 0) => DataError::empty(if several { 2 } else { 1 }),
            (_, rows) if self.encoded.unlabelled == rows => DataError::new(
                DataErrorKind::NothingToLearn,
                message!("no row has a label: in all {rows} it is -1 or -100, which stand for none", rows),
                message!("name a file with labels"),
            ),
            (_, rows) => DataError::new(
                DataErrorKind::NothingToLearn,
                message!(
                    "nothing to learn: in each of the {rows} rows every label is masked; {cut} lost what they had to learn \
                     when they were cut at {tokens} tokens, {others} had nothing to learn (no assistant turn, all labels -100, or a \
                     single token)",
                    rows,
                    cut = self.cut_away,
                    tokens = self.encoder.max_length,
                    others = rows - self.cut_away
                ),
                match self.cut_away {
                    0 => message!("check the rows' roles and labels"),
                    _ => message!("raise max_length"),
                },
            ),
        };
        Some(match self.names.first() {
            Some(name) if !several => error.in_file(name),
            _ => error,
        })
    }
}

/// Encodes rows, on native targets with as many threads as there are processors. Errors and pieces of a stream give `None`.
fn fit_all(
    encoder: &Encoder<'_>,
    rows: &[Result<(usize, Row), DataError>],
) -> Vec<Option<Result<EncodedRow, DataError>>> {
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

/// Encodes every row of a file and leaves nothing out. The first bad row is an error, with its line. A file without rows and one without anything to
/// learn are errors, too.
pub fn encode_rows(
    rows: impl Iterator<Item = Result<(usize, Row), DataError>>,
    file_name: &str,
    encoder: &Encoder<'_>,
) -> Result<Encoded, DataError> {
    let mut loader = Loader::new(*encoder, &DataSection::default());
    loader.add(rows, file_name)?;
    loader.finish()
}
