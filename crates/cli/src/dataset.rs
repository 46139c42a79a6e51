//! The rows that a recipe's `[data]` names: a file, a folder or a glob of them, or what the program carries.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
    rc::Rc,
};

use lorelei_data::{
    Encoded, Encoder, ExampleStore, HeldRows, Labels, Loader, Padding, RowSet, Rows, Tokenizer, is_known,
    is_parquet, read_parquet, read_rows, training_rows,
};
use lorelei_formats::config::Task;
use lorelei_recipe::{DataSection, OnBadRow, Recipe};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{report, spilled_examples::SpilledExamples};

/// Bad rows that are told of.
const SHOWN: usize = 8;

/// Examples that are put away at a time.
const AT_A_TIME: usize = 4096;

/// What a recipe's files hold, in tokens, before it is split and packed.
pub struct Dataset {
    /// What became of the rows to learn from; their examples are kept elsewhere.
    pub train: Encoded,
    examples: Rc<dyn ExampleStore>,
    /// What the run is judged by, where the recipe names a file of it.
    validation: Option<Rc<dyn ExampleStore>>,
    /// A classifier's.
    pub labels: Option<Labels>,
}

impl Dataset {
    /// Reads the files for a model of `vocab_size` tokens and that task. Warns of rows that were cut or left out.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, a row is wrong, or there is nothing to learn.
    pub fn read(recipe: &Recipe, tokenizer: &Tokenizer, vocab_size: usize, task: Task) -> Result<Self> {
        let encoder = Encoder::of_section(tokenizer, &recipe.data).with_vocab_size(vocab_size);
        let validation = recipe.data.validation_file.as_deref();
        if !task.classifies() {
            let read = |path: &str| {
                let mut loader = Loader::new(encoder, &recipe.data);
                let mut spilled = SpilledExamples::default();
                for file in files(path)? {
                    let mut rows = open(&file, &recipe.data)?;
                    loader.begin(&file);
                    while loader.add_some(&mut rows, AT_A_TIME).map_err(report)? {
                        spilled.extend(loader.take()).map_err(report)?;
                    }
                    loader.end();
                    spilled.extend(loader.take()).map_err(report)?;
                }
                let examples: Rc<dyn ExampleStore> = Rc::new(spilled);
                Ok::<_, miette::Report>((finish(loader, path, recipe)?, examples))
            };
            let (train, examples) = read(train_file(recipe)?)?;
            let validation = validation.map(read).transpose()?.map(|(_, examples)| examples);
            return Ok(Self { train, examples, validation, labels: None });
        }
        let path = train_file(recipe)?;
        let stops = recipe.data.on_bad_row == OnBadRow::Error;
        let train = hold(path, recipe, stops)?;
        let labels = train.labels(task == Task::TokenClassification).map_err(report)?;
        let encoder = encoder.with_labels(&labels);
        let encode = |rows: HeldRows, path: &str| {
            let mut loader = Loader::new(encoder, &recipe.data);
            rows.load(&mut loader, usize::MAX).map_err(report)?;
            finish(loader, path, recipe)
        };
        let mut train = encode(train, path)?;
        let validation = validation.map(|path| encode(hold(path, recipe, stops)?, path)).transpose()?;
        let examples = std::mem::take(&mut train.examples);
        let validation = validation.map(|validation| Rc::new(validation.examples) as Rc<dyn ExampleStore>);
        Ok(Self { train, examples: Rc::new(examples), validation, labels: Some(labels) })
    }

    /// `(train, validation)` as a run goes through them; the second is empty where the recipe asks for none.
    ///
    /// # Errors
    ///
    /// If an example cannot be read back.
    pub fn rows(self, recipe: &Recipe) -> Result<(RowSet, RowSet)> {
        let seed = recipe.training.shuffle_seed();
        training_rows(self.examples, self.validation, &recipe.data, seed).map_err(report)
    }
}

/// The rows of the files that a name stands for, all of them: before, the number of a label is not known.
fn hold(path: &str, recipe: &Recipe, stops: bool) -> Result<HeldRows> {
    let mut held = HeldRows::default();
    for file in files(path)? {
        held.add(open(&file, &recipe.data)?, &file, stops).map_err(report)?;
    }
    Ok(held)
}

fn finish(loader: Loader<'_>, path: &str, recipe: &Recipe) -> Result<Encoded> {
    let encoded = loader.finish().map_err(report)?;
    warn(path, &encoded, recipe.data.max_length);
    Ok(encoded)
}

/// The first `count` examples of the training files and what is wrong with the rows before them; no more is read than that takes, except
/// for a classifier, whose labels stand in all rows.
///
/// # Errors
///
/// If a file cannot be read, or has nothing to learn.
pub fn first(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    vocab_size: usize,
    task: Task,
    count: usize,
) -> Result<Encoded> {
    let encoder = Encoder::of_section(tokenizer, &recipe.data).with_vocab_size(vocab_size);
    let path = train_file(recipe)?;
    let held = if task.classifies() { Some(hold(path, recipe, false)?) } else { None };
    let labels = match &held {
        Some(rows) => Some(rows.labels(task == Task::TokenClassification).map_err(report)?),
        None => None,
    };
    let encoder = labels.as_ref().map_or(encoder, |labels| encoder.with_labels(labels));
    let mut loader = Loader::survey(encoder, &recipe.data);
    match held {
        Some(rows) => rows.load(&mut loader, count).map_err(report)?,
        None => {
            for file in files(path)? {
                loader.add_first(open(&file, &recipe.data)?, &file, count).map_err(report)?;
            }
        }
    }
    let (mut encoded, errors) = loader.finish_survey();
    match errors.into_iter().next() {
        Some(error) if encoded.examples.is_empty() => Err(report(error)),
        _ => {
            encoded.examples.truncate(count);
            Ok(encoded)
        }
    }
}

/// What fills the rows of a batch up.
pub fn padding(recipe: &Recipe, tokenizer: &Tokenizer) -> Padding {
    Padding { id: tokenizer.pad_id().unwrap_or(0), multiple_of: recipe.data.pad_to_multiple_of.unwrap_or(1) }
}

fn train_file(recipe: &Recipe) -> Result<&str> {
    recipe.data.train_file.as_deref().ok_or_else(|| {
        miette!(
            "the recipe names no data.train_file; name a JSONL, JSON, CSV, text, Parquet or Arrow file, a folder of them, or \
             builtin:english to try it"
        )
    })
}

/// Says what of the rows is not learnt.
fn warn(path: &str, encoded: &Encoded, max_length: usize) {
    let warn = |words: String| eprintln!("warning: {path}: {words}");
    if encoded.truncated > 0 {
        warn(format!("{} rows were cut at max_length = {max_length}", encoded.truncated));
    }
    if encoded.bad > 0 {
        warn(format!("{} rows cannot be used and are left out", encoded.bad));
        for error in encoded.errors.iter().take(SHOWN) {
            eprintln!("  {error}");
        }
    }
    if encoded.duplicates > 0 {
        warn(format!("{} rows are there already and are left out", encoded.duplicates));
    }
    if encoded.labelled > 0 {
        warn(format!(
            "{} rows have a label, which a language model does not learn: to have it written, name it in \
             data.columns as the completion",
            encoded.labelled
        ));
    }
    if !encoded.skipped.is_empty() {
        let of_one = encoded.skipped.iter().all(|place| *place.file == *path);
        let places: Vec<String> = encoded
            .skipped
            .iter()
            .take(SHOWN)
            .map(|place| if of_one { place.line.to_string() } else { place.to_string() })
            .collect();
        let more = if encoded.skipped.len() > places.len() { ", ..." } else { "" };
        let lines = if of_one { "lines " } else { "" };
        warn(format!(
            "{} rows have nothing to learn and are left out ({lines}{}{more})",
            encoded.skipped.len(),
            places.join(", ")
        ));
    }
}

/// The files that a name stands for, in the order of their names.
///
/// # Errors
///
/// If there is none.
pub fn files(name: &str) -> Result<Vec<String>> {
    let path = Path::new(name);
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    if path.is_dir() {
        let mut found = Vec::new();
        collect(path, &mut found).into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
        found.sort();
        if found.is_empty() {
            return Err(miette!(
                "the folder {name} has no data: files are known by their names ({}, each also .gz or .zst)",
                lorelei_data::EXTENSIONS.map(|end| format!(".{end}")).join(", ")
            ));
        }
        return Ok(found.iter().map(text).collect());
    }
    let is_pattern = name.contains(['*', '?', '[']) && !path.exists() && !name.starts_with("builtin:");
    if !is_pattern {
        return Ok(vec![name.to_owned()]);
    }
    // Shells pass hidden files over, too.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(name, options)
        .map_err(|error| miette!("{name} is no pattern of file names: {error}"))?;
    let mut found = paths.collect::<Result<Vec<_>, _>>().into_diagnostic()?;
    found.retain(|path| path.is_file());
    found.sort();
    match found.is_empty() {
        true => Err(miette!("no file matches {name}")),
        false => Ok(found.iter().map(text).collect()),
    }
}

/// Files of data in a folder and the folders in it. What is hidden, and links to folders, are passed over.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else if is_known(&name) && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The rows of a file, or of a data set that the program carries.
///
/// # Errors
///
/// If it is not there.
pub fn open(path: &str, section: &DataSection) -> Result<Rows<'static>> {
    if let Some(rows) = lorelei_builtin::data(path) {
        return Ok(read_rows(rows.as_bytes(), path, section));
    }
    if path.starts_with("builtin:") {
        return Err(miette!("there is no {path}; built in: {}", lorelei_builtin::DATA.join(", ")));
    }
    let cannot = || format!("cannot read {path}");
    let mut file = File::open(path).into_diagnostic().wrap_err_with(cannot)?;
    let mut beginning = Vec::new();
    (&file).take(4).read_to_end(&mut beginning).into_diagnostic().wrap_err_with(cannot)?;
    if is_parquet(&beginning) {
        return Ok(read_parquet(file, path, section));
    }
    // What cannot be rewound, a pipe, goes on where it is.
    let reader: Box<dyn BufRead> = match file.rewind() {
        Ok(()) => Box::new(BufReader::with_capacity(1 << 16, file)),
        Err(_) => Box::new(BufReader::new(std::io::Cursor::new(beginning).chain(file))),
    };
    Ok(read_rows(reader, path, section))
}
