//! `lorelei plot`: the curves of runs, side by side, as an SVG.

use std::{
    fs,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use plotters::prelude::*;

use crate::{disk, report};

/// Arguments of `lorelei plot`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of runs, or their trainer_log.jsonl.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// What is drawn: loss, learning_rate, grad_norm, tokens_per_second, or another number of the log.
    #[arg(long, default_value = "loss")]
    metric: String,
    /// Where it is written.
    #[arg(long, short, default_value = "plot.svg")]
    output: PathBuf,
}

/// A run's name, and the metric by step.
type Curve = (String, Vec<(f64, f64)>);

/// Runs the command.
///
/// # Errors
///
/// If a log cannot be read or has no such number, or the picture cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let curves =
        arguments.runs.iter().map(|run| curve(run, &arguments.metric)).collect::<Result<Vec<_>>>()?;
    let svg = picture(&curves, &arguments.metric).map_err(|error| miette!("cannot draw: {error}"))?;
    let path = &arguments.output;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| miette!("--output {} names no file", path.display()))?;
    disk::save(disk::parent(path), &[(name, svg.into_bytes())]).map_err(report)?;
    say!("wrote {}", path.display());
    Ok(())
}

fn curve(run: &Path, metric: &str) -> Result<Curve> {
    let path = if run.is_dir() { run.join("trainer_log.jsonl") } else { run.to_owned() };
    let text = fs::read_to_string(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}: is it the output_dir of a run?", path.display()))?;
    // The last line may be torn, of a run that goes on or was cut off.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let points: Vec<_> =
        lines.filter_map(|line| Some((line["step"].as_f64()?, line[metric].as_f64()?))).collect();
    if points.is_empty() {
        return Err(miette!("{} has no line with {metric}", path.display()));
    }
    Ok((run.display().to_string(), points))
}

/// The least and the greatest, never the same.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let margin = ((most - least) * 0.05).max(most.abs() * 1e-3).max(1e-12);
    least - margin..most + margin
}

fn picture(curves: &[Curve], metric: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (960, 540)).into_drawing_area();
        area.fill(&WHITE)?;
        let points = || curves.iter().flat_map(|(_, points)| points);
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(72)
            .build_cartesian_2d(range(points().map(|p| p.0)), range(points().map(|p| p.1)))?;
        chart.configure_mesh().x_desc("step").y_desc(metric).light_line_style(WHITE).draw()?;
        for (index, (name, points)) in curves.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(2);
            chart
                .draw_series(line)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(svg)
}
