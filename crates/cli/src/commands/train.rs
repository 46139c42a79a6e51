//! `lorelei train`.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, Write},
    path::PathBuf,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use lorelei_data::{Encoder, SequenceRow, Tokenizer, encode_rows, one_per_row, pack, read_jsonl, split};
use lorelei_formats::{parse_adapter_key, read_adapter_bytes};
use lorelei_models::Llama;
use lorelei_recipe::{FinetuningType, LoraConfig, ModelDtype, Recipe};
use lorelei_train::{Event, Host, Job, SaveError, train};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{device, disk, report, source::ModelSource};

/// Arguments of `lorelei train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipe, TOML or JSON.
    pub recipe: PathBuf,
    /// Replace a value of the recipe: table.key=value.
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub set: Vec<String>,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Reads a recipe file, applies `--set`, and prints warnings.
///
/// # Errors
///
/// If it cannot be read or is not a valid recipe.
pub fn recipe(path: &PathBuf, set: &[String]) -> Result<Recipe> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("cannot read {name}"))?;
    let json = path.extension().is_some_and(|extension| extension == "json");
    let read = if json { Recipe::from_json(&text, &name) } else { Recipe::from_toml(&text, &name) };
    let (mut recipe, mut warnings) = read.map_err(report)?;
    for assignment in set {
        warnings.extend(recipe.set(assignment).map_err(report)?);
    }
    recipe.validate().map_err(report)?;
    if matches!(recipe.model.dtype, ModelDtype::Float16 | ModelDtype::Bfloat16) {
        return Err(miette!(
            "model.dtype: half precision is not supported yet; leave it at \"auto\" (float32)"
        ));
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(recipe)
}

/// Puts the recipe's adapter, fresh or from `adapter_name_or_path`, into the model. Returns its configuration and target names.
///
/// # Errors
///
/// If it does not fit the model.
pub fn adapt(model: &mut Llama, recipe: &Recipe) -> Result<(Option<LoraConfig>, Vec<String>)> {
    if recipe.training.finetuning_type == FinetuningType::Full {
        model.finetune_all();
        return Ok((None, Vec::new()));
    }
    let Some(folder) = &recipe.model.adapter_name_or_path else {
        let targets = model.inject_lora(&recipe.lora, recipe.training.seed).map_err(report)?;
        return Ok((Some(recipe.lora.clone()), targets));
    };
    let (lora, targets) = load_adapter(model, folder)?;
    Ok((Some(lora), targets))
}

/// Puts a PEFT adapter folder's adapter into the model.
///
/// # Errors
///
/// If it cannot be read or does not fit.
pub fn load_adapter(model: &mut Llama, folder: &str) -> Result<(LoraConfig, Vec<String>)> {
    let folder = PathBuf::from(folder);
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let (lora, _) = LoraConfig::from_peft_json(&text, &path.display().to_string()).map_err(report)?;
    let targets = model.inject_lora(&lora, 0).map_err(report)?;
    let path = folder.join("adapter_model.safetensors");
    let bytes = fs::read(&path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let adapter = read_adapter_bytes(&bytes, &path.display().to_string()).map_err(report)?;
    let mut values = lorelei_models::AdapterValues::new();
    for (key, tensor) in adapter {
        let (module, part) = parse_adapter_key(&key)
            .ok_or_else(|| miette!("{}: tensor {key} is not a LoRA matrix", path.display()))?;
        values.insert(format!("{module}.{part}"), (tensor.shape, tensor.values));
    }
    model.set_adapter(&values).map_err(report)?;
    Ok((lora, targets))
}

fn rows(path: &str, tokenizer: &Tokenizer, recipe: &Recipe) -> Result<Vec<SequenceRow>> {
    let file = File::open(path).into_diagnostic().wrap_err_with(|| format!("cannot read {path}"))?;
    let encoder = Encoder::new(tokenizer, recipe.data.max_length);
    let encoded = encode_rows(read_jsonl(BufReader::new(file), path), path, &encoder).map_err(report)?;
    if encoded.truncated > 0 {
        eprintln!(
            "warning: {path}: {} rows were cut at max_length = {}",
            encoded.truncated, recipe.data.max_length
        );
    }
    if !encoded.skipped.is_empty() {
        eprintln!("warning: {path}: {} rows have nothing to learn and are left out", encoded.skipped.len());
    }
    Ok(match recipe.data.packing {
        true => pack(encoded.examples, recipe.data.max_length),
        false => one_per_row(encoded.examples),
    })
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model or the data is wrong, or the run fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    let device = device::choose(&arguments.device)?;
    let source = ModelSource::open(&recipe.model.model_name_or_path)?;
    let tokenizer = source.tokenizer()?;
    let path =
        recipe.data.train_file.as_deref().ok_or_else(|| miette!("the recipe names no data.train_file"))?;
    let mut train_rows = rows(path, &tokenizer, &recipe)?;
    let mut validation = match &recipe.data.validation_file {
        Some(path) => rows(path, &tokenizer, &recipe)?,
        None => Vec::new(),
    };
    if let (true, Some(percentage)) = (validation.is_empty(), recipe.data.validation_split_percentage) {
        let (kept, held) = split(train_rows.len(), percentage, recipe.training.shuffle_seed());
        validation = held.iter().map(|i| train_rows[*i].clone()).collect();
        train_rows = kept.iter().map(|i| train_rows[*i].clone()).collect();
    }
    let mut model = source.load(&device)?;
    let (lora, target_modules) = adapt(&mut model, &recipe)?;
    let output = PathBuf::from(&recipe.training.output_dir);
    let mut terminal = Terminal::new(output.clone())?;
    let mut job = Job {
        model,
        lora,
        target_modules,
        base_model: recipe.model.model_name_or_path.clone(),
        arguments: recipe.training.clone(),
        train: train_rows,
        validation,
        shuffle: recipe.data.shuffle,
        pad_id: tokenizer.pad_id().unwrap_or(0),
    };
    pollster::block_on(train(&mut job, &mut terminal)).map_err(report)?;
    disk::save(&output, &[("recipe.toml".into(), recipe.to_toml().into_bytes())]).map_err(report)?;
    println!("saved in {}", output.display());
    Ok(())
}

/// A progress bar, `trainer_log.jsonl`, and the folder `output_dir`.
struct Terminal {
    output: PathBuf,
    log: File,
    began: Instant,
    bar: ProgressBar,
}

impl Terminal {
    fn new(output: PathBuf) -> Result<Self> {
        fs::create_dir_all(&output).into_diagnostic().wrap_err_with(|| output.display().to_string())?;
        let path = output.join("trainer_log.jsonl");
        let log = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
        let log = log.into_diagnostic().wrap_err_with(|| path.display().to_string())?;
        Ok(Self { output, log, began: Instant::now(), bar: ProgressBar::hidden() })
    }
}

impl Host for Terminal {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started(started) => {
                let (some, all) = (started.trainable_parameters, started.all_parameters);
                println!("{}", super::params::line(some, all));
                println!(
                    "{} rows, {} optimizer steps of {} rows, {} of them warm-up",
                    started.num_examples,
                    started.total_steps,
                    started.effective_batch_size,
                    started.warmup_steps
                );
                self.bar = ProgressBar::new(started.total_steps as u64);
                if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left") {
                    self.bar.set_style(style);
                }
            }
            Event::Progress { step } => self.bar.set_position(*step as u64),
            Event::Step(log) => {
                self.bar.set_position(log.step as u64);
                self.bar.set_message(format!("loss {:.4}, {:.0} tokens/s", log.loss, log.tokens_per_second));
                if let Ok(line) = serde_json::to_string(log)
                    && let Err(error) = writeln!(self.log, "{line}")
                {
                    eprintln!("warning: trainer_log.jsonl cannot be written: {error}");
                }
            }
            Event::Evaluated(evaluation) => {
                self.bar.println(format!("step {}: eval_loss {:.4}", evaluation.step, evaluation.eval_loss));
            }
            Event::Saved { directory, .. } if !directory.is_empty() => {
                self.bar.println(format!("saved {directory}"));
            }
            Event::Saved { .. } => {}
            Event::Warned { message } => self.bar.println(format!("warning: {message}")),
            Event::Finished(finished) => {
                self.bar.finish_and_clear();
                println!(
                    "{} steps in {:.1} s, mean loss {:.4}, {:.0} tokens/s, peak memory {} MiB",
                    finished.steps,
                    finished.train_runtime,
                    finished.train_loss,
                    finished.tokens_per_second,
                    finished.memory_bytes >> 20
                );
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The process's peak resident set, where the system tells it.
    fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    async fn save(&mut self, directory: &str, files: Vec<(String, Vec<u8>)>) -> Result<(), SaveError> {
        disk::save(&self.output.join(directory), &files)
    }
}
