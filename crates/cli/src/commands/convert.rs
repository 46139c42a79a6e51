//! `lorelei convert`: a GGUF file or a folder to a Hugging Face folder.

use std::path::PathBuf;

use lorelei_formats::Dtype;
use miette::{Result, miette};

use crate::{model_folder, report, source};

/// Arguments of `lorelei convert`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .gguf file, a folder or a hub id.
    pub model: String,
    /// The folder to write.
    pub output: PathBuf,
    /// float32, float16 or bfloat16.
    #[arg(long, default_value = "bfloat16")]
    pub dtype: String,
}

/// Runs the command.
///
/// # Errors
///
/// If the model cannot be read or the folder not written.
pub fn run(arguments: &Arguments) -> Result<()> {
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
