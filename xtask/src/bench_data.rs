//! `cargo xtask bench --data`: from 100 MB of JSONL to packed tokens, beside Python's `datasets` and `tokenizers`.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::bench::{Arguments, median, prepared};

/// Size of the file in bytes.
const BYTES: usize = 100_000_000;

/// Tokens of a packed row.
const MAX_LENGTH: &str = "1024";

/// The time in seconds and the peak memory in bytes of a run.
struct Taken {
    seconds: f64,
    peak: f64,
}

/// Prints a table: MB of text a second, and the process's peak memory.
pub fn bench(arguments: &Arguments, root: &Path, lorelei: &Path) -> Result<()> {
    let (_, model, work) = prepared(lorelei)?;
    let rows = text_rows(root, &work)?;
    let megabytes = fs::metadata(&rows)?.len() as f64 / 1e6;
    let recipe = work.join("data.toml");
    fs::write(
        &recipe,
        format!(
            "[model]\nmodel_name_or_path = {model:?}\n[data]\ntrain_file = {rows:?}\npacking = true\nmax_length = {MAX_LENGTH}\n"
        ),
    )?;
    let mut contenders = [("Lorelei", Vec::new()), ("datasets + tokenizers", Vec::new())];
    for _ in 0..arguments.rounds {
        let mut ours = Command::new(lorelei);
        contenders[0].1.push(taken(ours.args(["data", "stats"]).arg(&recipe))?);
        if let Some(python) = &arguments.python {
            let mut theirs = Command::new(python);
            theirs.arg(root.join("tests/reference/data_timing.py"));
            contenders[1].1.push(taken(theirs.arg(model.join("tokenizer.json")).arg(&rows).arg(MAX_LENGTH))?);
        }
    }
    println!("\n| | MB/s | s | peak memory MiB |\n|---|---|---|---|");
    for (name, runs) in contenders.iter().filter(|(_, runs)| !runs.is_empty()) {
        let seconds = median(runs.iter().map(|run: &Taken| run.seconds).collect());
        let peak = median(runs.iter().map(|run| run.peak).collect()) / f64::from(1 << 20);
        println!("| {name} | {:.1} | {seconds:.1} | {peak:.0} |", megabytes / seconds);
    }
    Ok(())
}

/// Writes rows of English whose words are drawn anew, so that no two rows are the same.
fn text_rows(root: &Path, work: &Path) -> Result<PathBuf> {
    let path = work.join("text.jsonl");
    if fs::metadata(&path).is_ok_and(|file| file.len() as usize >= BYTES) {
        return Ok(path);
    }
    let corpus = fs::read_to_string(root.join("crates/builtin/english.jsonl"))?;
    let words: Vec<&str> =
        corpus.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).collect();
    let mut file = BufWriter::new(fs::File::create(&path)?);
    let (mut written, mut state) = (0, 1u64);
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    while written < BYTES {
        let text: Vec<&str> = (0..20 + draw(300)).map(|_| words[draw(words.len())]).collect();
        let line = serde_json::json!({ "text": text.join(" ") }).to_string();
        written += line.len() + 1;
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(path)
}

/// Runs a command to its end. The peak memory of its process is polled while it runs.
fn taken(command: &mut Command) -> Result<Taken> {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().context("it starts")?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    let status = loop {
        let status = fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0) * 1024.0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(20));
    };
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(Taken { seconds: began.elapsed().as_secs_f64(), peak })
}
