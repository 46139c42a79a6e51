//! The rows that a recipe's `[data]` names.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use lorelei_data::{Encoder, SequenceRow, Tokenizer, encode_rows, hold_out, read_rows, sequences};
use lorelei_recipe::Recipe;
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::report;

/// `(train, validation)` in tokens of a model with `vocab_size` of them; the second is empty where the recipe asks for none.
///
/// # Errors
///
/// If a file cannot be read, a row is wrong, or there is nothing to learn.
pub fn rows(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    vocab_size: usize,
) -> Result<(Vec<SequenceRow>, Vec<SequenceRow>)> {
    let encoder = Encoder::new(tokenizer, recipe.data.max_length).with_vocab_size(vocab_size);
    let path = recipe.data.train_file.as_deref().ok_or_else(|| {
        miette!("the recipe names no data.train_file; name a JSONL, JSON, CSV or text file, or builtin:english to try it")
    })?;
    let train = file(path, &encoder, recipe)?;
    if let Some(path) = &recipe.data.validation_file {
        return Ok((train, file(path, &encoder, recipe)?));
    }
    Ok(hold_out(train, recipe.data.validation_split_percentage, recipe.training.shuffle_seed()))
}

fn file(path: &str, encoder: &Encoder<'_>, recipe: &Recipe) -> Result<Vec<SequenceRow>> {
    let encoded = encode_rows(read_rows(open(path)?, path), path, encoder).map_err(report)?;
    if encoded.truncated > 0 {
        let length = recipe.data.max_length;
        eprintln!("warning: {path}: {} rows were cut at max_length = {length}", encoded.truncated);
    }
    if !encoded.skipped.is_empty() {
        let lines: Vec<String> = encoded.skipped.iter().take(8).map(usize::to_string).collect();
        let more = if encoded.skipped.len() > lines.len() { ", ..." } else { "" };
        eprintln!(
            "warning: {path}: {} rows have nothing to learn and are left out (lines {}{more})",
            encoded.skipped.len(),
            lines.join(", ")
        );
    }
    Ok(sequences(encoded.examples, recipe.data.max_length, recipe.data.packing))
}

/// A file, or a data set that the program carries.
fn open(path: &str) -> Result<Box<dyn BufRead>> {
    if let Some(rows) = lorelei_builtin::data(path) {
        return Ok(Box::new(rows.as_bytes()));
    }
    if path.starts_with("builtin:") {
        return Err(miette!("there is no {path}; built in: {}", lorelei_builtin::DATA.join(", ")));
    }
    let file = File::open(path).into_diagnostic().wrap_err_with(|| format!("cannot read {path}"))?;
    Ok(Box::new(BufReader::new(file)))
}
