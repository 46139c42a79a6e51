//! `lorelei check`: what another program will refuse of an adapter, or silently leave out.

use std::path::Path;

use lorelei_export::{Reader, Verdict, check};
use miette::{Result, miette};

use crate::{commands::export, report, source};

/// Arguments of `lorelei check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of a run or of a PEFT adapter, or an adapter's hub id.
    adapter: String,
    /// The program that is to use it: peft, vllm, llamacpp, ollama or mlx.
    #[arg(long = "for", value_name = "READER", value_parser = reader)]
    reader: Reader,
    /// The base model, if it is not where the adapter's configuration says: a folder, a .gguf file or a hub id.
    #[arg(long)]
    base: Option<String>,
}

fn reader(name: &str) -> Result<Reader, String> {
    let known = Reader::ALL.iter().find(|(known, _)| *known == name);
    let names = || Reader::ALL.map(|(name, _)| name).join(", ");
    known.map(|(_, reader)| *reader).ok_or_else(|| format!("write one of {}", names()))
}

/// Runs the command.
///
/// # Errors
///
/// If the adapter or its base cannot be read, or the program refuses a part of it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (_, adapter) = export::open(&arguments.adapter)?;
    // A base that is not asked for is not fetched for this.
    let nearby = |name: &String| Path::new(name).exists() || name.starts_with("builtin:");
    let base = arguments.base.clone().or_else(|| adapter.base_name().filter(nearby));
    let config = match &base {
        Some(base) => Some(source::open(base)?.model_config().map_err(report)?),
        None => None,
    };
    let findings = check(&adapter, config.as_ref(), arguments.reader).map_err(report)?;
    for finding in &findings {
        say!("{}: {}", finding.verdict.word(), finding.message);
    }
    if findings.is_empty() {
        say!("nothing to report");
    }
    match findings.iter().any(|finding| finding.verdict == Verdict::Refused) {
        true => Err(miette!("{} cannot be used there as it is", arguments.adapter)),
        false => Ok(()),
    }
}
