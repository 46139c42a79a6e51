//! Reading rows, and showing them as the model will see them.

use std::{
    io::{BufRead, BufReader},
    rc::Rc,
};

use lorelei_data::{
    Bar, DataError, DataErrorKind, Encoded, Encoder, Example, ExampleStore, Loader, ShownToken, Statistics,
    Tokenizer, read_rows, shown, training_rows,
};
use lorelei_protocol::{BadRow, DataChoice, DataInfo, LengthBar, PreviewRow, PreviewToken, Reply};
use lorelei_recipe::{DataSection, OnBadRow};
use web_sys::File;

use crate::{
    blob::{BlobReader, BlobStream},
    desk, port,
};

/// Most bad rows that are told of.
const MAX_BAD_ROWS: usize = 100;

/// Bars of the picture of lengths.
const BARS: usize = 24;

/// Reads the data; without bad rows it is what the next run trains on.
pub async fn preview(
    train: DataChoice,
    validation: Option<DataChoice>,
    section: DataSection,
    seed: u64,
    rows: usize,
    files: Vec<File>,
) -> Result<(), String> {
    let loaded =
        desk::with(|desk| desk.model.clone()).ok_or("load a model first: its tokenizer reads the data")?;
    let vocab_size = loaded.model.config().vocab_size;
    let encoder = Encoder::of_section(&loaded.tokenizer, &section).with_vocab_size(vocab_size);
    let (encoded, mut errors) = read(&train, &files, &encoder, &section)?;
    let preview = encoded.examples.iter().take(rows).map(|example| row(example, &loaded.tokenizer)).collect();
    let (truncated, skipped) = (encoded.truncated, encoded.skipped.iter().map(|place| place.line).collect());
    let validation = match &validation {
        Some(choice) => {
            let (encoded, more) = read(choice, &files, &encoder, &section)?;
            errors.extend(more);
            Some(Rc::new(encoded.examples) as Rc<dyn ExampleStore>)
        }
        None => None,
    };
    let rows = training_rows(Rc::new(encoded.examples), validation, &section, seed, false);
    let (train_rows, validation_rows) = rows.map_err(|error| error.to_string())?;
    let statistics = Statistics::new(&train_rows, &[], 1, 0.into(), BARS);
    let of = |number: fn(&Statistics) -> usize| statistics.as_ref().map(number).unwrap_or_default();
    let bar = |bar: &Bar| LengthBar { from: bar.from, to: bar.to, count: bar.count };
    // Rows that the recipe has left out are shown, and do not keep the others from being learnt. What ends a file does.
    let skips = section.on_bad_row == OnBadRow::Skip;
    let usable = errors.iter().all(|error| skips && of_a_row(error));
    let info = DataInfo {
        train_rows: if usable || !skips { train_rows.len() } else { 0 },
        validation_rows: validation_rows.len(),
        tokens: of(|found| found.tokens),
        learnt_tokens: of(|found| found.learnt),
        truncated,
        skipped,
        bad_rows: errors.iter().take(MAX_BAD_ROWS).map(bad_row).collect(),
        preview,
        lengths: statistics.iter().flat_map(|found| found.histogram.iter().map(bar)).collect(),
        median_length: of(|found| found.median),
        percentile_95: of(|found| found.percentile_95),
        longest: of(|found| found.longest),
    };
    desk::with(|desk| desk.data = usable.then_some((train_rows, validation_rows)));
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

fn read(
    choice: &DataChoice,
    files: &[File],
    encoder: &Encoder<'_>,
    section: &DataSection,
) -> Result<(Encoded, Vec<DataError>), String> {
    let (name, reader): (&str, Box<dyn BufRead>) = match choice {
        DataChoice::Builtin { name } => {
            let rows = lorelei_builtin::data(name).ok_or_else(|| format!("there is no {name}"))?;
            (name, Box::new(rows.as_bytes()))
        }
        DataChoice::File { index, name } => {
            let file = files.get(*index).ok_or("the data file did not come with the message")?;
            let stream = BlobStream::new(BlobReader::new(file.clone()));
            (name, Box::new(BufReader::with_capacity(1 << 20, stream)))
        }
    };
    let mut loader = Loader::survey(*encoder, section);
    // What breaks a file off is one of the things that are wrong with it.
    let broken = loader.add(read_rows(reader, name, section), name).err();
    let (encoded, mut errors) = loader.finish_survey();
    if let Some(broken) = broken {
        errors.retain(|error| error.line.is_some());
        errors.push(broken);
    }
    Ok((encoded, errors))
}

fn row(example: &Example, tokenizer: &Tokenizer) -> PreviewRow {
    let tokens = shown(example, tokenizer).into_iter();
    let token = |token: ShownToken| PreviewToken { text: token.text, id: token.id, learnt: token.learnt };
    PreviewRow { tokens: tokens.map(token).collect() }
}
