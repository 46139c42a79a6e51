//! `lorelei classify`: the classes that a trained classifier predicts for texts.

use std::{
    fs,
    io::{BufRead, ErrorKind},
    path::Path,
};

use lorelei_data::{LABELS_FILE, Labels};
use lorelei_formats::config::Task;
use lorelei_protocol::{LabelScore, Verdict};
use lorelei_recipe::{DataSection, Recipe};
use lorelei_session::{LoadedModel, classify};
use miette::{Context, IntoDiagnostic, Result, miette};

use crate::{adapter, device::DeviceArguments, report, source};

/// Arguments of `lorelei classify`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model: a folder, a .gguf file or a hub id.
    #[arg(long)]
    model: String,
    /// The folder of a PEFT adapter that was trained with SEQ_CLS or TOKEN_CLS.
    #[arg(long)]
    adapter: String,
    /// The texts; "-" reads them from the standard input, one a line.
    #[arg(required = true)]
    text: Vec<String>,
    /// The second text of a pair, for all of them.
    #[arg(long)]
    text_pair: Option<String>,
    /// Longest text, in tokens; a longer one is cut. Without it, and at the side, as in the recipe.toml beside the adapter.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(3..))]
    max_length: Option<u32>,
    /// Write a line of JSON for each text, with the scores of all classes.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Runs the command.
///
/// # Errors
///
/// If the model or the adapter is wrong, or the device fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.choose()?;
    let purpose = adapter::purpose(&arguments.adapter)?;
    let LoadedModel { mut model, tokenizer, .. } = source::load(&arguments.model, &device, purpose)?;
    let task = model.config().task;
    if !task.classifies() {
        return Err(miette!("{} was not trained to classify; see `lorelei generate`", arguments.adapter));
    }
    adapter::load(&mut model, &arguments.adapter)?;
    let folder = adapter::open(&arguments.adapter)?.0;
    let labels = labels(&folder, task, model.config().num_labels)?;
    if arguments.text_pair.is_some() && task == Task::TokenClassification {
        return Err(miette!(
            "--text-pair is for a classifier of texts: {} classifies the words of one text; give the second text as a text \
             of its own",
            arguments.adapter
        ));
    }
    let DataSection { max_length, truncation_side, .. } = section(&folder)?;
    let max_length = arguments.max_length.map_or(max_length, |length| length as usize);
    let pair = arguments.text_pair.as_deref();
    let say_of = |text: &str| {
        let verdict = classify(&model, &tokenizer, &labels, text, pair, max_length, truncation_side);
        let verdict = pollster::block_on(verdict).map_err(report)?;
        match arguments.json {
            true => {
                let mut line = serde_json::json!({ "text": text });
                line["verdict"] = serde_json::to_value(&verdict).into_diagnostic()?;
                say!("{line}");
            }
            false => say!("{}", words(&verdict, text)),
        }
        Ok::<_, miette::Report>(())
    };
    for text in &arguments.text {
        match text.as_str() {
            "-" => each_line(std::io::stdin().lock(), say_of)?,
            text => say_of(text)?,
        }
    }
    Ok(())
}

/// Passes each line of the standard input on. Blank lines are skipped; an error names its line.
fn each_line(mut input: impl BufRead, say_of: impl Fn(&str) -> Result<()>) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        let place = || format!("line {number} of the standard input");
        line.clear();
        if input.read_until(b'\n', &mut line).into_diagnostic().wrap_err_with(place)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|error| miette!("byte {} is not UTF-8", error.valid_up_to() + 1))
            .wrap_err_with(place)?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if !text.trim().is_empty() {
            say_of(text).wrap_err_with(place)?;
        }
    }
    Ok(())
}

/// Returns the data section of the adapter's recipe, by which its run cut the texts. Without a recipe it is that of one without these settings. So it
/// is, with a warning, if the recipe cannot be used: the adapter itself may be from a newer version.
///
/// # Errors
///
/// If there is a recipe that cannot be read.
fn section(folder: &Path) -> Result<DataSection> {
    let path = folder.join("recipe.toml");
    let name = path.display().to_string();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DataSection::default()),
        Err(error) => return Err(error).into_diagnostic().wrap_err(name),
    };
    Ok(match Recipe::from_toml(&text, &name) {
        Ok((recipe, _)) => recipe.data,
        Err(error) => {
            let section = DataSection::default();
            say_err!(
                "warning: {error}; the adapter's own recipe would say where texts are cut: they are cut at {} tokens unless --max-length is given",
                section.max_length
            );
            section
        }
    })
}

/// Returns the names of the classes. They are numbers where the adapter's folder does not name them.
fn labels(folder: &Path, task: Task, num_labels: usize) -> Result<Labels> {
    let path = folder.join(LABELS_FILE);
    let labels = match fs::read_to_string(&path) {
        Ok(text) => Labels::from_json(&text).map_err(report).wrap_err_with(|| path.display().to_string())?,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).into_diagnostic().wrap_err_with(|| path.display().to_string());
        }
        Err(_) => {
            let names: Vec<String> = (0..num_labels).map(|class| class.to_string()).collect();
            match (task, num_labels) {
                (Task::TokenClassification, _) => Labels::Tags(names.into()),
                (_, 1) => Labels::Number,
                _ => Labels::Classes(names.into()),
            }
        }
    };
    match labels.num_labels() == num_labels {
        true => Ok(labels),
        false => Err(miette!(
            "{} names {} classes, and the adapter has {num_labels}: they do not belong together",
            path.display(),
            labels.num_labels()
        )),
    }
}

/// Formats a verdict as a line for people.
fn words(verdict: &Verdict, text: &str) -> String {
    let scored = |LabelScore { label, score }: &LabelScore| format!("{label} {:.1}%", 100.0 * score);
    match verdict {
        Verdict::SingleLabelClassification { classes } => {
            format!("{}\t{text}", classes.first().map(scored).unwrap_or_default())
        }
        Verdict::MultiLabelClassification { classes } => {
            let found: Vec<String> = classes.iter().filter(|class| class.score > 0.5).map(scored).collect();
            format!("{}\t{text}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })
        }
        Verdict::Regression { value } => format!("{value:.4}\t{text}"),
        Verdict::TokenClassification { words } => words
            .iter()
            .map(|tagged| format!("{}/{}", tagged.word, tagged.best.label))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn blank_lines_are_skipped_and_bad_ones_named() {
        let found = RefCell::new(Vec::new());
        let take = |text: &str| {
            found.borrow_mut().push(text.to_owned());
            Ok(())
        };
        each_line("\u{feff}one\r\n\n  \n two \nthree".as_bytes(), take).unwrap();
        assert_eq!(*found.borrow(), ["one", " two ", "three"]);
        let error = each_line(&b"one\n\ncaf\xe9\n"[..], take).unwrap_err();
        assert_eq!(error.to_string(), "line 3 of the standard input");
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        assert_eq!(causes[1], "byte 4 is not UTF-8");
    }
}
