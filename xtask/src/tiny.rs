//! `cargo xtask train-tiny`: makes `builtin:tiny` anew, from public-domain text to the files that the program embeds.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    command::run,
    download::{MOBY_DICK, STATE_OF_THE_UNION},
};

/// Longest piece of text, in bytes: about 230 tokens.
const PIECE: usize = 900;
/// One of so many pieces is held out.
const HELD_OUT: usize = 50;

/// Downloads the texts, trains, and writes `crates/builtin/tiny`. Intermediate files are kept in `work`.
pub fn train(lorelei: &Path, root: &Path, work: &Path) -> Result<()> {
    fs::create_dir_all(work)?;
    let builtin = root.join("crates/builtin");
    let (train, held_out) = pieces()?;
    let path = |name: &str| -> PathBuf { work.join(name) };
    for (name, pieces) in [("train.jsonl", &train), ("validation.jsonl", &held_out)] {
        let mut file = std::io::BufWriter::new(fs::File::create(path(name))?);
        for text in pieces {
            writeln!(file, "{}", json!({ "text": text }))?;
        }
        file.flush()?;
    }
    println!("xtask: {} pieces of text, {} held out", train.len(), held_out.len());
    let text = |name: &str| path(name).display().to_string();
    run(Command::new(lorelei)
        .args(["init", "--texts", &text("train.jsonl")])
        .arg(builtin.join("tiny/config.json"))
        .arg(path("untrained")))?;
    let set = |key: &str, name: &str| format!("{key}={}", text(name));
    run(Command::new(lorelei).arg("train").arg(builtin.join("tiny-recipe.toml")).args([
        "--device",
        "cpu",
        "--set",
        &set("model.model_name_or_path", "untrained"),
        "--set",
        &set("data.train_file", "train.jsonl"),
        "--set",
        &set("data.validation_file", "validation.jsonl"),
        "--set",
        &set("training.output_dir", "trained"),
    ]))?;
    run(Command::new(lorelei)
        .args(["convert", &text("trained"), "--dtype", "float16"])
        .arg(builtin.join("tiny")))?;
    let card = card(&path("trained"), &train, &held_out)?;
    fs::write(builtin.join("tiny/README.md"), card)?;
    println!("xtask: wrote {}", builtin.join("tiny").display());
    Ok(())
}

/// Returns the model card, with the numbers of the run that made the model.
fn card(trained: &Path, train: &[String], held_out: &[String]) -> Result<String> {
    let read = |name: &str| fs::read_to_string(trained.join(name)).with_context(|| name.to_owned());
    let log = read("trainer_log.jsonl")?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    // The last line with a loss is the last step; an evaluation may follow it.
    let last = lines.iter().rfind(|line| line["loss"].is_f64()).context("trainer_log.jsonl has no step")?;
    let results: Value = serde_json::from_str(&read("eval_results.json")?)?;
    let number =
        |value: &Value, key: &str| value[key].as_f64().with_context(|| format!("no {key} in the log"));
    let megabytes = |pieces: &[String]| pieces.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    Ok(format!(
        "---\nlicense: cc0-1.0\nlanguage: en\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n\
         # builtin:tiny\n\n\
         A Llama of 1.8 million parameters (4 layers of width 192, 6 heads that share 2 keys and values, 2,048 tokens\n\
         of byte-level BPE) that Lorelei trained from random weights. It knows the sound of English, little more; it is\n\
         there to try a recipe on, for tests and for demonstrations without a download.\n\n\
         - Trained on: *Moby Dick* and the State of the Union addresses of 1790 to 2021, both in the public domain:\n  \
         {:.1} MB in {} pieces of about 230 tokens, each `<|im_start|>` text `<|im_end|>`. No conversations.\n\
         - For: {} optimizer steps ({} epochs) of 8 packed rows of 512 tokens, {:.0} minutes on two CPU cores.\n\
         - Loss on {} held-out pieces ({:.2} MB): {:.4} a token, a perplexity of {:.2}.\n\
         - Weights: float16. Chat template: ChatML, which the model has not seen: a chat adapter teaches it.\n\
         - Made again by `cargo xtask train-tiny` with `crates/builtin/tiny-recipe.toml`.\n",
        megabytes(train),
        train.len(),
        number(last, "step")?,
        number(last, "epoch")?.round(),
        number(last, "elapsed_seconds")? / 60.0,
        held_out.len(),
        megabytes(held_out),
        number(&results, "eval_loss")?,
        number(&results, "perplexity")?,
    ))
}

/// Returns all texts in pieces: (train, held out).
fn pieces() -> Result<(Vec<String>, Vec<String>)> {
    let book = fs::read_to_string(MOBY_DICK.folder()?.join("package/data/data.txt"))?;
    let mut pieces = Vec::new();
    // The book has line breaks within paragraphs; an empty line ends a paragraph.
    let paragraphs = book.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let units: Vec<String> =
        paragraphs.flat_map(|p| if p.len() > PIECE { sentences(&p) } else { vec![p] }).collect();
    gather(&units, "\n", &mut pieces);
    let folder = STATE_OF_THE_UNION.folder()?.join("package/data");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "txt")) {
        let text = fs::read_to_string(file)?.split_whitespace().collect::<Vec<_>>().join(" ");
        gather(&sentences(&text), " ", &mut pieces);
    }
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.into_iter().enumerate() {
        if index % HELD_OUT == HELD_OUT - 1 { held_out.push(piece) } else { train.push(piece) }
    }
    Ok((train, held_out))
}

/// Splits a text after `. `, `! ` and `? `.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(' ') {
        if text[start..at].ends_with(['.', '!', '?', '”']) {
            sentences.push(text[start..at].to_owned());
            start = at + 1;
        }
    }
    sentences.push(text[start..].to_owned());
    sentences
}

/// Joins units into pieces, each as long as `PIECE` allows.
fn gather(units: &[String], joint: &str, pieces: &mut Vec<String>) {
    let mut piece = String::new();
    for unit in units.iter().filter(|unit| !unit.is_empty()) {
        if !piece.is_empty() && piece.len() + joint.len() + unit.len() > PIECE {
            pieces.push(std::mem::take(&mut piece));
        }
        if !piece.is_empty() {
            piece += joint;
        }
        piece += unit;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
}
