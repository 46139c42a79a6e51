//! `lorelei convert`: a GGUF file or a folder to a Hugging Face folder.

use std::{collections::BTreeMap, fs, io::BufWriter, path::PathBuf};

use lorelei_formats::{Dtype, SafetensorsWriter, TensorSpec};
use miette::{IntoDiagnostic, Result, WrapErr, miette};

use crate::{disk, report, source::ModelSource};

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
    let source = ModelSource::open(&arguments.model)?;
    let output = &arguments.output;
    fs::create_dir_all(output).into_diagnostic().wrap_err_with(|| output.display().to_string())?;
    let specs: Vec<TensorSpec> = source
        .llama_config()?
        .expected_tensors()
        .into_iter()
        .map(|(name, shape)| TensorSpec::new(name, dtype, shape))
        .collect();
    // Tensor by tensor into a file aside, which takes its place when it is whole.
    let aside = disk::aside(output).into_diagnostic()?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut writer = SafetensorsWriter::new(BufWriter::new(aside), &specs, &metadata).map_err(report)?;
    let names: Vec<String> = writer.order().iter().map(|spec| spec.name.clone()).collect();
    for name in names {
        let values = source.tensors.read_f32(&name).map_err(report)?;
        writer.write_f32(&name, &values).map_err(report)?;
    }
    let aside = writer.finish().map_err(report)?.into_inner().map_err(|error| miette!("{error}"))?;
    aside.as_file().sync_all().into_diagnostic()?;
    aside.persist(output.join("model.safetensors")).into_diagnostic()?;
    let mut config: serde_json::Value = serde_json::from_str(&source.config).into_diagnostic()?;
    config["torch_dtype"] = arguments.dtype.clone().into();
    let mut files = vec![("config.json".to_owned(), format!("{config:#}\n").into_bytes())];
    files.extend(source.tokenizer.map(|bytes| ("tokenizer.json".to_owned(), bytes)));
    files.extend(source.tokenizer_config.map(|text| ("tokenizer_config.json".to_owned(), text.into_bytes())));
    files.extend(source.chat_template.map(|text| ("chat_template.jinja".to_owned(), text.into_bytes())));
    disk::save(output, &files).map_err(report)?;
    println!("wrote {}", output.display());
    Ok(())
}
