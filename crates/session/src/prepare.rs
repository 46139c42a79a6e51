//! Combines a recipe, a model and data into a job.

use burn::tensor::Device;
use lorelei_data::Labels;
use lorelei_models::{Model, Purpose, Storage};
use lorelei_protocol::{Notice, SamplePrompt};
use lorelei_recipe::{FinetuningType, LoraConfig, Recipe};
use lorelei_train::{Checkpoint, Job, Sample, base_dtype, objective};

use crate::{
    Folder, Host, LoadedModel, Result, RunData, SessionError,
    adapter::{labels, load_adapter, set_adapter},
    dataset::padding,
    model::keeps_packed,
};

/// Request for a run.
pub struct RunRequest<'r, F> {
    /// The recipe of the run.
    pub recipe: &'r Recipe,
    /// The base model.
    pub model: &'r LoadedModel,
    /// The data to train on and to evaluate on.
    pub data: RunData,
    /// The checkpoint to resume from.
    pub resume: Option<&'r F>,
    /// A prompt that the model answers at intervals.
    pub sample: Option<SamplePrompt>,
}

/// Returns how the base model of a recipe's run is stored on `device`. Shows a notice if that is not what the recipe asks for.
///
/// # Errors
///
/// If the device does not support the number format that the recipe asks for.
pub async fn storage(host: &impl Host, recipe: &Recipe, device: &Device) -> Result<Storage> {
    let (dtype, warning) = base_dtype(&recipe.training, device).await?;
    if let Some(message) = warning {
        host.notice(Notice::new("no_float16", message));
    }
    Ok(Storage { keep_packed: keeps_packed(recipe, device), dtype, ..Storage::SINGLE })
}

/// Prepares the job of a run: the head for the task, the base model in the recipe's number format, the adapter, fresh or from a folder, and the
/// state of the checkpoint that the run is resumed from.
///
/// # Errors
///
/// If the recipe has a setting that the host refuses, or the recipe, the model, the data and the checkpoint do not fit together.
pub async fn prepare<H: Host>(host: &H, request: RunRequest<'_, H::Folder>) -> Result<Job> {
    let RunRequest { recipe, model: loaded, data, resume, sample } = request;
    for warning in recipe.validate_for(H::KIND)? {
        host.notice(Notice::new("not_honoured", warning.message).with("setting", warning.key));
    }
    let mut purpose = Purpose::of(recipe);
    if purpose.trained_task(loaded.model.config())? != data.task {
        return Err(SessionError::OtherTask);
    }
    purpose.num_labels = data.labels.as_ref().map(Labels::num_labels);
    let Storage { dtype, keep_packed, .. } = storage(host, recipe, loaded.model.device()).await?;
    let mut model = loaded.for_run(purpose, dtype, keep_packed)?;
    let (lora, target_modules) = adapt(host, &mut model, recipe).await?;
    let checkpoint = match resume {
        None => None,
        Some(folder) => Some(restore(&mut model, folder, lora.is_some(), data.labels.as_ref()).await?),
    };
    Ok(Job {
        sample: sample_of(loaded, sample)?,
        model,
        lora,
        target_modules,
        base_model: loaded.name.clone(),
        arguments: recipe.training.clone(),
        objective: objective(data.labels.as_ref()),
        train: data.train,
        validation: data.validation,
        shuffle: recipe.data.shuffle,
        padding: padding(recipe, &loaded.tokenizer),
        checkpoint,
    })
}

/// Adds the recipe's adapter to the model. Returns its configuration and the names of its target modules. Full fine-tuning has no adapter.
///
/// # Errors
///
/// If it does not fit the model.
pub async fn adapt<H: Host>(
    host: &H,
    model: &mut Model,
    recipe: &Recipe,
) -> Result<(Option<LoraConfig>, Vec<String>)> {
    match (recipe.training.finetuning_type, &recipe.model.adapter_name_or_path) {
        (FinetuningType::Full, Some(adapter)) => {
            Err(SessionError::AdapterOfFullFinetuning { adapter: adapter.clone() })
        }
        (FinetuningType::Full, None) => {
            model.finetune_all();
            Ok((None, Vec::new()))
        }
        (FinetuningType::Lora, Some(adapter)) => {
            let (lora, targets) = load_adapter(model, &host.adapter(adapter).await?).await?;
            Ok((Some(lora), targets))
        }
        (FinetuningType::Lora, None) => {
            let targets = model.inject_lora(&recipe.lora, recipe.training.seed)?;
            model.begin_from_weights(&recipe.lora, recipe.training.seed).await?;
            Ok((Some(recipe.lora.clone()), targets))
        }
    }
}

/// Loads a checkpoint's adapter into the model, and returns the rest of the checkpoint. If the model is fine-tuned whole, its weights have
/// already been loaded from the checkpoint.
async fn restore(
    model: &mut Model,
    folder: &impl Folder,
    has_adapter: bool,
    data_labels: Option<&Labels>,
) -> Result<Checkpoint> {
    const HELP: &str = "a checkpoint that a run can go on from has it";
    if let Some(now) = data_labels
        && let Some(before) = labels(folder).await?
        && before != *now
    {
        let (before, now) = (before.names().join(", "), now.names().join(", "));
        return Err(SessionError::OtherLabels { checkpoint: folder.name(), before, now });
    }
    if has_adapter {
        set_adapter(model, folder).await?;
    }
    let state = folder.need("trainer_state.json", HELP).await?;
    let optimizer = folder.need("optimizer.safetensors", HELP).await?;
    Ok(Checkpoint::read(optimizer, &String::from_utf8_lossy(&state))?)
}

/// Encodes the sample prompt. Returns `None` for a model that does not write text.
fn sample_of(loaded: &LoadedModel, sample: Option<SamplePrompt>) -> Result<Option<Sample>> {
    let Some(SamplePrompt { prompt, every, max_new_tokens }) =
        sample.filter(|_| loaded.model.config().writes_text())
    else {
        return Ok(None);
    };
    let prompt = loaded.tokenizer.encode_prompt(&prompt)?;
    let stop = loaded.tokenizer.eos_id().into_iter().collect();
    Ok(Some(Sample { every, prompt, max_new_tokens, stop }))
}
