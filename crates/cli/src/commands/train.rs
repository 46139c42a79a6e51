//! `lorelei train`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use lorelei_data::{LABELS_FILE, Labels, Tokenizer};
use lorelei_models::{Purpose, Storage};
use lorelei_recipe::{FinetuningType, Hint, Recipe, ReportTo, StepPlan, TrainingArguments, hints};
use lorelei_train::{Finished, Job, objective, train};
use miette::Result;

use crate::{
    adapter, checkpoint,
    dataset::{self, Dataset},
    device::DeviceArguments,
    disk,
    recipe_file::RecipeArguments,
    report, source,
    terminal::Terminal,
};

/// Arguments of `lorelei train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// Go on from a checkpoint: from the newest in training.output_dir, or from the folder given.
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1, default_missing_value = LAST)]
    resume_from_checkpoint: Option<PathBuf>,
    /// Draw the curves in the terminal while it trains; q ends the run and saves.
    #[arg(long)]
    tui: bool,
}

/// What stands for the newest checkpoint, as in `trainer.train(resume_from_checkpoint=True)`.
const LAST: &str = "true";

/// A recipe with everything that it names in memory.
pub struct Prepared {
    /// What the trainer needs.
    pub job: Job,
    /// The model's.
    pub tokenizer: Tokenizer,
    recipe: Recipe,
    terminal: Terminal,
    /// A classifier's.
    labels: Option<Labels>,
}

impl Prepared {
    /// Reads the data, loads the model onto `device`, puts the adapter in and makes `output_dir`; with `resume`, all as that checkpoint's folder has
    /// it.
    ///
    /// # Errors
    ///
    /// If the recipe, the model or the data is wrong.
    pub fn new(recipe: Recipe, device: &Device, resume: Option<&Path>) -> Result<Self> {
        let checkpoint = resume.map(checkpoint::read).transpose()?;
        let base = recipe.model.name().map_err(report)?;
        let is_full = recipe.training.finetuning_type == FinetuningType::Full;
        // A checkpoint of a whole model is one.
        let name = resume.filter(|_| is_full).map(|folder| folder.display().to_string());
        let source = source::open(name.as_deref().unwrap_or(base))?;
        let tokenizer = source::tokenizer(&source)?;
        let config = source.model_config().map_err(report)?;
        let mut purpose = Purpose::of(&recipe);
        let task = purpose.trained_task(&config).map_err(report)?;
        let data = Dataset::read(&recipe, &tokenizer, config.vocab_size, task)?;
        let labels = data.labels.clone();
        purpose.num_labels = labels.as_ref().map(Labels::num_labels);
        match labels.as_ref().map(|labels| labels.names()) {
            Some([]) => say!("the labels are numbers: the loss is the mean squared error"),
            Some(names) => say!("{} classes: {}", names.len(), names.join(", ")),
            None => {}
        }
        let (train, validation) = data.rows(&recipe)?;
        let (dtype, warning) =
            pollster::block_on(lorelei_train::base_dtype(&recipe.training, device)).map_err(report)?;
        if let Some(warning) = warning {
            eprintln!("warning: {warning}");
        }
        let keep_packed = source::keeps_packed(&recipe, device);
        let mut model =
            source::load_for(&source, device, Storage { keep_packed, dtype, ..Storage::SINGLE }, purpose)?;
        let (lora, target_modules) = adapter::adapt(&mut model, &recipe)?;
        // An adapter that was trained before has begun already.
        if let Some(lora) = lora.as_ref().filter(|_| recipe.model.adapter_name_or_path.is_none()) {
            let begun = model.begin_from_weights(lora, recipe.training.seed);
            pollster::block_on(begun).map_err(report)?;
        }
        if let Some(folder) = resume.filter(|_| !is_full) {
            adapter::restore(&mut model, folder)?;
        }
        let mut companions =
            if lora.is_none() { source.companions("float32").map_err(report)? } else { Vec::new() };
        if let Some(labels) = &labels {
            if let Some(folder) = resume {
                checkpoint::same_labels(folder, labels)?;
            }
            companions.push((LABELS_FILE.into(), labels.to_json().into_bytes()));
        }
        let first_step = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let mut terminal = Terminal::new(PathBuf::from(&recipe.training.output_dir), companions, first_step)?;
        if labels.is_some() {
            terminal.classifies();
        }
        if recipe.training.disable_tqdm == Some(true) {
            terminal.without_bar();
        }
        if recipe.training.report_to == ReportTo::Tensorboard {
            terminal.report_to_tensorboard(&logging_dir(&recipe.training))?;
        }
        let job = Job {
            model,
            lora,
            target_modules,
            base_model: base_name(base),
            arguments: recipe.training.clone(),
            objective: objective(labels.as_ref()),
            train,
            validation,
            shuffle: recipe.data.shuffle,
            padding: dataset::padding(&recipe, &tokenizer),
            checkpoint,
            sample: None,
        };
        Ok(Self { job, tokenizer, recipe, terminal, labels })
    }

    /// Trains, and saves what was learnt with the recipe.
    ///
    /// # Errors
    ///
    /// If the run fails.
    pub fn train(&mut self) -> Result<Finished> {
        let finished = pollster::block_on(train(&mut self.job, &mut self.terminal)).map_err(report)?;
        let recipe = self.recipe.to_toml().into_bytes();
        let mut files = vec![("recipe.toml".to_owned(), recipe)];
        if self.job.lora.is_some() {
            let on_hub = source::is_on_hub(self.recipe.model.name().map_err(report)?);
            let card = lorelei_train::model_card(&self.recipe, on_hub, self.labels.as_ref());
            files.push(("README.md".into(), card.into_bytes()));
        }
        disk::save(self.terminal.output(), &files).map_err(report)?;
        Ok(finished)
    }

    /// The loss on the validation rows.
    ///
    /// # Errors
    ///
    /// If there are none, or the device fails.
    pub fn evaluate(&self) -> Result<f64> {
        let evaluation = lorelei_train::evaluate(&self.job, &self.terminal, 0, 0.0);
        Ok(pollster::block_on(evaluation).map_err(report)?.loss())
    }
}

/// Where TensorBoard's files go: `logging_dir`, or `runs/NAME` in `output_dir`.
fn logging_dir(training: &TrainingArguments) -> PathBuf {
    let name = training.run_name.as_deref().unwrap_or("run");
    match &training.logging_dir {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&training.output_dir).join("runs").join(name.replace(['/', '\\'], "-")),
    }
}

/// Says which rules of experience a run does not keep to.
fn say_hints(prepared: &Prepared) {
    let plan = StepPlan::new(prepared.job.train.len(), &prepared.recipe.training).ok();
    for Hint { key, message, source } in hints(&prepared.recipe, plan.as_ref()) {
        eprintln!("hint: {key}: {message} ({source})");
    }
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model or the data is wrong, or the run fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    let resume = match &arguments.resume_from_checkpoint {
        Some(word) if word == Path::new(LAST) => {
            Some(checkpoint::last(Path::new(&recipe.training.output_dir))?)
        }
        given => given.clone(),
    };
    let device = arguments.device.choose()?;
    let mut prepared = Prepared::new(recipe, &device, resume.as_deref())?;
    say_hints(&prepared);
    if arguments.tui {
        prepared.terminal.with_curves()?;
    }
    prepared.train()?;
    say!("saved in {}", prepared.terminal.output().display());
    Ok(())
}

/// What `adapter_config.json` names as the base: of a folder whose name looks like a hub id with a revision, a path that does not.
fn base_name(name: &str) -> String {
    match name.contains('@') && Path::new(name).exists() && Path::new(name).is_relative() {
        true => format!("./{}", name.trim_start_matches("./")),
        false => name.to_owned(),
    }
}
