//! What has been learnt, as files.

use std::collections::BTreeMap;

use lorelei_formats::{
    Adapter, AdapterTensor, Dtype, TensorData, TensorSpec, adapter_key, to_bytes, write_adapter,
};
use lorelei_models::Model;
use lorelei_recipe::LoraConfig;

use crate::{Job, Optimizer, TrainError};

/// `adapter_model.safetensors` and `adapter_config.json` as PEFT writes them, or `model.safetensors` after full fine-tuning.
///
/// # Errors
///
/// If the device cannot be read, or a value is not finite: such an adapter is not written.
pub async fn adapter_files(
    job: &mut Job,
    optimizer: &Optimizer,
    step: usize,
) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    let values = optimizer.values().await.map_err(|reason| TrainError::Device { step, reason })?;
    for (name, values) in &values {
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(TrainError::Diverged {
                what: format!("an element of {name}"),
                value: *bad as f64,
                step,
            });
        }
    }
    let shapes: BTreeMap<String, Vec<usize>> = job.model.parameter_names().into_iter().collect();
    let Some(lora) = &job.lora else {
        return Ok(vec![("model.safetensors".into(), whole_model(values, &shapes)?)]);
    };
    let mut adapter = Adapter::new();
    for (name, values) in values {
        // A part may have a dot: lora_B.bias.
        let (path, part) = name.split_at(name.rfind(".lora_").unwrap_or(name.len()));
        let part = part.trim_start_matches('.');
        let shape = shapes[&name].clone();
        adapter.insert(adapter_key(path, part), AdapterTensor { shape, values });
    }
    // PEFT finds it out likewise, and says so in the file.
    let lora = LoraConfig { fan_in_fan_out: job.model.config().stored_in_out, ..lora.clone() };
    let config = lora.to_peft_json(&job.base_model, &job.target_modules);
    Ok(vec![
        ("adapter_model.safetensors".into(), write_adapter(&adapter)?),
        ("adapter_config.json".into(), config.into_bytes()),
    ])
}

fn whole_model(
    values: Vec<(String, Vec<f32>)>,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Vec<u8>, TrainError> {
    let tensors: Vec<_> = values
        .iter()
        .map(|(name, values)| {
            let spec = TensorSpec::new(name.clone(), Dtype::F32, shapes[name].clone());
            (spec, TensorData::F32(values))
        })
        .collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(to_bytes(&tensors, &metadata)?)
}

/// The optimizer's moments, the best values so far and the trainer's place, for a checkpoint. `state` is the content of
/// `trainer_state.json`.
pub(crate) async fn state_files(
    model: &mut Model,
    optimizer: &Optimizer,
    best: &[(String, Vec<f32>)],
    step: usize,
    state: &serde_json::Value,
) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    let moments = optimizer.moments().await.map_err(|reason| TrainError::Device { step, reason })?;
    let shapes: BTreeMap<String, Vec<usize>> = model.parameter_names().into_iter().collect();
    let mut tensors = Vec::new();
    let kinds = moments
        .iter()
        .flat_map(|(name, first, second)| [("exp_avg", name, first), ("exp_avg_sq", name, second)]);
    for (kind, name, values) in kinds.chain(best.iter().map(|(name, values)| ("best", name, values))) {
        if values.is_empty() {
            continue;
        }
        // What is kept of a matrix may be less than the matrix.
        let shape = &shapes[name];
        let whole = shape.iter().product::<usize>() == values.len();
        let shape = if whole { shape.clone() } else { vec![values.len()] };
        tensors.push((TensorSpec::new(format!("{kind}.{name}"), Dtype::F32, shape), TensorData::F32(values)));
    }
    Ok(vec![
        ("optimizer.safetensors".into(), to_bytes(&tensors, &BTreeMap::new())?),
        ("trainer_state.json".into(), format!("{state:#}\n").into_bytes()),
    ])
}
