//! `lorelei generate`: what a model says to a prompt, with and without an adapter.

use std::io::Read as _;

use lorelei_kernels::gpu;
use lorelei_models::Storage;
use miette::{IntoDiagnostic, Result};

use crate::{adapter, device::DeviceArguments, report, source, speak::SpeakArguments};

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
    speak: SpeakArguments,
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
    arguments.speak.sampling()?;
    arguments.adapter.as_deref().map(adapter::speaks).transpose()?;
    let device = arguments.device.choose()?;
    let source = source::open(&arguments.model)?;
    let tokenizer = source::tokenizer(&source)?;
    let mut model =
        source::load(&source, &device, Storage { keep_packed: gpu::runs_on(&device), ..Storage::SINGLE })?;
    let ids = match arguments.raw {
        true => tokenizer.encode(&prompt, true).map_err(report)?,
        false => tokenizer.encode_prompt(&prompt).map_err(report)?,
    };
    let mut answers = Vec::new();
    if let Some(folder) = &arguments.adapter {
        if arguments.compare {
            say!("--- without the adapter");
            answers.push(("without the adapter", arguments.speak.speak(&model, &tokenizer, &ids)?));
            say!("--- with the adapter");
        }
        adapter::load(&mut model, folder)?;
    }
    let with = if arguments.adapter.is_some() { "with the adapter" } else { "the model" };
    answers.push((with, arguments.speak.speak(&model, &tokenizer, &ids)?));
    for (who, answer) in answers {
        eprintln!("{who}: {} tokens, {:.1} tokens/s", answer.tokens, answer.tokens_per_second);
    }
    Ok(())
}
