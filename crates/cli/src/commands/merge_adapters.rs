//! `lorelei merge-adapters`: several adapters in one, with weights.

use std::path::PathBuf;

use lorelei_export::{Combination, MajoritySign, WeightedOptions, write_weighted};
use miette::{Result, miette};

use crate::{commands::export, disk, report};

/// Arguments of `lorelei merge-adapters`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of runs or of PEFT adapters, or adapters' hub ids; all of one base model.
    #[arg(required = true)]
    adapters: Vec<String>,
    /// The folder to write.
    #[arg(long)]
    output: PathBuf,
    /// Weight of each adapter, in their order: 0.7,0.3. Negative ones subtract. Absent, 1 for each.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    weights: Vec<f64>,
    /// PEFT's combination_type: linear, cat, ties, dare_linear, dare_ties or magnitude_prune. cat is exact, and has the sum of the ranks.
    #[arg(long, default_value = "cat", value_parser = combination)]
    combination_type: Combination,
    /// Share of the values that are kept in ties, dare_linear, dare_ties and magnitude_prune.
    #[arg(long)]
    density: Option<f64>,
    /// The sign that counts in ties and dare_ties: that of the sum (total), or that of more adapters (frequency).
    #[arg(long, default_value = "total", value_parser = majority_sign)]
    majority_sign_method: MajoritySign,
    /// Seed of the values that dare_linear and dare_ties leave out.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

fn combination(name: &str) -> Result<Combination, String> {
    Combination::by_name(name).map_err(|error| error.to_string())
}

fn majority_sign(name: &str) -> Result<MajoritySign, String> {
    let known = MajoritySign::ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, sign)| *sign).ok_or_else(|| "write total or frequency".to_owned())
}

/// Runs the command.
///
/// # Errors
///
/// If an adapter cannot be read, the adapters do not fit each other or the options, or the folder cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    if output.exists() {
        return Err(miette!("{} is there already: choose another --output", output.display()));
    }
    let mut adapters = Vec::new();
    for name in &arguments.adapters {
        adapters.push(export::open(name)?.1);
    }
    let weights = match arguments.weights.is_empty() {
        true => vec![1.0; adapters.len()],
        false => arguments.weights.clone(),
    };
    let options = WeightedOptions {
        combination: arguments.combination_type,
        weights,
        density: arguments.density,
        majority_sign: arguments.majority_sign_method,
        seed: arguments.seed,
    };
    let (tensors, config, notices) = write_weighted(&adapters, &options, Vec::new()).map_err(report)?;
    for notice in notices {
        say_err!("note: {notice}");
    }
    let files = [
        ("adapter_model.safetensors".to_owned(), tensors),
        ("adapter_config.json".to_owned(), config.into_bytes()),
    ];
    disk::save(output, &files).map_err(report)?;
    say!("wrote {}", output.display());
    Ok(())
}
