//! A run of a recipe on the file system, ready to begin.

use std::{fs, path::PathBuf};

use burn::tensor::Device;
use lorelei_data::{Labels, Tokenizer};
use lorelei_models::Purpose;
use lorelei_recipe::{FinetuningType, Hint, Recipe, StepPlan, hints};
use lorelei_session::{
    BadRows, Dataset, DatasetRequest, FinishedRun, LOG_FILE, LoadedModel, ResultKind, Resumed, RunData,
    RunRequest, SessionError, prepare, storage,
};
use lorelei_train::{Finished, Job, train};
use miette::{Result, miette};

use crate::{
    data_files, disk,
    file_system::{DiskFolder, FileSystem},
    report, source,
    terminal::Terminal,
    upload::Upload,
};

/// A recipe with everything that it names in memory, and its output folder.
pub struct Prepared {
    /// The trainer's job.
    pub job: Job,
    /// The tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// The host that receives the events and writes the files.
    pub terminal: Terminal,
    recipe: Recipe,
    /// The labels of a classifier.
    labels: Option<Labels>,
    base_is_on_hub: bool,
    /// The licence of the base model, if it is known.
    license: Option<String>,
    /// Where the result is uploaded to, with `push_to_hub`.
    upload: Option<Upload>,
}

/// A checkpoint to resume a run from.
pub struct Resume {
    /// Folder of the checkpoint.
    pub folder: PathBuf,
    /// Allows the run to have other settings and rows than the checkpoint's.
    pub allows_changes: bool,
}

impl Prepared {
    /// Reads the data, loads the model onto `device`, puts the adapter in and creates `output_dir`. With `resume`, all of it is read from that
    /// checkpoint's folder.
    ///
    /// # Errors
    ///
    /// If the recipe, the model or the data is wrong.
    pub fn new(recipe: Recipe, device: &Device, resume: Option<&Resume>) -> Result<Self> {
        let is_full = recipe.training.finetuning_type == FinetuningType::Full;
        let named = recipe.model.name().map_err(report)?;
        // Hours of training are not to end at a token that is not there.
        let upload = Upload::of(&recipe.training)?;
        // A checkpoint of a whole model is itself a model's folder.
        let whole = resume.filter(|_| is_full).map(|resume| resume.folder.display().to_string());
        let folder = resume.map(|resume| DiskFolder::from(resume.folder.as_path()));
        let resumed = match &folder {
            None => None,
            Some(folder) => {
                let resumed = pollster::block_on(Resumed::read(folder)).map_err(report)?;
                resumed.check_kind(&recipe).map_err(report)?;
                let allows_changes = resume.is_some_and(|resume| resume.allows_changes);
                Some(if allows_changes { resumed.allowing_changes() } else { resumed })
            }
        };
        let opened = source::opened_as(whole.as_deref().unwrap_or(named), named)?;
        let tokenizer = source::tokenizer(&opened.source)?;
        let config = opened.source.model_config().map_err(report)?;
        let mut purpose = Purpose::of(&recipe);
        let task = purpose.trained_task(&config).map_err(report)?;
        let data = read(&recipe, dataset_request(&recipe, &tokenizer, config.vocab_size, task))?;
        let labels = data.labels.clone();
        purpose.num_labels = labels.as_ref().map(Labels::num_labels);
        let license = source::license(named, upload.is_some());
        let license = license.or_else(|| lorelei_session::license_in(&opened.source));
        let storage = pollster::block_on(storage(&FileSystem, &recipe, device)).map_err(report)?;
        let model = LoadedModel::load(&FileSystem, opened, tokenizer, device, storage, purpose);
        let model = model.map_err(report)?;
        let (tokenizer, base_is_on_hub) = (model.tokenizer.clone(), model.is_on_hub);
        let request = RunRequest { recipe: &recipe, model, storage, data, resume: resumed, sample: None };
        let job = pollster::block_on(prepare(&FileSystem, request)).map_err(refused)?;
        let first_step = job.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let output = PathBuf::from(&recipe.training.output_dir);
        let mut terminal = Terminal::new(output, first_step)?;
        terminal.follow(&recipe)?;
        Ok(Self { job, tokenizer, recipe, terminal, labels, base_is_on_hub, license, upload })
    }

    /// Trains, and saves the result with the recipe. A run that was interrupted has saved a checkpoint and no result.
    ///
    /// # Errors
    ///
    /// If the run fails, or the repository to upload to cannot be made ready.
    pub fn train(&mut self) -> Result<Finished> {
        if let Some(upload) = &self.upload {
            upload.ready()?;
        }
        let finished = pollster::block_on(train(&mut self.job, &mut self.terminal)).map_err(report)?;
        if finished.interrupted {
            return Ok(finished);
        }
        let log = fs::read_to_string(self.terminal.output().join(LOG_FILE)).unwrap_or_default();
        let run = FinishedRun {
            recipe: &self.recipe,
            result: if self.job.lora.is_some() { ResultKind::Adapter } else { ResultKind::Model },
            base_is_on_hub: self.base_is_on_hub,
            labels: self.labels.as_ref(),
            num_examples: Some(self.job.train.len()),
            log: &log,
            license: self.license.as_deref(),
        };
        disk::save(self.terminal.output(), &run.files()).map_err(report)?;
        Ok(finished)
    }

    /// Uploads the result of [`Prepared::train`], with `push_to_hub`.
    ///
    /// # Errors
    ///
    /// If the hub refuses it or cannot be reached. The result is saved all the same.
    pub fn upload(&self) -> Result<()> {
        self.upload.as_ref().map_or(Ok(()), |upload| upload.push_run(self.terminal.output()))
    }

    /// Computes the loss on the validation rows.
    ///
    /// # Errors
    ///
    /// If there are no validation rows, or the device fails.
    pub fn evaluate(&self) -> Result<f64> {
        let evaluation = lorelei_train::evaluate(&self.job, &self.terminal, 0, 0.0);
        let evaluation = pollster::block_on(evaluation).map_err(report)?;
        evaluation.map(|evaluation| evaluation.loss()).ok_or_else(|| miette!("interrupted"))
    }

    /// Prints the rules of thumb that the run does not follow.
    pub fn print_hints(&self) {
        let plan = StepPlan::new(self.job.train.len(), &self.recipe.training).ok();
        for Hint { key, message, source } in hints(&self.recipe, plan.as_ref()) {
            say_err!("hint: {key}: {message} ({source})");
        }
    }
}

/// Returns the request by which a recipe's rows are read.
pub fn dataset_request<'r>(
    recipe: &'r Recipe,
    tokenizer: &'r Tokenizer,
    vocab_size: usize,
    task: lorelei_formats::config::Task,
) -> DatasetRequest<'r> {
    let bad_rows = BadRows::AsTheRecipeSays;
    DatasetRequest { tokenizer, vocab_size, task, section: &recipe.data, bad_rows }
}

/// Reads a recipe's files, warns of rows that were cut or left out, and determines the classes.
///
/// # Errors
///
/// If the recipe names no file, a file cannot be read, or there is nothing to train on.
pub fn read_dataset(recipe: &Recipe, request: DatasetRequest<'_>) -> Result<Dataset> {
    let train = train_file(recipe)?;
    let validation = recipe.data.validation_file.as_deref();
    let data = Dataset::read(&FileSystem, request, train, validation).map_err(report)?;
    data_files::warn(train, &data.train, recipe.data.max_length);
    if let (Some(path), Some(encoded)) = (validation, &data.validation) {
        data_files::warn(path, encoded, recipe.data.max_length);
    }
    Ok(data)
}

/// Returns the recipe's `train_file`.
///
/// # Errors
///
/// If the recipe has none.
pub fn train_file(recipe: &Recipe) -> Result<&str> {
    let named = recipe.data.train_file.as_deref();
    named.ok_or(lorelei_session::SessionError::NoTrainFile).map_err(report)
}

fn read(recipe: &Recipe, request: DatasetRequest<'_>) -> Result<RunData> {
    let data = read_dataset(recipe, request)?;
    if let Some(labels) = &data.labels {
        say!("{}", labels.summary());
    }
    data.split(&recipe.data, recipe.training.shuffle_seed()).map_err(report)
}

/// Reports why a run cannot be prepared.
fn refused(error: SessionError) -> miette::Report {
    const HELP: &str =
        "give the run the recipe and the rows that it began with, or add --allow-changes to go on with these";
    match &error {
        SessionError::OtherRun { .. } => miette!(help = HELP, "{error}"),
        _ => report(error),
    }
}
