//! `lorelei generate`: a model's answer to a prompt, with and without an adapter.

use std::io::Read as _;

use lorelei_models::Purpose;
use lorelei_session::LoadedModel;
use miette::{IntoDiagnostic, Result};

use crate::{adapter, device::DeviceArguments, generation::GenerationArguments, report, source};

/// Arguments of `lorelei generate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a folder, a .gguf file or a hub id.
    #[arg(long)]
    model: String,
    /// A PEFT adapter's folder.
    #[arg(long)]
    adapter: Option<String>,
    /// What to answer, or to go on with; "-" reads it from the standard input.
    #[arg(long)]
    prompt: String,
    /// Go on with the prompt as it is, instead of answering it as a chat.
    #[arg(long)]
    raw: bool,
    /// Answer without the adapter first, for comparing.
    #[arg(long, requires = "adapter")]
    compare: bool,
    #[command(flatten)]
    generation: GenerationArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Runs the command.
///
/// # Errors
///
/// If the model or the adapter is wrong, or the device fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut prompt = arguments.prompt.clone();
    if prompt == "-" {
        prompt.clear();
        std::io::stdin().read_to_string(&mut prompt).into_diagnostic()?;
    }
    arguments.generation.sampling()?;
    arguments.adapter.as_deref().map(adapter::generates).transpose()?;
    let device = arguments.device.choose()?;
    let LoadedModel { mut model, tokenizer, .. } =
        source::load(&arguments.model, &device, Purpose::default())?;
    let ids = match arguments.raw {
        true => tokenizer.encode(&prompt, true).map_err(report)?,
        false => tokenizer.encode_prompt(&prompt).map_err(report)?,
    };
    let mut answers = Vec::new();
    if let Some(folder) = &arguments.adapter {
        if arguments.compare {
            say!("--- without the adapter");
            answers.push(("without the adapter", arguments.generation.generate(&model, &tokenizer, &ids)?));
            say!("--- with the adapter");
        }
        adapter::load(&mut model, folder)?;
    }
    let with = if arguments.adapter.is_some() { "with the adapter" } else { "the model" };
    answers.push((with, arguments.generation.generate(&model, &tokenizer, &ids)?));
    for (who, answer) in answers {
        say_err!("{who}: {} tokens, {:.1} tokens/s", answer.tokens, answer.tokens_per_second);
    }
    Ok(())
}
