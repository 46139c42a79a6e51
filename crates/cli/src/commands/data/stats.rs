//! `lorelei data stats`.

use std::{path::Path, time::Duration};

use indicatif::HumanDuration;
use lorelei_data::{Encoded, RowSet, Statistics, sampling_order};
use lorelei_recipe::{Recipe, StepPlan};
use lorelei_session::{LOG_FILE, RunData, padding};
use miette::{Result, miette};

use super::tokenizer;
use crate::{
    prepared::{dataset_request, read_dataset},
    recipe_file::RecipeArguments,
    report,
    terminal::read_log,
};

/// Arguments of `lorelei data stats`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// How fast the device trains, for the time that the run will take; without it, as fast as the last run in output_dir was.
    #[arg(long, value_parser = speed, allow_negative_numbers = true)]
    tokens_per_second: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("write a number above 0".into()),
    }
}

/// Bars of the histogram.
const BARS: usize = 12;

/// Characters of the histogram's longest bar.
const WIDTH: usize = 40;

/// Runs the command.
///
/// # Errors
///
/// If the recipe, the model's tokenizer or the data is wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.read()?;
    let (tokenizer, vocab_size, task) = tokenizer(&recipe)?;
    let data = read_dataset(&recipe, dataset_request(&recipe, &tokenizer, vocab_size, task))?;
    rows(&data.train);
    if let Some(labels) = data.labels.as_ref().filter(|labels| !labels.names().is_empty()) {
        let listed = if labels.is_listed() { format!(": {}", labels.listed()) } else { String::new() };
        say!("classes     {}{listed}", labels.names().len());
    }
    let RunData { train, validation, .. } =
        data.split(&recipe.data, recipe.training.shuffle_seed()).map_err(report)?;

    let of = |rows: &RowSet| {
        let order = sampling_order(rows, &recipe.training, 0, recipe.data.shuffle);
        let size = recipe.training.per_device_train_batch_size;
        Statistics::new(rows, &order, size, padding(&recipe, &tokenizer), BARS)
    };
    let statistics = of(&train).ok_or_else(|| miette!("there is no row to train on"))?;
    let plan = StepPlan::new(train.len(), &recipe.training).map_err(report)?;
    lengths(&statistics, &recipe);
    histogram(&statistics);
    if !recipe.data.packing
        && let Some(packed) = of(&train.packed(recipe.data.max_length))
    {
        say!(
            "packed      {} sequences, {} of a batch padding (data.packing = true)",
            packed.rows,
            percent(packed.padding_share())
        );
    }
    if !validation.is_empty() {
        say!("validation  {} sequences", validation.len());
    }
    let each = recipe.training.per_device_train_batch_size * recipe.training.gradient_accumulation_steps;
    say!(
        "steps       {} of {each} sequences, {} an epoch, {} epochs",
        plan.total_steps,
        plan.steps_per_epoch,
        plan.epoch_at(plan.total_steps)
    );
    let tokens = statistics.tokens as f64 * plan.epoch_at(plan.total_steps);
    let logged = Path::new(&recipe.training.output_dir).join(LOG_FILE);
    let (speed, whence) = match arguments.tokens_per_second {
        Some(speed) => (Some(speed), "--tokens-per-second".to_owned()),
        None => (logged_speed(&logged), logged.display().to_string()),
    };
    match speed {
        Some(speed) => {
            let time = HumanDuration(Duration::try_from_secs_f64(tokens / speed).unwrap_or(Duration::MAX));
            say!("time        {time} at {speed:.0} tokens/s ({whence}), evaluations and saves not counted");
        }
        None => {
            say!("time        {tokens:.0} tokens to go through; --tokens-per-second says how fast that is")
        }
    }
    Ok(())
}

/// Returns the median speed of a run.
fn logged_speed(log: &Path) -> Option<f64> {
    let lines = read_log(log).ok()?;
    let mut speeds: Vec<f64> = lines.iter().filter_map(|line| line["tokens_per_second"].as_f64()).collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied().filter(|speed| *speed > 0.0)
}

fn rows(train: &Encoded) {
    let left_out: Vec<String> = [
        (train.bad, "bad"),
        (train.skipped.len() - train.unlabelled, "with nothing to learn"),
        (train.unlabelled, "with a label that stands for none (-1 or -100)"),
        (train.duplicates, "duplicates"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let left_out =
        if left_out.is_empty() { String::new() } else { format!(", left out: {}", left_out.join(", ")) };
    say!("rows        {}{left_out}", train.rows);
    if train.truncated > 0 {
        say!(
            "truncated   {}, {} of the rows",
            train.truncated,
            percent(train.truncated as f64 / train.rows as f64)
        );
    }
    if train.without_end > 0 {
        say!(
            "without end {}, {} of the rows: no end token is learnt at the end of what is learnt, so they do not teach where to stop",
            train.without_end,
            percent(train.without_end as f64 / train.rows as f64)
        );
    }
}

fn lengths(statistics: &Statistics, recipe: &Recipe) {
    say!("sequences   {} of {} examples", statistics.rows, statistics.documents);
    say!("tokens      {}", statistics.tokens);
    say!("learnt      {}, {} of the tokens", statistics.learnt, percent(statistics.learnt_share()));
    say!(
        "padding     {} tokens, {} of a batch (per_device_train_batch_size = {})",
        statistics.padding,
        percent(statistics.padding_share()),
        recipe.training.per_device_train_batch_size
    );
    say!(
        "length      shortest {}, median {}, 95 % at most {}, longest {} (max_length = {})",
        statistics.shortest,
        statistics.median,
        statistics.percentile_95,
        statistics.longest,
        recipe.data.max_length
    );
}

fn histogram(statistics: &Statistics) {
    let most = statistics.histogram.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
    let digits = statistics.longest.to_string().len();
    for bar in &statistics.histogram {
        // Every bar with a row in it is visible.
        let width = (bar.count * WIDTH).div_ceil(most);
        say!("  {:>digits$}-{:<digits$}  {} {}", bar.from, bar.to, "#".repeat(width), bar.count);
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
