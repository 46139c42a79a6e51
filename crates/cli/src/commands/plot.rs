//! `lorelei plot`: the curves of runs, side by side, as an SVG or a PNG.

use std::path::{Path, PathBuf};

use lorelei_session::LOG_FILE;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use plotters::prelude::*;

use crate::{disk, report, terminal::read_log};

/// Arguments of `lorelei plot`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of runs, or their trainer_log.jsonl.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// What is drawn: loss (with eval_loss beside it), learning_rate, grad_norm, tokens_per_second, eval_accuracy, or another number
    /// of the log.
    #[arg(long, default_value = "loss")]
    metric: String,
    /// Where it is written; what ends in .png is a PNG, anything else an SVG.
    #[arg(long, short, default_value = "plot.svg")]
    output: PathBuf,
}

/// Pixels of the PNG for each pixel of the SVG.
const PNG_SCALE: f32 = 2.0;

/// A run's metric by step.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    /// The losses on the validation set, beside those of training.
    evaluations: Vec<(f64, f64)>,
}

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
    let bytes = match path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
        true => png(&svg)?,
        false => svg.into_bytes(),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| miette!("--output {} names no file", path.display()))?;
    disk::save(disk::parent(path), &[(name, bytes)]).map_err(report)?;
    say!("wrote {}", path.display());
    Ok(())
}

fn curve(run: &Path, metric: &str) -> Result<Curve> {
    let path = if run.is_dir() { run.join(LOG_FILE) } else { run.to_owned() };
    let lines = read_log(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}: is it the output_dir of a run?", path.display()))?;
    let by_step = |metric: &str| -> Vec<(f64, f64)> {
        lines.iter().filter_map(|line| Some((line["step"].as_f64()?, line[metric].as_f64()?))).collect()
    };
    let points = by_step(metric);
    if points.is_empty() {
        return Err(miette!("{} has no line with {metric}", path.display()));
    }
    let evaluations = if metric == "loss" { by_step("eval_loss") } else { Vec::new() };
    Ok(Curve { name: run.display().to_string(), points, evaluations })
}

/// Renders the picture as a PNG.
///
/// # Errors
///
/// If the machine has no font, as the names would be missing.
fn png(svg: &str) -> Result<Vec<u8>> {
    let mut options = resvg::usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    if options.fontdb.is_empty() {
        return Err(miette!("a PNG needs a font, and this machine has none: write an .svg"));
    }
    // The drawing asks for a generic family. The installed fonts may lack the family that it resolves to.
    let named = options.fontdb.faces().find_map(|face| face.families.first()).map(|(name, _)| name.clone());
    if let Some(name) = named
        && options.fontdb.query(&sans_serif()).is_none()
    {
        options.fontdb_mut().set_sans_serif_family(name);
    }
    let tree = resvg::usvg::Tree::from_str(svg, &options).into_diagnostic()?;
    let size = tree.size().to_int_size();
    let scaled = size.scale_by(PNG_SCALE).unwrap_or(size);
    let mut pixels = resvg::tiny_skia::Pixmap::new(scaled.width(), scaled.height())
        .ok_or_else(|| miette!("the picture has no size"))?;
    let scale = resvg::tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    pixels.encode_png().into_diagnostic()
}

fn sans_serif() -> resvg::usvg::fontdb::Query<'static> {
    resvg::usvg::fontdb::Query { families: &[resvg::usvg::fontdb::Family::SansSerif], ..Default::default() }
}

/// Returns the least and the greatest value, never the same.
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
        let points = || curves.iter().flat_map(|curve| curve.points.iter().chain(&curve.evaluations));
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(72)
            .build_cartesian_2d(range(points().map(|p| p.0)), range(points().map(|p| p.1)))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("step").x_label_formatter(&|step| format!("{step}")).y_desc(metric);
        mesh.light_line_style(WHITE).draw()?;
        for (index, Curve { name, points, evaluations }) in curves.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(2);
            chart
                .draw_series(line)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
            if evaluations.is_empty() {
                continue;
            }
            let dashes = DashedLineSeries::new(evaluations.iter().copied(), 6, 4, colour.stroke_width(2));
            let dots = evaluations.iter().map(|point| Circle::new(*point, 4, colour.filled()));
            chart.draw_series(dots)?;
            chart
                .draw_series(dashes)?
                .label(format!("{name}: eval_loss"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 6, y)], colour.stroke_width(2)));
        }
        let mut names = chart.configure_series_labels();
        names.position(SeriesLabelPosition::UpperRight);
        names.background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(svg)
}
