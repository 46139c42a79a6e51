//! The files of an adapter, of a whole model and of a checkpoint.

use std::collections::BTreeMap;

use lorelei_formats::{
    Adapter, AdapterPart, AdapterTensor, Dtype, TensorData, TensorSpec, config::Task, parameter_key,
    to_bytes, write_adapter,
};
use lorelei_models::Model;
use lorelei_recipe::TaskType;

use crate::{Job, Optimizer, TrainError, checkpoint::BEST, optimizer::to_host};

/// Returns `adapter_model.safetensors` and `adapter_config.json` as PEFT writes them, or `model.safetensors` after full fine-tuning.
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
    let mut shapes: BTreeMap<String, Vec<usize>> = job.model.parameter_names().into_iter().collect();
    let Some(lora) = &job.lora else {
        return Ok(vec![("model.safetensors".into(), whole_model(values, &shapes)?)]);
    };
    let mut values: BTreeMap<String, Vec<f32>> = values.into_iter().collect();
    let mut lora = lora.clone();
    if lora.init_lora_weights.changes_the_base() {
        convert(&job.model, &mut values, &mut shapes, step).await?;
        lora = lora.converted();
    }
    let mut adapter = Adapter::new();
    for (name, values) in values {
        let shape = shapes[&name].clone();
        adapter.insert(parameter_key(&name), AdapterTensor { shape, values });
    }
    for (name, shape, values) in job.model.replaced_weights() {
        let values = to_host(&values).await.map_err(|reason| TrainError::Device { step, reason })?;
        adapter.insert(parameter_key(&name), AdapterTensor { shape, values });
    }
    if let Some((embedding, head)) = job.model.tied_ends() {
        write_tied_head(&mut adapter, &embedding, &head);
    }
    // PEFT determines it in the same way, and writes it into the file.
    lora.fan_in_fan_out = job.model.config().stored_in_out;
    // With the task, PEFT creates the model with the head, and reads the head from the file.
    let task = match job.model.config().task {
        Task::CausalLm | Task::FeatureExtraction => None,
        Task::SequenceClassification => Some(TaskType::SeqCls),
        Task::TokenClassification => Some(TaskType::TokenCls),
    };
    if let Some(task) = task {
        lora.task_type = Some(task);
        let named = lora.modules_to_save.take().unwrap_or_default();
        let mut own = job.model.whole_modules();
        own.extend(named.into_iter().filter(|name| !own.contains(name)).collect::<Vec<_>>());
        lora.modules_to_save = Some(own);
    }
    let config = lora.to_peft_json(&job.base_model, &job.target_modules);
    Ok(vec![
        ("adapter_model.safetensors".into(), write_adapter(&adapter)?),
        ("adapter_config.json".into(), config.into_bytes()),
    ])
}

/// Adds the tensors of a head that shares those of the embedding, as PEFT does: the adapter's matrices transposed, or the whole weight.
fn write_tied_head(adapter: &mut Adapter, embedding: &str, head: &str) {
    let matrices = [
        (AdapterPart::LoraEmbeddingB, AdapterPart::LoraA),
        (AdapterPart::LoraEmbeddingA, AdapterPart::LoraB),
    ];
    for (from, to) in matrices {
        if let Some(matrix) = adapter.get(&from.key(embedding)).and_then(transposed) {
            adapter.insert(to.key(head), matrix);
        }
    }
    let key = |path: &str| parameter_key(&format!("{path}.weight"));
    if let Some(weight) = adapter.get(&key(embedding)).cloned() {
        adapter.insert(key(head), weight);
    }
}

fn transposed(tensor: &AdapterTensor) -> Option<AdapterTensor> {
    let [rows, columns] = tensor.shape[..] else { return None };
    let values = (0..rows * columns).map(|at| tensor.values[at % rows * columns + at / rows]).collect();
    Some(AdapterTensor { shape: vec![columns, rows], values })
}

/// Converts adapters that were initialized from the base weights to plain ones of twice the rank, `[B, -B₀]·[A; A₀]`, which fit the original base.
async fn convert(
    model: &Model,
    values: &mut BTreeMap<String, Vec<f32>>,
    shapes: &mut BTreeMap<String, Vec<usize>>,
    step: usize,
) -> Result<(), TrainError> {
    for (path, (a, b)) in model.beginnings() {
        let [r, _] = a.dims();
        let (name_a, name_b) = (AdapterPart::LoraA.parameter(path), AdapterPart::LoraB.parameter(path));
        let failed = |reason| TrainError::Device { step, reason };
        let (first_a, first_b) = (to_host(a).await.map_err(failed)?, to_host(b).await.map_err(failed)?);
        if let (Some(a), Some(b)) = (values.remove(&name_a), values.remove(&name_b)) {
            let rows = b.chunks(r).zip(first_b.chunks(r));
            let both =
                rows.flat_map(|(now, first)| now.iter().copied().chain(first.iter().map(|value| -value)));
            values.insert(name_b.clone(), both.collect());
            values.insert(name_a.clone(), [a, first_a].concat());
        }
        shapes.entry(name_a).and_modify(|shape| shape[0] = 2 * r);
        shapes.entry(name_b).and_modify(|shape| shape[1] = 2 * r);
    }
    Ok(())
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

/// Returns the files of a checkpoint beside the adapter: the optimizer's state, with the best values so far, and the trainer's state. `state` is
/// the content of `trainer_state.json`.
pub(crate) async fn state_files(
    model: &mut Model,
    optimizer: &Optimizer,
    best: &[(String, Vec<f32>)],
    step: usize,
    state: &serde_json::Value,
) -> Result<Vec<(String, Vec<u8>)>, TrainError> {
    let kept = optimizer.state().await.map_err(|reason| TrainError::Device { step, reason })?;
    let shapes: BTreeMap<String, Vec<usize>> = model.parameter_names().into_iter().collect();
    let best = best.iter().map(|(name, values)| (format!("{BEST}{name}"), values));
    let tensors: Vec<_> = kept.iter().map(|(name, values)| (name.clone(), values)).chain(best).collect();
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, values)| {
            // The state of a matrix may be smaller than the matrix.
            let shape = name.split_once('.').and_then(|(_, parameter)| shapes.get(parameter));
            let whole = shape.filter(|shape| shape.iter().product::<usize>() == values.len());
            let shape = whole.cloned().unwrap_or_else(|| vec![values.len()]);
            (TensorSpec::new(name, Dtype::F32, shape), TensorData::F32(values))
        })
        .collect();
    Ok(vec![
        ("optimizer.safetensors".into(), to_bytes(&tensors, &BTreeMap::new())?),
        ("trainer_state.json".into(), format!("{state:#}\n").into_bytes()),
    ])
}
