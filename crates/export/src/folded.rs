//! A PEFT adapter of one rank and one scale, `lora_alpha / r`: for readers that pass over `rank_pattern`, `alpha_pattern` or `use_rslora`.

use std::{collections::BTreeMap, io::Write};

use lorelei_formats::{AdapterPart, Dtype, SafetensorsWriter, TensorSpec};
use lorelei_recipe::{Message, message};
use serde_json::{Map, Value, json};

use crate::{
    AdaptedModule, ExportError, PeftAdapter,
    adapter::refuse_large,
    uniform::{Changes, Uniform},
};

/// A tensor to be written, and where its values come from.
enum Origin<'a> {
    /// A part of a module's adapter.
    Part(&'a AdaptedModule, AdapterPart),
    /// A tensor that is copied.
    Copy,
}

/// Writes `adapter_model.safetensors` in f32, one module at a time, with one rank and one scale. Returns the output, the text of the
/// `adapter_config.json` that goes with it, and notices for the user. The adapter computes what it did before.
///
/// # Errors
/// If the adapter was initialised from its base and not converted, a tensor cannot be read, or writing fails.
pub fn write_folded<W: Write>(
    adapter: &PeftAdapter,
    out: W,
) -> Result<(W, String, Vec<Message>), ExportError> {
    check_folded(adapter)?;
    let uniform = Uniform::of(adapter);
    let (uniform, alpha) = whole_alpha(uniform, adapter);
    let mut changes = Changes::default();
    let origins = origins(adapter);
    let specs: Vec<TensorSpec> = origins
        .iter()
        .map(|(key, origin)| {
            TensorSpec::new(key.clone(), Dtype::F32, shape(adapter, key, origin, uniform.rank))
        })
        .collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut writer = SafetensorsWriter::new(out, &specs, &metadata)?;
    for spec in writer.order().to_vec() {
        let values = match origins.get(&spec.name) {
            Some(Origin::Part(module, part)) => match part {
                AdapterPart::LoraA | AdapterPart::LoraEmbeddingA => {
                    uniform.matrices(adapter, module, &mut changes)?.0
                }
                AdapterPart::LoraB | AdapterPart::LoraEmbeddingB => {
                    uniform.matrices(adapter, module, &mut changes)?.1
                }
                AdapterPart::LoraBBias => uniform.bias(adapter, module)?,
                AdapterPart::MagnitudeVector => adapter.read(module, *part)?,
            },
            Some(Origin::Copy) | None => adapter.read_key(&spec.name)?,
        };
        refuse_large(form(), &spec.name, &"float32", f32::MAX, &values)?;
        writer.write_f32(&spec.name, &values)?;
    }
    let config = folded_config(adapter, uniform.rank, alpha)?;
    Ok((writer.finish()?, config, changes.notice().into_iter().collect()))
}

/// Returns the name of the form in errors.
fn form() -> Message {
    message!("a folded adapter")
}

/// Refuses what [`write_folded`] would refuse.
pub(crate) fn check_folded(adapter: &PeftAdapter) -> Result<(), ExportError> {
    adapter.refuse_unconverted(form())
}

/// Returns a scale whose alpha is a whole number, as some readers require, and that alpha.
fn whole_alpha(uniform: Uniform, adapter: &PeftAdapter) -> (Uniform, f64) {
    let rank = uniform.rank as f64;
    let own = uniform.scale * rank;
    let whole = |alpha: f64| alpha >= 1.0 && alpha.fract() == 0.0;
    match (own, adapter.lora.lora_alpha) {
        (own, _) if whole(own) => (uniform, own),
        (_, alpha) if whole(alpha) => (Uniform { scale: alpha / rank, ..uniform }, alpha),
        _ => (Uniform { scale: 1.0, ..uniform }, rank),
    }
}

/// Returns every tensor by its key.
fn origins(adapter: &PeftAdapter) -> BTreeMap<String, Origin<'_>> {
    let parts = [
        AdapterPart::LoraA,
        AdapterPart::LoraB,
        AdapterPart::LoraBBias,
        AdapterPart::LoraEmbeddingA,
        AdapterPart::LoraEmbeddingB,
        AdapterPart::MagnitudeVector,
    ];
    let of_module = |module| {
        let has = parts.into_iter().filter(move |part| AdaptedModule::has(module, *part));
        has.map(move |part| (part.key(&module.path), Origin::Part(module, part)))
    };
    let copies = adapter.others().iter().map(|key| (key.clone(), Origin::Copy));
    adapter.modules().iter().flat_map(of_module).chain(copies).collect()
}

fn shape(adapter: &PeftAdapter, key: &str, origin: &Origin<'_>, rank: usize) -> Vec<usize> {
    match origin {
        Origin::Copy => adapter.tensors().info(key).map(|info| info.shape.clone()).unwrap_or_default(),
        Origin::Part(module, part) => match part {
            AdapterPart::LoraA | AdapterPart::LoraEmbeddingA => vec![rank, module.size_in],
            AdapterPart::LoraB | AdapterPart::LoraEmbeddingB => vec![module.size_out, rank],
            AdapterPart::LoraBBias | AdapterPart::MagnitudeVector => vec![module.size_out],
        },
    }
}

/// Returns the adapter's configuration with one rank and one scale; everything else stays as it is in the file.
fn folded_config(adapter: &PeftAdapter, rank: usize, alpha: f64) -> Result<String, ExportError> {
    let mut config: Map<String, Value> = adapter.config_json()?;
    let alpha = match alpha.fract() == 0.0 && alpha < 1e15 {
        true => json!(alpha as u64),
        false => json!(alpha),
    };
    for (key, value) in [
        ("r", json!(rank)),
        ("lora_alpha", alpha),
        ("rank_pattern", json!({})),
        ("alpha_pattern", json!({})),
        ("use_rslora", json!(false)),
    ] {
        config.insert(key.to_owned(), value);
    }
    Ok(serde_json::to_string_pretty(&Value::Object(config)).unwrap_or_default())
}
