//! `lorelei`: trains LoRA adapters natively.

mod commands;
mod device;
mod disk;
mod source;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Trains LoRA adapters for small language models on any GPU")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train an adapter by a recipe.
    Train(commands::train::Arguments),
    /// Print how many parameters a recipe trains, and which.
    Params(commands::params::Arguments),
    /// Compute logits, loss and adapter gradients of given tokens: to hold against PEFT's.
    Forward(commands::forward::Arguments),
    /// Write a GGUF file or a folder as a Hugging Face folder.
    Convert(commands::convert::Arguments),
    /// List the devices that can be trained on.
    Devices,
    /// Print which recipe fields are supported, as FEATURES.md has them.
    Features,
}

fn main() -> miette::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match Arguments::parse().command {
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Params(arguments) => commands::params::run(&arguments),
        Command::Forward(arguments) => commands::forward::run(&arguments),
        Command::Convert(arguments) => commands::convert::run(&arguments),
        Command::Devices => {
            device::list();
            Ok(())
        }
        Command::Features => {
            print!("{}", lorelei_recipe::features_markdown());
            Ok(())
        }
    }
}

/// A library's error as the program reports it.
fn report(error: impl std::fmt::Display) -> miette::Report {
    miette::miette!("{error}")
}
