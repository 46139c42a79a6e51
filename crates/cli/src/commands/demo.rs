//! `lorelei demo`: a whole fine-tuning with the model and the data that the program carries: no download, under two minutes on two cores.

use std::path::{Path, PathBuf};

use lorelei_data::Tokenizer;
use lorelei_models::Model;
use miette::{IntoDiagnostic, Result, WrapErr};

use crate::{device::DeviceArguments, prepared::Prepared, recipe_file, report};

/// Arguments of `lorelei demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the adapter goes.
    #[arg(long, default_value = "lorelei-demo")]
    output: PathBuf,
    /// What to ask before and after.
    #[arg(long, default_value = "What is artificial intelligence?")]
    prompt: String,
    /// Replace a value of the recipe: table.key=value.
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArguments,
}

const MAX_NEW_TOKENS: usize = 48;

/// Runs the command.
///
/// # Errors
///
/// If the device fails or the output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut recipe = recipe_file::parse(lorelei_builtin::DEMO_RECIPE, "demo", false, &arguments.set)?;
    recipe.training.output_dir = arguments.output.display().to_string();
    say!(
        "Training a LoRA adapter for {} on {}.",
        recipe.model.name().map_err(report)?,
        recipe.data.train_file.as_deref().unwrap_or_default()
    );
    let mut prepared = Prepared::new(recipe, &arguments.device.choose()?, None)?;
    let ask = |prepared: &Prepared| answer(&prepared.job.model, &prepared.tokenizer, &arguments.prompt);
    let (loss_before, answer_before) = (prepared.evaluate()?, ask(&prepared)?);
    prepared.train()?;
    prepared.upload()?;
    let (loss_after, answer_after) = (prepared.evaluate()?, ask(&prepared)?);
    say!();
    say!("held-out loss  before {loss_before:.4}  after {loss_after:.4}");
    say!();
    say!("prompt  {}", arguments.prompt);
    say!("before  {answer_before}");
    say!("after   {answer_after}");
    say!();
    let folder = absolute(&arguments.output)?;
    say!("The adapter is in {}: it loads in PEFT.", folder.display());
    say!("Train on a file of your own: copy {} and change it, then", folder.join("recipe.toml").display());
    say!("    lorelei train recipe.toml");
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).into_diagnostic().wrap_err_with(|| path.display().to_string())
}

/// Returns the model's answer to `prompt` on one line, with the likeliest token each time.
fn answer(model: &Model, tokenizer: &Tokenizer, prompt: &str) -> Result<String> {
    let ids = tokenizer.encode_prompt(prompt).map_err(report)?;
    let stop = lorelei_session::end_ids(model, tokenizer);
    let ids = pollster::block_on(model.generate(&ids, MAX_NEW_TOKENS, &stop)).map_err(report)?;
    let text = tokenizer.decode(&ids, true).map_err(report)?;
    let ended = ids.len() < MAX_NEW_TOKENS;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" ") + if ended { "" } else { " ..." })
}
