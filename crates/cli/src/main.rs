//! `lorelei`: trains LoRA adapters natively.

/// Prints a line. Where the reader has gone (`lorelei params … | head -1`), the line is lost and nothing else happens: a run continues.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// Prints a line on standard error. Where that is gone, as after the end of a terminal, the line is lost and nothing else happens.
macro_rules! say_err {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod adapter;
mod appended_file;
mod checkpoint;
mod claim;
mod commands;
mod data_files;
mod device;
mod disk;
mod file_system;
mod generation;
mod hub;
mod interrupt;
mod model_folder;
mod planned;
mod prepared;
mod recipe_file;
mod source;
mod spilled_examples;
mod tensorboard;
mod terminal;
mod tui;
mod upload;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Trains LoRA adapters for small language models on any GPU")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a small adapter with what the program carries, and show that it learnt.
    Demo(commands::demo::Arguments),
    /// Train an adapter by a recipe.
    Train(commands::train::Arguments),
    /// Show rows of data as tokens, and count them.
    Data(commands::data::Arguments),
    /// Print how many parameters a recipe trains, and which.
    Params(commands::params::Arguments),
    /// Predict what memory a run needs, and say what would make it less.
    Fit(commands::fit::Arguments),
    /// Compute logits, loss and adapter gradients of given tokens: to hold against PEFT's.
    Forward(commands::forward::Arguments),
    /// Answer a prompt, with and without an adapter.
    Generate(commands::generate::Arguments),
    /// Talk with a model, its adapter on or off.
    Chat(commands::chat::Arguments),
    /// Say which classes texts are of, by an adapter that was trained to.
    Classify(commands::classify::Arguments),
    /// Write a GGUF file or a folder as a Hugging Face folder, or an adapter of mlx-lm or llama.cpp as PEFT's.
    Convert(commands::convert::Arguments),
    /// Write a run's adapter for another program: llama.cpp, Ollama, MLX, or merged into its base.
    Export(commands::export::Arguments),
    /// Upload a run's result to a hub.
    Push(commands::push::Arguments),
    /// Combine several adapters into one, with weights.
    MergeAdapters(commands::merge_adapters::Arguments),
    /// Say what another program will refuse of an adapter, or silently leave out.
    Check(commands::check::Arguments),
    /// Write a new model that has learnt nothing: random weights, and a tokenizer trained on text.
    Init(commands::init::Arguments),
    /// Serve the page: configure, train and try in a browser tab.
    Serve(commands::serve::Arguments),
    /// Print a recipe as a link that the page opens.
    Link(commands::link::Arguments),
    /// Make a recipe of a Python snippet, adapter_config.json, or YAML of LLaMA-Factory, mlx-lm, axolotl, TRL or torchtune.
    Import(commands::import::Arguments),
    /// Print a recipe in another trainer's form.
    ExportConfig(commands::export_config::Arguments),
    /// Draw the curves of one or more runs as an SVG or a PNG.
    Plot(commands::plot::Arguments),
    /// List the devices that can be trained on.
    Devices,
    /// Print which recipe fields are supported, as FEATURES.md has them.
    Features,
}

fn main() -> miette::Result<()> {
    // SAFETY: no thread has been started.
    #[cfg(target_os = "linux")]
    unsafe {
        device::set_runtime_dir();
    }
    // A limit that cannot be lifted is met when a file is written.
    let _ = interrupt::survive_size_limits();
    // Paths and names are not wrapped, so that they can be copied and searched for.
    miette::set_hook(Box::new(|_| Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())))?;
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match Arguments::parse().command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Data(arguments) => commands::data::run(&arguments),
        Command::Params(arguments) => commands::params::run(&arguments),
        Command::Fit(arguments) => commands::fit::run(&arguments),
        Command::Forward(arguments) => commands::forward::run(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Chat(arguments) => commands::chat::run(&arguments),
        Command::Classify(arguments) => commands::classify::run(&arguments),
        Command::Convert(arguments) => commands::convert::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Push(arguments) => commands::push::run(&arguments),
        Command::MergeAdapters(arguments) => commands::merge_adapters::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Init(arguments) => commands::init::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Link(arguments) => commands::link::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::ExportConfig(arguments) => commands::export_config::run(&arguments),
        Command::Plot(arguments) => commands::plot::run(&arguments),
        Command::Devices => {
            device::list();
            Ok(())
        }
        Command::Features => {
            say!("{}", lorelei_recipe::features_markdown().trim_end());
            Ok(())
        }
    }
}

/// Escapes control characters, which a file's names and texts could send to the terminal. Line breaks and tabs stay.
fn printable(text: &str) -> String {
    let is_control = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    let escaped =
        |letter: char| if is_control(letter) { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(escaped).collect()
}

/// Converts a library's error, with what caused it, into the program's report.
fn report(error: impl std::error::Error) -> miette::Report {
    let first: &dyn std::error::Error = &error;
    let mut causes: Vec<String> = std::iter::successors(Some(first), |error| error.source())
        .map(|error| printable(&error.to_string()))
        .collect();
    // Some errors contain the words of their cause already.
    causes.dedup_by(|cause, error| error.contains(&**cause));
    let root = causes.pop().unwrap_or_default();
    causes.into_iter().rev().fold(miette::miette!("{root}"), |report, context| report.wrap_err(context))
}
