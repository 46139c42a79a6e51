//! `lorelei export`: a run's adapter in the form of another program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lorelei_data::LABELS_FILE;
use lorelei_export::{
    Export, ExportKind, ExportRequest, PEFT_COMPANIONS, PeftAdapter, export_to_path, is_whole_model,
};
use lorelei_recipe::{FinetuningType, Recipe};
use lorelei_session::{CARD_FILE, FinishedRun, LOG_FILE, ResultKind, chat_text, license_of};
use miette::{Context, Result, miette};

use crate::{adapter, hub, report, source};

/// Arguments of `lorelei export`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of a run or of a PEFT adapter, or an adapter's hub id; for merged and gguf also a whole model's folder or file.
    run: String,
    /// The form: peft, gguf-lora, merged, gguf, mlx or ollama.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    to: ExportKind,
    /// The file or folder to write; absent, beside the run.
    #[arg(long)]
    output: Option<PathBuf>,
    /// float32, float16 or bfloat16; for GGUF q8_0 too, and for a merged GGUF q4_0, q4_1, q5_0 and q5_1. Absent, float32 for an adapter and bfloat16 for a
    /// merged model; for a merged GGUF that of each tensor of a GGUF base.
    #[arg(long)]
    dtype: Option<String>,
    /// The base model, if it is not where the adapter's configuration says: a folder, a .gguf file or a hub id.
    #[arg(long)]
    base: Option<String>,
    /// With `--to peft`: fold rank_pattern, alpha_pattern and rsLoRA into the matrices, for readers that pass over them.
    #[arg(long)]
    fold: bool,
    /// Replace a previous export of the same kind.
    #[arg(long)]
    overwrite: bool,
}

fn kind(name: &str) -> Result<ExportKind, String> {
    let known = ExportKind::ALL.iter().find(|(known, _)| *known == name);
    let names = || ExportKind::ALL.map(|(name, _)| name).join(", ");
    known.map(|(_, kind)| *kind).ok_or_else(|| format!("write one of {}", names()))
}

/// Runs the command.
///
/// # Errors
///
/// If the run has no adapter, its base cannot be found, the form cannot hold the adapter, or the output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let kind = arguments.to;
    if arguments.fold && kind != ExportKind::Peft {
        return Err(miette!("--fold goes with --to peft: the other forms are folded where they need it"));
    }
    let dtype = kind.dtype(arguments.dtype.as_deref()).map_err(report)?;
    let (folder, adapter, base) = match is_whole_model(Path::new(&arguments.run)) {
        true => (PathBuf::from(&arguments.run), whole_model(arguments)?, arguments.run.clone()),
        false => {
            let (folder, adapter) = open(&arguments.run)?;
            let base = base_name(&adapter, arguments.base.as_deref(), &arguments.run)?;
            (folder, adapter, base)
        }
    };
    let source = source::open(&base).wrap_err_with(|| {
        format!("cannot open {base}, the base model of {} (--base names another)", arguments.run)
    })?;
    let output = arguments.output.clone().unwrap_or_else(|| kind.default_output(&arguments.run));
    let labels = fs::read_to_string(folder.join(LABELS_FILE)).ok();
    let tokenizer = source::tokenizer(&source).ok();
    let export = Export {
        kind,
        dtype,
        fold: arguments.fold,
        name: arguments.run.trim_end_matches('/').rsplit('/').next().unwrap_or(&arguments.run),
        from: &ollama_base(&base, kind)?,
        labels: labels.as_deref(),
        companions: &companions(kind, &folder),
        chat: &|turns| chat_text(tokenizer.as_ref()?, turns),
    };
    let sources = [&*folder, Path::new(&base)];
    let request =
        ExportRequest { export, output: &output, sources: &sources, overwrite: arguments.overwrite };
    for notice in export_to_path(&adapter, &source, &request).map_err(report)? {
        say_err!("note: {notice}");
    }
    say!("wrote {}", output.display());
    Ok(())
}

/// Returns the adapter of a model that was trained whole: none. Only the forms of a whole model take it.
///
/// # Errors
///
/// If it is to become an adapter, or a base is named beside it.
fn whole_model(arguments: &Arguments) -> Result<PeftAdapter> {
    let run = &arguments.run;
    match arguments.to {
        _ if arguments.base.is_some() => Err(miette!("{run} is a whole model: leave out --base")),
        ExportKind::Merged | ExportKind::Gguf => Ok(PeftAdapter::none()),
        _ => Err(miette!(
            "{run} is a whole model, and no adapter: `--to gguf` and `--to merged` write it in another format"
        )),
    }
}

/// Opens the adapter of a run's folder, of any PEFT adapter's folder, or of a hub id. Returns its folder too.
///
/// # Errors
///
/// If there is none, or its files do not fit together.
pub fn open(name: &str) -> Result<(PathBuf, PeftAdapter)> {
    let folder = adapter::open(name)?.0;
    let adapter = lorelei_export::open_adapter(&folder).map_err(report)?;
    for warning in &adapter.warnings {
        say_err!("warning: {warning}");
    }
    Ok((folder, adapter))
}

/// Returns the name of the base model: the one that is asked for, or that of the adapter's configuration.
fn base_name(adapter: &PeftAdapter, asked: Option<&str>, run: &str) -> Result<String> {
    let own = || adapter.base_name();
    asked
        .map(str::to_owned)
        .or_else(own)
        .ok_or_else(|| miette!("adapter_config.json of {run} names no base model: name it with --base"))
}

/// Returns the base as a Modelfile names it: a path, because Ollama has no hub ids of unquantised models.
fn ollama_base(base: &str, kind: ExportKind) -> Result<String> {
    if kind == ExportKind::Ollama && base.starts_with("builtin:") {
        say_err!(
            "note: write the base for Ollama first (`lorelei convert {base} FOLDER`), and its folder after FROM in the Modelfile"
        );
    }
    let path = match kind == ExportKind::Ollama && hub::is_id(base) {
        true => hub::fetch(base)?,
        false => PathBuf::from(base),
    };
    Ok(fs::canonicalize(&path).map_or_else(|_| base.to_owned(), |path| path.display().to_string()))
}

/// Returns the files that go with a PEFT adapter or a merged model, as far as the run has them.
fn companions(kind: ExportKind, folder: &Path) -> Vec<(String, Vec<u8>)> {
    match kind {
        ExportKind::Merged => merged_companions(folder),
        _ => PEFT_COMPANIONS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), fs::read(folder.join(name)).ok()?)))
            .collect(),
    }
}

/// Returns the recipe and the card of a merged model; none for an adapter without a recipe, which another program trained.
fn merged_companions(folder: &Path) -> Vec<(String, Vec<u8>)> {
    const RECIPE: &str = "recipe.toml";
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let recipe = match text(RECIPE).map(|toml| Recipe::from_toml(&toml, RECIPE)) {
        Some(Ok((recipe, _))) => recipe,
        Some(Err(error)) => {
            say_err!("note: the merged model has no card, because {RECIPE} cannot be read: {error}");
            return Vec::new();
        }
        None => return Vec::new(),
    };
    // The adapter's card names the licence of its base.
    let license = text(CARD_FILE).and_then(|card| license_of(&card));
    let run = FinishedRun {
        recipe: &recipe,
        result: match recipe.training.finetuning_type {
            FinetuningType::Lora => ResultKind::Merged,
            FinetuningType::Full => ResultKind::Model,
        },
        base_is_on_hub: recipe.model.model_name_or_path.as_deref().is_some_and(hub::is_id),
        labels: None,
        num_examples: None,
        log: &text(LOG_FILE).unwrap_or_default(),
        license: license.as_deref(),
    };
    run.files()
}
