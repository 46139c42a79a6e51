//! Reading rows, and showing them as the model will see them.

use std::io::{BufRead, BufReader};

use lorelei_data::{
    DataError, Encoded, Encoder, Example, IGNORE_INDEX, SequenceRow, Tokenizer, hold_out, read_rows,
    sequences, survey_rows,
};
use lorelei_protocol::{BadRow, DataChoice, DataInfo, PreviewRow, PreviewToken, Reply};
use lorelei_recipe::DataSection;
use web_sys::File;

use crate::{
    blob::{BlobReader, BlobStream},
    desk, port,
};

/// Most bad rows that are told of.
const MAX_BAD_ROWS: usize = 100;

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
    let encoder = Encoder::new(&loaded.tokenizer, section.max_length).with_vocab_size(vocab_size);
    let (encoded, mut errors) = read(&train, &files, &encoder)?;
    let preview =
        encoded.examples.iter().take(rows).map(|example| shown(example, &loaded.tokenizer)).collect();
    let (truncated, skipped) = (encoded.truncated, encoded.skipped);
    let rows_of = |examples| sequences(examples, section.max_length, section.packing);
    let train_rows = rows_of(encoded.examples);
    let (train_rows, validation_rows) = match &validation {
        Some(choice) => {
            let (encoded, more) = read(choice, &files, &encoder)?;
            errors.extend(more);
            (train_rows, rows_of(encoded.examples))
        }
        None => hold_out(train_rows, section.validation_split_percentage, seed),
    };
    let info = DataInfo {
        train_rows: train_rows.len(),
        validation_rows: validation_rows.len(),
        tokens: train_rows.iter().map(SequenceRow::num_tokens).sum(),
        learnt_tokens: train_rows.iter().map(SequenceRow::num_targets).sum(),
        truncated,
        skipped,
        bad_rows: errors.iter().take(MAX_BAD_ROWS).map(bad_row).collect(),
        preview,
    };
    desk::with(|desk| desk.data = errors.is_empty().then_some((train_rows, validation_rows)));
    port::post(&Reply::Previewed(info));
    Ok(())
}

fn bad_row(error: &DataError) -> BadRow {
    BadRow { line: error.line.unwrap_or(0), message: error.to_string() }
}

fn read(
    choice: &DataChoice,
    files: &[File],
    encoder: &Encoder<'_>,
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
    Ok(survey_rows(read_rows(reader, name), name, encoder))
}

/// Each token as text. A token that is a part of a character shows a stand-in.
fn shown(example: &Example, tokenizer: &Tokenizer) -> PreviewRow {
    let token = |(at, (&id, &label)): (usize, (&u32, &i64))| PreviewToken {
        text: tokenizer.decode(&[id], false).unwrap_or_default(),
        id,
        learnt: at > 0 && label != IGNORE_INDEX,
    };
    PreviewRow { tokens: example.input_ids.iter().zip(&example.labels).enumerate().map(token).collect() }
}
