//! A recipe, a model and data put together to a job.

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

/// What is to be trained.
pub struct RunRequest<'r, F> {
    /// How.
    pub recipe: &'r Recipe,
    /// The base.
    pub model: &'r LoadedModel,
    /// What is learnt from.
    pub data: RunData,
    /// The checkpoint that the run goes on from.
    pub resume: Option<&'r F>,
    /// A prompt to answer now and then.
    pub sample: Option<SamplePrompt>,
}

/// How the base of a recipe's run lies on `device`; tells where that is not what the recipe asks for.
///
/// # Errors
///
/// If the device does not have the numbers that the recipe asks for.
pub async fn storage(host: &impl Host, recipe: &Recipe, device: &Device) -> Result<Storage> {
    let (dtype, warning) = base_dtype(&recipe.training, device).await?;
    if let Some(message) = warning {
        host.notice(Notice::new("no_float16", message));
    }
    Ok(Storage { keep_packed: keeps_packed(recipe, device), dtype, ..Storage::SINGLE })
}

/// Puts a job together, unless the recipe has a setting that the host refuses: the head for the task, the base in the recipe's numbers, the adapter, fresh or from a folder, and the state of the
/// checkpoint that the run goes on from.
///
/// # Errors
///
/// If the recipe, the model, the data and the checkpoint do not fit together.
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

/// Puts the recipe's adapter into the model. Returns its configuration and the names of its modules; with full fine-tuning there is none.
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

/// Takes a checkpoint's adapter into the model, and returns the rest of it. Of a model that is fine-tuned whole, the weights were loaded from it.
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

/// The prompt in tokens. A model that does not write text answers none.
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
