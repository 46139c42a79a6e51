//! A curve over the steps of the run, as an SVG.

use leptos::prelude::*;

use super::state::Page;
use crate::logic::decimate::Point;
use crate::logic::history::History;
use crate::logic::plot::{HEIGHT, Plot, WIDTH};
use crate::logic::texts::{Texts, fill};

/// A function that returns the points of a curve from a run's reports.
pub type Series = fn(&History) -> Vec<Point>;

/// A function that returns a text in the page's language.
pub type Text = fn(&Texts) -> &'static str;

/// The contents of a chart.
#[derive(Clone, Copy)]
pub struct Curve {
    /// The `data-testid` of the chart.
    pub test_id: &'static str,
    /// The title of the chart.
    pub title: Text,
    /// The points of the line.
    pub line: Series,
    /// The points of the dots, and their name.
    pub dots: Option<(Series, Text)>,
    /// The format of the values.
    pub number: fn(f64) -> String,
}

/// Shows a chart. It is drawn anew in every frame in which there are new reports, from at most a few points for each pixel.
pub fn chart(page: Page, curve: Curve) -> impl IntoView {
    let plot = Memo::new(move |_| {
        page.run.drawn.track();
        page.run.history.with_value(|history| {
            let dots = curve.dots.map(|(dots, _)| dots(history)).unwrap_or_default();
            Plot::new(&(curve.line)(history), &dots)
        })
    });
    let number = curve.number;
    let low = move || plot.with(|plot| plot.ends.map(|_| number(plot.y.0)));
    let high = move || plot.with(|plot| plot.ends.map(|_| number(plot.y.1)));
    let label = move || {
        plot.with(|plot| match plot.ends {
            Some((from, to)) => fill(
                page.t().chart_label,
                &[
                    ("title", &(curve.title)(page.t())),
                    ("from", &number(from)),
                    ("to", &number(to)),
                    ("steps", &plot.x.1),
                ],
            ),
            None => format!("{}: {}", (curve.title)(page.t()), page.t().chart_empty),
        })
    };
    view! {
        <figure class="chart" data-testid=curve.test_id>
            <figcaption>
                <span class="key line">{move || (curve.title)(page.t())}</span>
                {curve.dots.map(|(_, name)| view! { <span class="key dots">{move || name(page.t())}</span> })}
            </figcaption>
            <div class="frame">
                <span class="high">{high}</span>
                <span class="low">{low}</span>
                <svg role="img" aria-label=label viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none">
                    <polyline class="line" points=move || plot.with(|plot| plot.line.clone())/>
                    <path class="dots" class:many=move || plot.with(|plot| plot.is_crowded) d=move || plot.with(|plot| plot.dots.clone())/>
                </svg>
                <span class="first">{move || plot.with(|plot| plot.ends.map(|_| plot.x.0.to_string()))}</span>
                <span class="last">{move || plot.with(|plot| plot.ends.map(|_| plot.x.1.to_string()))}</span>
            </div>
        </figure>
    }
}
