//! Models and adapters of `tests/fixtures` at the top, which PEFT made.

#![allow(dead_code, reason = "each test uses a part")]

use std::{fs, path::PathBuf};

use lorelei_export::{Export, ExportError, ExportKind, PeftAdapter, Turn};
use lorelei_formats::{
    Dtype, ModelConfig, ModelSource, SafetensorsFile, TensorData, TensorInfo, TensorSource, TensorSpec,
    to_bytes,
};

/// Returns the path of a file of the fixtures.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

/// Reads a text of the fixtures.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Opens a safetensors file of the fixtures.
pub fn tensors(name: &str) -> SafetensorsFile<fs::File> {
    SafetensorsFile::open(fs::File::open(path(name)).unwrap(), name).unwrap()
}

/// Opens the adapter in a folder of the fixtures.
pub fn adapter(folder: &str) -> PeftAdapter {
    edited(folder, |config| config.to_owned()).unwrap()
}

/// Opens the adapter in a folder of the fixtures with another configuration.
pub fn edited(folder: &str, edit: impl Fn(&str) -> String) -> Result<PeftAdapter, ExportError> {
    let config = edit(&text(&format!("{folder}/adapter_config.json")));
    let file = format!("{folder}/adapter_model.safetensors");
    PeftAdapter::open(&config, "adapter_config.json", Box::new(tensors(&file)), &file)
}

/// A tensor's name, shape and values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Returns the tensors of a safetensors file of the fixtures.
pub fn named(name: &str) -> Vec<Named> {
    let file = tensors(name);
    let read =
        |info: &TensorInfo| (info.name.clone(), info.shape.clone(), file.read_f32(&info.name).unwrap());
    file.infos().iter().map(read).collect()
}

/// Returns a safetensors file in memory.
pub fn file_of(tensors: &[Named]) -> SafetensorsFile<Vec<u8>> {
    let specs = tensors.iter().map(|(name, shape, values)| {
        (TensorSpec::new(name.clone(), Dtype::F32, shape.as_slice()), TensorData::F32(values))
    });
    let bytes = to_bytes(&specs.collect::<Vec<_>>(), &Default::default()).unwrap();
    SafetensorsFile::open(bytes, "made.safetensors").unwrap()
}

/// Opens the adapter in a folder of the fixtures with another configuration and other tensors.
pub fn made(
    folder: &str,
    edit: impl Fn(&mut serde_json::Value),
    change: impl Fn(&mut Vec<Named>),
) -> Result<PeftAdapter, ExportError> {
    let mut config: serde_json::Value =
        serde_json::from_str(&text(&format!("{folder}/adapter_config.json"))).unwrap();
    edit(&mut config);
    let mut tensors = named(&format!("{folder}/adapter_model.safetensors"));
    change(&mut tensors);
    PeftAdapter::open(
        &config.to_string(),
        "adapter_config.json",
        Box::new(file_of(&tensors)),
        "made.safetensors",
    )
}

/// Returns the configuration of a model of the fixtures.
pub fn config(model: &str) -> ModelConfig {
    ModelConfig::from_json(&text(&format!("{model}/config.json")), "config.json").unwrap()
}

/// Opens a model of the fixtures.
pub fn model(name: &str) -> ModelSource {
    let folder = path(name);
    ModelSource::from_folder(name, |file| fs::File::open(folder.join(file))).unwrap()
}

/// Returns the largest difference of two lists of numbers.
pub fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Multiplies `B [out, r]` and `A [r, in]`, and the product by `scale`.
pub fn product(b: &[f32], a: &[f32], rank: usize, scale: f32) -> Vec<f32> {
    let size_in = a.len() / rank;
    let row =
        |b: &[f32], column: usize| (0..rank).map(|k| b[k] * a[k * size_in + column]).sum::<f32>() * scale;
    b.chunks(rank).flat_map(|b| (0..size_in).map(move |column| row(b, column))).collect()
}

fn chatml(turns: &[Turn<'_>]) -> Option<String> {
    let turns = turns.iter().map(|(role, content)| format!("<|im_start|>{role}\n{content}<|im_end|>\n"));
    Some(turns.collect::<String>() + "<|im_start|>assistant\n")
}

/// Returns an export of a base whose template is ChatML.
pub fn export(kind: ExportKind, dtype: Option<&str>) -> Export<'static> {
    Export {
        kind,
        dtype: kind.dtype(dtype).unwrap(),
        fold: false,
        name: "run",
        from: "./base.gguf",
        labels: None,
        companions: &[],
        chat: &chatml,
    }
}
