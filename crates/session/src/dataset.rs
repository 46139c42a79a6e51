//! Reads files of rows into the examples of a run.

use std::rc::Rc;

use lorelei_data::{
    DataError, Encoded, Encoder, Example, ExampleStore, ExamplesDigest, ExamplesHasher, HeldRows, Labels,
    Loader, Padding, RowSet, Rows, Tokenizer, training_rows,
};
use lorelei_formats::config::Task;
use lorelei_protocol::Notice;
use lorelei_recipe::{DataSection, OnBadRow, Recipe, message};

use crate::{Host, Result, RowFile, SessionError};

/// Number of examples that are stored at a time.
const AT_A_TIME: usize = 4096;

/// Request to read rows as examples.
#[derive(Clone, Copy)]
pub struct DatasetRequest<'r> {
    /// The tokenizer of the model.
    pub tokenizer: &'r Tokenizer,
    /// Number of rows of the model's embedding.
    pub vocab_size: usize,
    /// The task that the model is trained for.
    pub task: Task,
    /// Settings of how rows become examples.
    pub section: &'r DataSection,
    /// Treatment of rows that cannot be used.
    pub bad_rows: BadRows,
}

/// Treatment of rows that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRows {
    /// The first such row is returned as the error. With `on_bad_row = "skip"`, such rows are skipped and counted instead.
    AsTheRecipeSays,
    /// All such rows are skipped and listed, so that they can be shown at once.
    List,
}

/// The examples of a recipe's files, before they are split and packed.
pub struct Dataset {
    /// Result of encoding the training rows. Their examples are in the store.
    pub train: Encoded,
    /// Result of encoding the validation rows, if they have files of their own.
    pub validation: Option<Encoded>,
    /// A classifier's labels.
    pub labels: Option<Labels>,
    /// Errors of rows that were skipped, or of a file that could not be read to its end.
    pub errors: Vec<DataError>,
    train_examples: Rc<dyn ExampleStore>,
    validation_examples: Option<Rc<dyn ExampleStore>>,
    digests: Digests,
    task: Task,
}

/// The data of a run.
#[derive(Clone, Debug)]
pub struct RunData {
    /// Rows to train on.
    pub train: RowSet,
    /// Rows held out; may be empty.
    pub validation: RowSet,
    /// A classifier's labels.
    pub labels: Option<Labels>,
    /// The task that the rows were read for.
    pub task: Task,
    /// The examples by which a resumed run knows its rows.
    pub digests: Digests,
}

/// Digests of the examples of a recipe's files, before they are split and packed.
#[derive(Clone, Debug)]
pub struct Digests {
    /// Those of the training files.
    pub train: ExamplesDigest,
    /// Those of the validation files, if there are any.
    pub validation: Option<ExamplesDigest>,
}

/// The encoded rows of one split.
struct Split {
    encoded: Encoded,
    examples: Rc<dyn ExampleStore>,
    digest: ExamplesDigest,
    errors: Vec<DataError>,
}

impl Dataset {
    /// Reads the training files, and the validation files if the recipe names any.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or there is nothing to train on. If a row cannot be used, unless such rows are skipped or listed.
    pub fn read<H: Host>(
        host: &H,
        request: DatasetRequest<'_>,
        train: &H::DataName,
        validation: Option<&H::DataName>,
    ) -> Result<Self> {
        let rows = |name| host.rows(name, request.section);
        let (train, validation) = (rows(train)?, validation.map(rows).transpose()?);
        let encoder = request.encoder();
        let (train, validation, labels) = match request.task.classifies() {
            false => {
                let read = |files| stream(host, &request, encoder, files);
                (read(train)?, validation.map(read).transpose()?, None)
            }
            true => {
                let train = request.hold(host, train)?;
                let labels = train.labels(request.task == Task::TokenClassification)?;
                let encoder = encoder.with_labels(&labels);
                let validation = validation.map(|files| request.hold(host, files)).transpose()?;
                if let Some(rows) = validation.as_ref().filter(|_| request.stops()) {
                    rows.check(&labels)?;
                }
                let encode = |rows: HeldRows| encode_held(&request, encoder, rows);
                (encode(train)?, validation.map(encode).transpose()?, Some(labels))
            }
        };
        request.say_of(host, [Some(&train.encoded), validation.as_ref().map(|split| &split.encoded)]);
        let mut errors = train.errors;
        let validation = validation.map(|split| {
            errors.extend(split.errors);
            (split.encoded, (split.examples, split.digest))
        });
        let (validation, stored) = validation.unzip();
        let (validation_examples, validation_digest) = stored.unzip();
        Ok(Self {
            train: train.encoded,
            train_examples: train.examples,
            validation,
            validation_examples,
            labels,
            errors,
            digests: Digests { train: train.digest, validation: validation_digest },
            task: request.task,
        })
    }

    /// The training examples.
    pub fn examples(&self) -> &dyn ExampleStore {
        &*self.train_examples
    }

    /// Splits and packs the rows for a run. If the recipe asks for it, validation rows are held out at random, by `seed`.
    ///
    /// # Errors
    ///
    /// If an example cannot be read back.
    pub fn split(self, section: &DataSection, seed: u64) -> Result<RunData> {
        let (train, validation) =
            training_rows(self.train_examples, self.validation_examples, section, seed)?;
        Ok(RunData { train, validation, labels: self.labels, task: self.task, digests: self.digests })
    }
}

impl DatasetRequest<'_> {
    fn encoder(&self) -> Encoder<'_> {
        Encoder::of_section(self.tokenizer, self.section).with_vocab_size(self.vocab_size)
    }

    /// Shows notices about a model without an end token, and about what its chat template does to conversations.
    fn say_of(&self, host: &impl Host, encoded: [Option<&Encoded>; 2]) {
        if self.task.classifies() {
            return;
        }
        if self.tokenizer.eos_id().is_none() {
            let message = message!(
                "the model has no end token: neither its tokenizer's files, generation_config.json nor config.json name one that is \
                 in the vocabulary. Rows of text do not teach where to end; set eos_token in tokenizer_config.json"
            );
            host.notice(Notice::new("no_end_token", message));
        }
        for sentence in encoded.into_iter().flatten().flat_map(|encoded| encoded.changes.sentences()) {
            host.notice(Notice::new("template_changes", sentence));
        }
    }

    fn loader<'e>(&self, encoder: Encoder<'e>) -> Loader<'e> {
        match self.bad_rows {
            BadRows::AsTheRecipeSays => Loader::new(encoder, self.section),
            BadRows::List => Loader::survey(encoder, self.section),
        }
    }

    /// Whether a row that cannot be used is an error.
    fn stops(&self) -> bool {
        self.bad_rows == BadRows::AsTheRecipeSays && self.section.on_bad_row == OnBadRow::Error
    }

    /// Reads all rows of some files. The number of a label is not known before that.
    fn hold(&self, host: &impl Host, files: Vec<RowFile<'_>>) -> Result<HeldRows> {
        let stops = self.stops();
        let mut held = HeldRows::default();
        for RowFile { name, open } in files {
            held.add(opened(host, open()?), &name, stops)?;
        }
        Ok(held)
    }

    /// Returns what a loader has read. Returns the first error, or lists all errors if the request asks for it. `broken` is the error that ended
    /// the reading of a file.
    fn finish(&self, loader: Loader<'_>, broken: Option<DataError>) -> Result<(Encoded, Vec<DataError>)> {
        match self.bad_rows {
            BadRows::AsTheRecipeSays => match broken {
                Some(error) => Err(error.into()),
                None => Ok((loader.finish()?, Vec::new())),
            },
            BadRows::List => {
                let (encoded, mut errors) = loader.finish_survey();
                if let Some(broken) = broken {
                    errors.retain(|error| error.line.is_some());
                    errors.push(broken);
                }
                Ok((encoded, errors))
            }
        }
    }
}

/// Shows a notice if a file is read otherwise than its name says, and returns its rows.
fn opened<'r>(host: &impl Host, rows: Rows<'r>) -> Rows<'r> {
    if let Some(remark) = rows.remark() {
        host.notice(Notice::new("read_otherwise", remark));
    }
    rows
}

/// Encodes rows as they are read, and stores their examples.
fn stream(
    host: &impl Host,
    request: &DatasetRequest<'_>,
    encoder: Encoder<'_>,
    files: Vec<RowFile<'_>>,
) -> Result<Split> {
    let mut loader = request.loader(encoder);
    let mut store = host.examples();
    let mut hasher = ExamplesHasher::default();
    let mut keep = |examples: Vec<Example>| {
        hasher.add(&examples);
        store.push_all(examples)
    };
    let mut broken = None;
    for RowFile { name, open } in files {
        let mut rows = opened(host, open()?);
        loader.begin(&name);
        loop {
            match loader.add_some(&mut rows, AT_A_TIME) {
                Ok(is_more) => {
                    keep(loader.take())?;
                    if !is_more {
                        break;
                    }
                }
                Err(error) => {
                    broken.get_or_insert(error);
                    break;
                }
            }
        }
        loader.end();
        keep(loader.take())?;
        if broken.is_some() {
            break;
        }
    }
    let (encoded, errors) = request.finish(loader, broken)?;
    let examples = Rc::<dyn ExampleStore>::from(store as Box<dyn ExampleStore>);
    Ok(Split { encoded, examples, digest: hasher.finish(), errors })
}

/// Encodes rows that are in memory and whose labels are known.
fn encode_held(request: &DatasetRequest<'_>, encoder: Encoder<'_>, rows: HeldRows) -> Result<Split> {
    let mut loader = request.loader(encoder);
    let broken = rows.load(&mut loader, usize::MAX).err();
    let (mut encoded, errors) = request.finish(loader, broken)?;
    let examples = std::mem::take(&mut encoded.examples);
    let mut hasher = ExamplesHasher::default();
    hasher.add(&examples);
    Ok(Split { encoded, examples: Rc::new(examples), digest: hasher.finish(), errors })
}

/// Returns the first `count` examples of some files, and the errors of the rows before them. Reads no more rows than needed, except for a
/// classifier, whose labels are collected from all rows.
///
/// # Errors
///
/// If a file cannot be read. If no row can be used: the error is that of the first row.
pub fn first_examples<H: Host>(
    host: &H,
    request: DatasetRequest<'_>,
    train: &H::DataName,
    count: usize,
) -> Result<Encoded> {
    let request = DatasetRequest { bad_rows: BadRows::List, ..request };
    let files = host.rows(train, request.section)?;
    let labels;
    let mut loader;
    if request.task.classifies() {
        let held = request.hold(host, files)?;
        labels = held.labels(request.task == Task::TokenClassification)?;
        loader = request.loader(request.encoder().with_labels(&labels));
        held.load(&mut loader, count)?;
    } else {
        loader = request.loader(request.encoder());
        for RowFile { name, open } in files {
            loader.add_first(opened(host, open()?), &name, count)?;
        }
    }
    let (mut encoded, errors) = loader.finish_survey();
    request.say_of(host, [Some(&encoded), None]);
    match errors.into_iter().next() {
        Some(error) if encoded.examples.is_empty() => Err(SessionError::Data(error)),
        _ => {
            encoded.examples.truncate(count);
            Ok(encoded)
        }
    }
}

/// Returns the padding of the rows of a batch.
pub fn padding(recipe: &Recipe, tokenizer: &Tokenizer) -> Padding {
    Padding { id: tokenizer.pad_id().unwrap_or(0), multiple_of: recipe.data.pad_to_multiple_of.unwrap_or(1) }
}
