//! Combines a recipe, a model and data into a job.

use burn::tensor::Device;
use lorelei_data::{LABELS_FILE, Labels, Tokenizer};
use lorelei_formats::ModelSource;
use lorelei_models::{Model, Purpose, Storage};
use lorelei_protocol::{Notice, SamplePrompt};
use lorelei_recipe::{FinetuningType, LoraConfig, Message, Recipe, message};
use lorelei_train::{
    Checkpoint, Job, MANIFEST_FILE, Manifest, RunIdentity, Sample, TrainError, base_dtype, objective,
};

use crate::{
    Folder, Host, LoadedModel, Result, RunData, SessionError,
    adapter::{adapter_config, labels, load_adapter, set_adapter},
    answer::end_ids,
    dataset::padding,
    model::{keeps_packed, model_digest},
};

/// Request for a run.
pub struct RunRequest<'r, F> {
    /// The recipe of the run.
    pub recipe: &'r Recipe,
    /// The base model. It is not copied: a program that needs it no more gives its only one.
    pub model: LoadedModel,
    /// How the base is stored, as [`storage`] returned it.
    pub storage: Storage,
    /// The data to train on and to evaluate on.
    pub data: RunData,
    /// The checkpoint to resume from, as [`Resumed::read`] returned it.
    pub resume: Option<Resumed<'r, F>>,
    /// A prompt that the model answers at intervals.
    pub sample: Option<SamplePrompt>,
}

/// A checkpoint that was read: everything but its weights and labels, which are checked against the model and the data.
pub struct Resumed<'r, F> {
    folder: &'r F,
    checkpoint: Checkpoint,
    /// What it belongs to; `None` in a checkpoint of an earlier version.
    identity: Option<RunIdentity>,
    allows_changes: bool,
    /// Whether it holds an adapter, and not a whole model.
    has_adapter: bool,
}

impl<'r, F: Folder> Resumed<'r, F> {
    /// Reads the step, the optimizer's state and the trainer's state of a checkpoint, and compares its files with their digests.
    ///
    /// # Errors
    ///
    /// If a file is missing, is not as it was saved, or does not have the trainer's form.
    pub async fn read(folder: &'r F) -> Result<Self> {
        const HELP: Message = message!("a checkpoint that a run can be resumed from has it");
        const ADAPTER_CONFIG: &str = "adapter_config.json";
        const STATE: &str = "trainer_state.json";
        const OPTIMIZER: &str = "optimizer.safetensors";
        let here = |error: TrainError| SessionError::from(error).of(folder.name());
        let manifest = match folder.read(MANIFEST_FILE).await? {
            None => None,
            Some(bytes) => Some(Manifest::read(&bytes).map_err(here)?),
        };
        let has_adapter = folder.read(ADAPTER_CONFIG).await?.is_some();
        let (state, optimizer) = (folder.need(STATE, HELP).await?, folder.need(OPTIMIZER, HELP).await?);
        if let Some(manifest) = &manifest {
            for (name, bytes) in [(STATE, &state), (OPTIMIZER, &optimizer)] {
                manifest.check(name, bytes).map_err(here)?;
            }
            for name in manifest.files.keys().filter(|name| ![STATE, OPTIMIZER].contains(&name.as_str())) {
                let bytes = folder.need(name, message!("it was saved with the checkpoint")).await?;
                manifest.check(name, &bytes).map_err(here)?;
            }
        }
        let checkpoint = Checkpoint::read(optimizer, &String::from_utf8_lossy(&state)).map_err(here)?;
        let identity = manifest.map(|manifest| manifest.run);
        Ok(Self { folder, checkpoint, identity, allows_changes: false, has_adapter })
    }

    /// Refuses a checkpoint of the other kind of training: an adapter for a recipe that trains the whole model, or a whole model for one of an adapter.
    ///
    /// # Errors
    ///
    /// If it is one.
    pub fn check_kind(&self, recipe: &Recipe) -> Result<()> {
        let wants_adapter = recipe.training.finetuning_type == FinetuningType::Lora;
        match self.has_adapter == wants_adapter {
            true => Ok(()),
            false => {
                Err(SessionError::OtherKind { checkpoint: self.folder.name(), has_adapter: self.has_adapter })
            }
        }
    }

    /// Allows the run to have other settings and other rows than the checkpoint's. They become notices.
    pub fn allowing_changes(self) -> Self {
        Self { allows_changes: true, ..self }
    }
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
    let RunRequest { recipe, model: loaded, storage, data, resume, sample } = request;
    for warning in recipe.validate_for(H::KIND)? {
        host.notice(Notice::new("not_honoured", warning.message));
    }
    let mut purpose = Purpose::of(recipe);
    if purpose.trained_task(loaded.model.config())? != data.task {
        return Err(SessionError::OtherTask);
    }
    purpose.num_labels = data.labels.as_ref().map(Labels::num_labels);
    let LoadedModel { model, source, tokenizer, name, .. } = loaded;
    let mut model = for_run(model, &source, purpose, storage)?;
    let (lora, target_modules) = adapt(host, &mut model, recipe).await?;
    let identity = RunIdentity {
        settings: recipe.run_settings(),
        // The weights of a model that is itself trained are in the checkpoint, where its manifest has their digests.
        model: if lora.is_some() { Some(model_digest(&source)?) } else { None },
        train: data.digests.train,
        validation: data.digests.validation,
    };
    let checkpoint = match resume {
        None => None,
        Some(resumed) => {
            resumed.check_kind(recipe)?;
            same_adapter(resumed.folder, lora.as_ref()).await?;
            same_labels(host, resumed.folder, data.labels.as_ref()).await?;
            same_run(host, &resumed, &identity)?;
            if lora.is_some() {
                set_adapter(&mut model, resumed.folder).await?;
            }
            // A model that is fine-tuned whole has been loaded from the checkpoint already.
            Some(resumed.checkpoint)
        }
    };
    let is_full = recipe.training.finetuning_type == FinetuningType::Full;
    let companions = companions(&source, is_full, data.labels.as_ref())?;
    let padding = padding(recipe, &tokenizer).within(model.config().vocab_size);
    Ok(Job {
        sample: sample_of(&model, &tokenizer, sample)?,
        model,
        lora,
        target_modules,
        base_model: name,
        arguments: recipe.training.clone(),
        objective: objective(data.labels.as_ref()),
        train: data.train,
        validation: data.validation,
        shuffle: recipe.data.shuffle,
        padding,
        checkpoint,
        companions,
        identity,
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
            let (lora, targets) =
                load_adapter(model, &host.adapter(adapter).await?, |notice| host.notice(notice)).await?;
            Ok((Some(lora), targets))
        }
        (FinetuningType::Lora, None) => {
            let targets = model.inject_lora(&recipe.lora, recipe.training.seed)?;
            for one in model.unmatched(&recipe.lora)? {
                host.notice(Notice::new("unmatched", one.message()));
            }
            model.begin_from_weights(&recipe.lora, recipe.training.seed).await?;
            let lora = recipe.lora.with_layers_counted(model.config().num_hidden_layers)?;
            Ok((Some(lora), targets))
        }
    }
}

/// Refuses a checkpoint of a classifier of other classes than the data's.
async fn same_labels<H: Host>(host: &H, folder: &H::Folder, now: Option<&Labels>) -> Result<()> {
    let Some(now) = now else { return Ok(()) };
    match labels(folder).await? {
        Some(before) if before == *now => Ok(()),
        Some(before) => {
            let (before, now) = (before.listed(), now.listed());
            Err(SessionError::OtherLabels { checkpoint: folder.name(), before, now })
        }
        None => {
            host.notice(unknown_labels(&folder.name()));
            Ok(())
        }
    }
}

/// Refuses a checkpoint whose adapter computes something else than the recipe's: another scale, another rank, or weights that began otherwise.
async fn same_adapter(folder: &impl Folder, lora: Option<&LoraConfig>) -> Result<()> {
    let Some(lora) = lora else { return Ok(()) };
    let before = adapter_config(folder).await?.lora;
    // What begins from the base's weights is saved as a plain adapter of twice the rank.
    let now = if lora.init_lora_weights.changes_the_base() { lora.converted() } else { lora.clone() };
    let settings = |lora: &LoraConfig| {
        [
            ("r", lora.r.to_string()),
            ("lora_alpha", lora.lora_alpha.to_string()),
            ("use_rslora", lora.use_rslora.to_string()),
            ("use_dora", lora.use_dora.to_string()),
            ("rank_pattern", format!("{:?}", lora.rank_pattern)),
            ("alpha_pattern", format!("{:?}", lora.alpha_pattern)),
        ]
    };
    for ((setting, before), (_, now)) in settings(&before).into_iter().zip(settings(&now)) {
        if before != now {
            let checkpoint = folder.name();
            return Err(SessionError::OtherAdapter {
                checkpoint,
                setting: format!("lora.{setting}"),
                before,
                now,
            });
        }
    }
    Ok(())
}

/// Refuses a checkpoint of a run with other settings or other rows, unless they are allowed.
fn same_run<H: Host>(host: &H, resumed: &Resumed<'_, H::Folder>, now: &RunIdentity) -> Result<()> {
    let checkpoint = resumed.folder.name();
    let Some(before) = &resumed.identity else {
        let message = message!(
            "{checkpoint} has no {file}: whether its files are as they were saved, and whether it belongs to this recipe and these rows, \
             cannot be checked",
            checkpoint,
            file = MANIFEST_FILE
        );
        host.notice(Notice::new("unknown_run", message));
        return Ok(());
    };
    let differences = before.differences(now);
    if !differences.is_empty() && !resumed.allows_changes {
        return Err(SessionError::OtherRun { checkpoint, differences });
    }
    for difference in differences {
        let message = message!(
            "going on from {checkpoint}: {difference}",
            checkpoint = &checkpoint,
            difference = difference.to_message()
        );
        host.notice(Notice::new("changed_run", message));
    }
    Ok(())
}

/// Returns the files that are saved beside every checkpoint and the result: those that make the folder of a whole model loadable, and a classifier's
/// labels.
fn companions(
    source: &ModelSource,
    is_full: bool,
    labels: Option<&Labels>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = if is_full { source.companions("float32")? } else { Vec::new() };
    files.extend(labels.map(|labels| (LABELS_FILE.to_owned(), labels.to_json().into_bytes())));
    Ok(files)
}

/// Warns of a classifier's checkpoint that does not say which classes it was trained for.
fn unknown_labels(checkpoint: &str) -> Notice {
    let message = message!(
        "{checkpoint} has no {file}: whether its classes are those of the data, in the same order, cannot be checked",
        checkpoint,
        file = LABELS_FILE
    );
    Notice::new("unknown_labels", message)
}

/// Returns the model for a run: with the head for `purpose`, in the storage's number format, and with packed weights only if it keeps them.
fn for_run(model: Model, source: &ModelSource, purpose: Purpose, storage: Storage) -> Result<Model> {
    let wanted = purpose.config(model.config().clone())?;
    let model = match wanted == *model.config() {
        true => model,
        false => model.with_head(purpose, &*source.tensors)?,
    };
    let model = if storage.keep_packed { model } else { model.unpacked() };
    Ok(model.in_dtype(storage.dtype))
}

/// Encodes the sample prompt. Returns `None` for a model that does not generate: an encoder, or a classifier.
fn sample_of(model: &Model, tokenizer: &Tokenizer, sample: Option<SamplePrompt>) -> Result<Option<Sample>> {
    let Some(SamplePrompt { prompt, every, max_new_tokens }) = sample.filter(|_| model.generates()) else {
        return Ok(None);
    };
    let prompt = tokenizer.encode_prompt(&prompt)?;
    let stop = end_ids(model, tokenizer);
    Ok(Some(Sample { every, prompt, max_new_tokens, stop }))
}
