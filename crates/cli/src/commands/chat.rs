//! `lorelei chat`: a conversation with a model, its adapter on or off.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use lorelei_data::Message;
use lorelei_models::Purpose;
use lorelei_session::LoadedModel;
use miette::{IntoDiagnostic, Result};

use crate::{adapter, device::DeviceArguments, generation::GenerationArguments, report, source};

/// Arguments of `lorelei chat`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a folder, a .gguf file or a hub id.
    #[arg(long, default_value = "builtin:tiny")]
    model: String,
    /// A PEFT adapter's folder.
    #[arg(long)]
    adapter: Option<String>,
    /// What the model is told before the conversation.
    #[arg(long)]
    system: Option<String>,
    #[command(flatten)]
    generation: GenerationArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

const HELP: &str = "/adapter on|off   with or without the adapter\n/reset            forget what was said\n/quit             end";

/// Runs the command.
///
/// # Errors
///
/// If the model or the adapter is wrong, or the device fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.generation.sampling()?;
    arguments.adapter.as_deref().map(adapter::generates).transpose()?;
    let device = arguments.device.choose()?;
    let LoadedModel { model: base, tokenizer, .. } =
        source::load(&arguments.model, &device, Purpose::default())?;
    // Both share the base's weights.
    let adapted = match &arguments.adapter {
        None => None,
        Some(folder) => {
            let mut model = base.clone();
            adapter::load(&mut model, folder)?;
            Some(model)
        }
    };
    let mut on = adapted.is_some();
    let begin = || arguments.system.iter().map(|words| turn("system", words)).collect::<Vec<_>>();
    let mut turns = begin();
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        say!("{HELP}");
    }
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if interactive {
            eprint!("> ");
            let _ = std::io::stderr().flush();
        }
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line.into_diagnostic()?;
        match (line.trim(), &adapted) {
            ("", _) => {}
            ("/quit" | "/exit", _) => return Ok(()),
            ("/help", _) => say!("{HELP}"),
            ("/reset", _) => turns = begin(),
            ("/adapter on", Some(_)) => on = true,
            ("/adapter off", Some(_)) => on = false,
            ("/adapter on" | "/adapter off", None) => {
                say_err!("there is no adapter: name one with --adapter")
            }
            (words, adapted) => {
                turns.push(turn("user", words));
                let text = tokenizer.apply_chat_template(&turns, true).map_err(report)?;
                let ids = tokenizer.encode(&text, false).map_err(report)?;
                let model = adapted.as_ref().filter(|_| on).unwrap_or(&base);
                let answer = arguments.generation.generate(model, &tokenizer, &ids)?;
                say_err!("({} tokens, {:.1} tokens/s)", answer.tokens, answer.tokens_per_second);
                turns.push(turn("assistant", &answer.text));
            }
        }
    }
}

fn turn(role: &str, content: &str) -> Message {
    Message::new(role, content)
}
