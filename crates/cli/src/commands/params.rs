//! `lorelei params`.

use std::path::PathBuf;

use miette::Result;

use super::train;
use crate::{device, source::ModelSource};

/// Arguments of `lorelei params`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipe, TOML or JSON.
    pub recipe: PathBuf,
    /// Replace a value of the recipe: table.key=value.
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub set: Vec<String>,
}

/// PEFT's `print_trainable_parameters`.
pub fn line(trainable: usize, all: usize) -> String {
    let share = 100.0 * trainable as f64 / all.max(1) as f64;
    format!(
        "trainable params: {} || all params: {} || trainable%: {share:.4}",
        grouped(trainable),
        grouped(all)
    )
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe or the model is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = train::recipe(&arguments.recipe, &arguments.set)?;
    let source = ModelSource::open(&recipe.model.model_name_or_path)?;
    let mut model = source.load(&device::choose("cpu")?)?;
    train::adapt(&mut model, &recipe)?;
    let (trainable, all) = model.parameter_counts();
    println!("{}", line(trainable, all));
    for (name, shape) in model.parameter_names() {
        println!("{name} {shape:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_is_peft_s() {
        assert_eq!(
            super::line(460_800, 134_975_808),
            "trainable params: 460,800 || all params: 134,975,808 || trainable%: 0.3414"
        );
    }
}
