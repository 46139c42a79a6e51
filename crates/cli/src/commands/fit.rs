//! `lorelei fit`: whether a run fits its device.

use lorelei_estimate::{Memory, RowShape, memory, savings};
use lorelei_recipe::Recipe;
use lorelei_session::keeps_packed;
use miette::{Result, miette};

use crate::{
    device::DeviceArguments, planned::Planned, recipe_file::RecipeArguments, report,
    terminal::parameters_line,
};

/// Arguments of `lorelei fit`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    device: DeviceArguments,
    /// What the device has, such as 8GiB or 500MB: fails if the run needs more.
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory: Option<f64>,
}

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model or the data is wrong, or the run needs more than `--memory`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.choose()?;
    let keep_packed = |recipe: &Recipe| keeps_packed(recipe, &device);
    let mut planned = Planned::new(arguments.recipe.read()?, keep_packed)?;
    let longest = planned.longest_row()?;
    let Planned { recipe, shape, .. } = &planned;
    let largest = RowShape::largest(recipe, shape);
    let length = longest.map_or(largest.length, |length| length.min(recipe.data.max_length));
    let rows = RowShape { length, ..largest };

    let (modules, trainable) = planned.trainable()?;
    let counted = trainable.counts(&modules);
    let needed = memory(recipe, shape, rows).map_err(report)?;
    say!("{}", parameters_line(counted.trainable as usize, counted.all as usize));
    let Memory { weights, learning, activations, scratch, slack, .. } = needed;
    let parts = [
        ("model", weights),
        ("adapter and optimizer", learning),
        ("activations", activations),
        ("scratch", scratch),
        ("allocator", slack),
        ("peak", needed.total()),
    ];
    for (part, bytes) in parts {
        let rows = match part {
            "activations" => format!("  {} x {} tokens", rows.rows, rows.length),
            _ => String::new(),
        };
        say!("{part:<22} {:>10}{rows}", mebibytes(bytes));
    }
    let savings = savings(recipe, shape, rows).map_err(report)?;
    if !savings.is_empty() {
        say!("\nto need less:");
    }
    for saving in savings {
        let fits = match arguments.memory {
            Some(limit) if saving.total > limit => " (still too much)",
            _ => "",
        };
        let set: Vec<String> =
            saving.assignments.iter().map(|assignment| format!("--set {assignment}")).collect();
        say!("{:>10}  {}  # {}{fits}", mebibytes(saving.total), set.join(" "), saving.cost);
    }
    match arguments.memory {
        Some(limit) if needed.total() > limit => {
            Err(miette!("the run needs {} and --memory is {}", mebibytes(needed.total()), mebibytes(limit)))
        }
        _ => Ok(()),
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / f64::from(1 << 20))
}

/// Parses a number of bytes with its unit.
fn size(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => f64::from(1 << 20),
        "mb" => 1e6,
        "g" | "gib" => f64::from(1 << 30),
        "gb" => 1e9,
        other => return Err(format!("{other:?} is no unit: write KiB, MiB, GiB, kB, MB or GB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number * unit),
        _ => Err("write a size such as 8GiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("8GiB"), Ok(8.0 * 1024.0 * 1024.0 * 1024.0));
        assert_eq!((size("1.5 MB"), size("100")), (Ok(1.5e6), Ok(100.0)));
        assert!(
            size("8 apples").is_err() && size("GiB").is_err() && size("-1").is_err() && size("0").is_err()
        );
    }
}
