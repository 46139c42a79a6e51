//! Reading rows, and showing them as the model will see them.

use std::{
    io::{BufRead, BufReader},
    rc::Rc,
};

use lorelei_data::{
    Bar, DataError, DataErrorKind, Encoded, Encoder, Example, ExampleStore, HeldRows, Labels, Loader, RowSet,
    ShownToken, Statistics, Tokenizer, read_rows, shown, training_rows,
};
use lorelei_formats::config::Task;
use lorelei_models::Purpose;
use lorelei_protocol::{BadRow, DataChoice, DataInfo, LengthBar, PreviewRow, PreviewToken, Reply};
use lorelei_recipe::{DataSection, OnBadRow, TaskType};
use web_sys::File;

use crate::{
    blob::{BlobReader, BlobStream},
    desk, port,
};

/// Most bad rows that are told of.
const MAX_BAD_ROWS: usize = 100;

/// Bars of the picture of lengths.
const BARS: usize = 24;

/// What a run learns from.
#[derive(Clone)]
pub struct Data {
    /// Rows to train on.
    pub train: RowSet,
    /// Rows held out.
    pub validation: RowSet,
    /// A classifier's labels.
    pub labels: Option<Labels>,
    /// What the rows were read for.
    pub task: Task,
}

/// What the page wants to have read.
pub struct Asked {
    pub train: DataChoice,
    pub validation: Option<DataChoice>,
    pub section: DataSection,
    pub task_type: Option<TaskType>,
    pub seed: u64,
    pub rows: usize,
}

/// Reads the data; without bad rows it is what the next run trains on.
pub async fn preview(asked: Asked, files: Vec<File>) -> Result<(), String> {
    let Asked { train, validation, section, task_type, seed, rows } = asked;
    let loaded =
        desk::with(|desk| desk.model.clone()).ok_or("load a model first: its tokenizer reads the data")?;
    let config = loaded.model.config();
    let purpose = Purpose { task: task_type, num_labels: None };
    let task = purpose.trained_task(config).map_err(|error| error.to_string())?;
    let encoder = Encoder::of_section(&loaded.tokenizer, &section).with_vocab_size(config.vocab_size);
    let train = open(&train, &files)?;
    let validation = validation.as_ref().map(|choice| open(choice, &files)).transpose()?;
    let (Read { encoded, mut errors }, held_out, labels) = match task.classifies() {
        false => {
            let read = |opened: Opened<'_>| {
                let mut loader = Loader::survey(encoder, &section);
                let broken = loader.add(read_rows(opened.reader, opened.name, &section), opened.name).err();
                Read::new(loader, broken)
            };
            (read(train), validation.map(read), None)
        }
        true => {
            let hold = |opened: Opened<'_>| {
                let mut rows = HeldRows::default();
                let added = rows.add(read_rows(opened.reader, opened.name, &section), opened.name, false);
                added.map_err(|error| error.to_string()).map(|()| rows)
            };
            let train = hold(train)?;
            let labels =
                train.labels(task == Task::TokenClassification).map_err(|error| error.to_string())?;
            let encoder = encoder.with_labels(&labels);
            let read = |rows: HeldRows| {
                let mut loader = Loader::survey(encoder, &section);
                let broken = rows.load(&mut loader, usize::MAX).err();
                Read::new(loader, broken)
            };
            let train = read(train);
            let held_out = validation.map(hold).transpose()?.map(read);
            (train, held_out, Some(labels))
        }
    };
    let row = |example: &Example| row(example, &loaded.tokenizer, labels.as_ref());
    let preview = encoded.examples.iter().take(rows).map(row).collect();
    let (truncated, skipped) = (encoded.truncated, encoded.skipped.iter().map(|place| place.line).collect());
    let held_out = held_out.map(|read| {
        errors.extend(read.errors);
        Rc::new(read.encoded.examples) as Rc<dyn ExampleStore>
    });
    let rows = training_rows(Rc::new(encoded.examples), held_out, &section, seed);
    let (train, validation) = rows.map_err(|error| error.to_string())?;
    let statistics = Statistics::new(&train, &[], 1, 0.into(), BARS);
    let of = |number: fn(&Statistics) -> usize| statistics.as_ref().map(number).unwrap_or_default();
    let bar = |bar: &Bar| LengthBar { from: bar.from, to: bar.to, count: bar.count };
    // Rows that the recipe has left out are shown, and do not keep the others from being learnt. What ends a file does.
    let skips = section.on_bad_row == OnBadRow::Skip;
    let usable = errors.iter().all(|error| skips && of_a_row(error));
    let info = DataInfo {
        train_rows: if usable || !skips { train.len() } else { 0 },
        validation_rows: validation.len(),
        tokens: of(|found| found.tokens),
        learnt_tokens: of(|found| found.learnt),
        truncated,
        skipped,
        bad_rows: errors.iter().take(MAX_BAD_ROWS).map(bad_row).collect(),
        preview,
        classifies: task.classifies(),
        labels: labels.as_ref().map(|labels| labels.names().to_vec()).unwrap_or_default(),
        lengths: statistics.iter().flat_map(|found| found.histogram.iter().map(bar)).collect(),
        median_length: of(|found| found.median),
        percentile_95: of(|found| found.percentile_95),
        longest: of(|found| found.longest),
    };
    desk::with(|desk| desk.data = usable.then_some(Data { train, validation, labels, task }));
    port::post(&Reply::Previewed(info));
    Ok(())
}

/// Whether an error is about one row, so that the others can be used.
fn of_a_row(error: &DataError) -> bool {
    use DataErrorKind::{EmptyFile, NothingToLearn, Read};
    !matches!(error.kind, Read | EmptyFile | NothingToLearn)
}

fn bad_row(error: &DataError) -> BadRow {
    BadRow { line: error.line.unwrap_or(0), message: error.to_string() }
}

/// Rows that are there to be read.
struct Opened<'n> {
    name: &'n str,
    reader: Box<dyn BufRead>,
}

fn open<'n>(choice: &'n DataChoice, files: &[File]) -> Result<Opened<'n>, String> {
    Ok(match choice {
        DataChoice::Builtin { name } => {
            let rows = lorelei_builtin::data(name).ok_or_else(|| format!("there is no {name}"))?;
            Opened { name, reader: Box::new(rows.as_bytes()) }
        }
        DataChoice::File { index, name } => {
            let file = files.get(*index).ok_or("the data file did not come with the message")?;
            let stream = BlobStream::new(BlobReader::new(file.clone()));
            Opened { name, reader: Box::new(BufReader::with_capacity(1 << 20, stream)) }
        }
    })
}

/// What was read, and everything that is wrong with it.
struct Read {
    encoded: Encoded,
    errors: Vec<DataError>,
}

impl Read {
    fn new(loader: Loader<'_>, broken: Option<DataError>) -> Self {
        let (encoded, mut errors) = loader.finish_survey();
        // What breaks a file off is one of the things that are wrong with it.
        if let Some(broken) = broken {
            errors.retain(|error| error.line.is_some());
            errors.push(broken);
        }
        Self { encoded, errors }
    }
}

fn row(example: &Example, tokenizer: &Tokenizer, labels: Option<&Labels>) -> PreviewRow {
    let token = |(at, token): (usize, ShownToken)| PreviewToken {
        text: token.text,
        id: token.id,
        learnt: token.learnt,
        label: labels.and_then(|labels| labels.token_label(example, at)),
    };
    PreviewRow {
        tokens: shown(example, tokenizer).into_iter().enumerate().map(token).collect(),
        label: labels.and_then(|labels| labels.text_label(example)),
    }
}
