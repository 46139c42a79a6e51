//! `lorelei convert`: a GGUF file or a folder to a Hugging Face folder, and an adapter of mlx-lm or of llama.cpp to one of PEFT.

use std::path::{Path, PathBuf};

use lorelei_export::ExportError;
use lorelei_formats::{Dtype, ModelConfig};
use miette::{Result, WrapErr, miette};

use crate::{disk, model_folder, report, source};

/// Arguments of `lorelei convert`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .gguf file, a folder or a hub id; or an adapter: the folder of one that mlx-lm trained, or a GGUF one.
    pub model: String,
    /// The folder to write.
    pub output: PathBuf,
    /// float32, float16 or bfloat16.
    #[arg(long, default_value = "bfloat16")]
    pub dtype: String,
    /// Of an adapter, the base model: a folder, a .gguf file or a hub id. Absent, the one that mlx-lm's configuration names; a GGUF adapter names none.
    #[arg(long)]
    pub base: Option<String>,
    /// Replace files in the folder that there are already.
    #[arg(long)]
    pub overwrite: bool,
}

/// Runs the command.
///
/// # Errors
///
/// If the model cannot be read or the folder not written.
pub fn run(arguments: &Arguments) -> Result<()> {
    refuse_existing(arguments)?;
    if lorelei_export::is_mlx_adapter(Path::new(&arguments.model)) {
        let base = match &arguments.base {
            Some(base) => base.clone(),
            None => lorelei_export::mlx_base(Path::new(&arguments.model)).map_err(report)?,
        };
        return adapter(arguments, &base, lorelei_export::peft_files_of_mlx);
    }
    if lorelei_export::is_gguf_adapter(Path::new(&arguments.model)) {
        let base = arguments.base.as_deref().ok_or_else(|| {
            miette!(
                "{} is a GGUF adapter, which does not name its base model: name it with --base",
                arguments.model
            )
        })?;
        return adapter(arguments, base, lorelei_export::peft_files_of_gguf);
    }
    if arguments.base.is_some() {
        return Err(miette!("--base goes with an adapter, and {} is a model", arguments.model));
    }
    let dtype = match arguments.dtype.as_str() {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        other => return Err(miette!("unknown dtype {other:?}: write float32, float16 or bfloat16")),
    };
    let source = source::open(&arguments.model)?;
    let config = source.model_config().map_err(report)?;
    lorelei_models::Model::check_tensors(&config, &*source.tensors).map_err(report)?;
    let read = |name: &str| {
        let place = config.find(&*source.tensors, name);
        source.tensors.read_f32(place.as_deref().unwrap_or(name))
    };
    let companions = source.companions(&arguments.dtype).map_err(report)?;
    model_folder::write(&arguments.output, &config, dtype, read, &companions)?;
    say!("wrote {}", arguments.output.display());
    Ok(())
}

/// Refuses to write over the source, and over other files unless that is asked for.
fn refuse_existing(arguments: &Arguments) -> Result<()> {
    let Arguments { model, output, overwrite, .. } = arguments;
    let shown = output.display();
    let place = |path: &Path| path.canonicalize().ok();
    if place(Path::new(model)).is_some_and(|source| place(output) == Some(source)) {
        return Err(miette!("{shown} is what is to be converted: name another folder"));
    }
    let is_empty = || std::fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none());
    match output.exists() && !is_empty() && !overwrite {
        false => Ok(()),
        true => Err(miette!("{shown} is there already: name another folder, or add --overwrite")),
    }
}

/// Files of a PEFT adapter, made of another program's for a base of this configuration and name.
type Convert = fn(&Path, &ModelConfig, &str) -> Result<Vec<(String, Vec<u8>)>, ExportError>;

/// Writes another program's adapter as PEFT's, in f32.
fn adapter(arguments: &Arguments, base: &str, convert: Convert) -> Result<()> {
    let source = source::open(base).wrap_err_with(|| {
        format!("cannot open {base}, the base model of {} (--base names another)", arguments.model)
    })?;
    let config = source.model_config().map_err(report)?;
    let files = convert(Path::new(&arguments.model), &config, base).map_err(report)?;
    disk::save(&arguments.output, &files).map_err(report)?;
    say!("wrote {}", arguments.output.display());
    Ok(())
}
