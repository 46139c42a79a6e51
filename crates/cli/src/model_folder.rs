//! Writing a model as a Hugging Face folder.

use std::{collections::BTreeMap, fs, io::BufWriter, path::Path};

use lorelei_formats::{Dtype, FormatError, ModelConfig, SafetensorsWriter, TensorSpec};
use miette::{IntoDiagnostic, Result, WrapErr, miette};

use crate::{disk, report};

/// Writes `model.safetensors` with the tensors that `config` requires, each as `read` returns it, and then `companions`.
///
/// The tensors are written one by one into a temporary file, which is moved to its place when it is whole.
///
/// # Errors
///
/// If a tensor cannot be read, or the folder cannot be written; then no file is replaced.
pub fn write(
    folder: &Path,
    config: &ModelConfig,
    dtype: Dtype,
    mut read: impl FnMut(&str) -> Result<Vec<f32>, FormatError>,
    companions: &[(String, Vec<u8>)],
) -> Result<()> {
    fs::create_dir_all(folder).into_diagnostic().wrap_err_with(|| folder.display().to_string())?;
    let specs: Vec<TensorSpec> = config
        .expected_tensors()
        .into_iter()
        .map(|(name, shape)| TensorSpec::new(name, dtype, shape))
        .collect();
    let in_folder = || format!("cannot write into {}", folder.display());
    let aside = disk::aside(folder).into_diagnostic().wrap_err_with(in_folder)?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut writer = SafetensorsWriter::new(BufWriter::new(aside), &specs, &metadata).map_err(report)?;
    let names: Vec<String> = writer.order().iter().map(|spec| spec.name.clone()).collect();
    for name in names {
        let values = read(&name).map_err(report)?;
        writer.write_f32(&name, &values).map_err(report).wrap_err_with(in_folder)?;
    }
    let aside = writer.finish().map_err(report)?.into_inner().map_err(|error| miette!("{error}"))?;
    aside.as_file().sync_all().into_diagnostic().wrap_err_with(in_folder)?;
    aside.persist(folder.join("model.safetensors")).into_diagnostic().wrap_err_with(in_folder)?;
    disk::save(folder, companions).map_err(report)
}
