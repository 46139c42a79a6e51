//! The files that a recipe's `[data]` names: a file, a folder or a glob of them, or a data set that the program carries.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use lorelei_data::{Encoded, Rows, is_known, is_parquet, read_parquet, read_rows};
use lorelei_recipe::DataSection;
use miette::{Context, IntoDiagnostic, Result, miette};

/// Number of bad rows that are printed.
const SHOWN: usize = 8;

/// Warns of rows that were cut or left out.
pub fn warn(path: &str, encoded: &Encoded, max_length: usize) {
    let warn = |words: String| say_err!("warning: {path}: {words}");
    if encoded.truncated > 0 {
        warn(format!("{} rows were cut at max_length = {max_length}", encoded.truncated));
    }
    if encoded.bad > 0 {
        warn(format!("{} rows cannot be used and are left out", encoded.bad));
        for error in encoded.errors.iter().take(SHOWN) {
            say_err!("  {error}");
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
        let unlabelled = match encoded.unlabelled {
            0 => String::new(),
            count => format!("; {count} of them have the label -1 or -100, which stands for none"),
        };
        warn(format!(
            "{} rows have nothing to learn and are left out ({lines}{}{more}){unlabelled}",
            encoded.skipped.len(),
            places.join(", ")
        ));
    }
}

/// Returns the files that a name stands for, in the order of their names.
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
    // Shells skip hidden files, too.
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

/// Collects the data files in a folder and its subfolders. Hidden files and links to folders are skipped.
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

/// Opens the rows of a file, or of a data set that the program carries.
///
/// # Errors
///
/// If the file is not there.
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
    // A pipe cannot be rewound: it is read on from where it is.
    let reader: Box<dyn BufRead> = match file.rewind() {
        Ok(()) => Box::new(BufReader::with_capacity(1 << 16, file)),
        Err(_) => Box::new(BufReader::new(std::io::Cursor::new(beginning).chain(file))),
    };
    Ok(read_rows(reader, path, section))
}
