//! `lorelei train`.

use std::path::PathBuf;

use burn::tensor::Device;
use lorelei_data::Tokenizer;
use lorelei_kernels::gpu;
use lorelei_recipe::{FinetuningType, ModelDtype, Recipe};
use lorelei_train::{Finished, Job, train};
use miette::Result;

use crate::{
    adapter, dataset, device, disk, recipe_file::RecipeArguments, report, source, terminal::Terminal,
};

/// Arguments of `lorelei train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// A recipe with everything that it names in memory.
pub struct Prepared {
    /// What the trainer needs.
    pub job: Job,
    /// The model's.
    pub tokenizer: Tokenizer,
    recipe: Recipe,
    terminal: Terminal,
}

impl Prepared {
    /// Reads the data, loads the model onto `device`, puts the adapter in and makes `output_dir`.
    ///
    /// # Errors
    ///
    /// If the recipe, the model or the data is wrong.
    pub fn new(recipe: Recipe, device: &Device) -> Result<Self> {
        let source = source::open(&recipe.model.model_name_or_path)?;
        let tokenizer = source::tokenizer(&source)?;
        let vocab_size = source.llama_config().map_err(report)?.vocab_size;
        let (train, validation) = dataset::rows(&recipe, &tokenizer, vocab_size)?;
        let keep_packed = recipe.model.dtype == ModelDtype::Auto
            && recipe.training.finetuning_type == FinetuningType::Lora
            && gpu::runs_on(device);
        let mut model = source::load(&source, device, keep_packed)?;
        let (lora, target_modules) = adapter::adapt(&mut model, &recipe)?;
        let companions =
            if lora.is_none() { source.companions("float32").map_err(report)? } else { Vec::new() };
        let terminal = Terminal::new(PathBuf::from(&recipe.training.output_dir), companions)?;
        let job = Job {
            model,
            lora,
            target_modules,
            base_model: recipe.model.model_name_or_path.clone(),
            arguments: recipe.training.clone(),
            train,
            validation,
            shuffle: recipe.data.shuffle,
            pad_id: tokenizer.pad_id().unwrap_or(0),
            checkpoint: None,
            sample: None,
        };
        Ok(Self { job, tokenizer, recipe, terminal })
    }

    /// Trains, and saves what was learnt with the recipe.
    ///
    /// # Errors
    ///
    /// If the run fails.
    pub fn train(&mut self) -> Result<Finished> {
        let finished = pollster::block_on(train(&mut self.job, &mut self.terminal)).map_err(report)?;
        let recipe = self.recipe.to_toml().into_bytes();
        disk::save(self.terminal.output(), &[("recipe.toml".into(), recipe)]).map_err(report)?;
        Ok(finished)
    }

    /// The loss on the validation rows.
    ///
    /// # Errors
    ///
    /// If there are none, or the device fails.
    pub fn evaluate(&self) -> Result<f64> {
        let evaluation = lorelei_train::evaluate(&self.job, &self.terminal, 0, 0.0);
        Ok(pollster::block_on(evaluation).map_err(report)?.eval_loss)
    }
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model or the data is wrong, or the run fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    let device = device::choose(&arguments.device)?;
    let mut prepared = Prepared::new(recipe, &device)?;
    prepared.train()?;
    say!("saved in {}", prepared.terminal.output().display());
    Ok(())
}
