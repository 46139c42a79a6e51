//! A curve over the steps of the run, as SVG.

use leptos::prelude::*;

use super::state::Page;
use crate::logic::decimate::Point;
use crate::logic::history::History;
use crate::logic::plot::{HEIGHT, Plot, WIDTH};
use crate::logic::texts::{Texts, fill};

/// Points out of a run's reports.
pub type Series = fn(&History) -> Vec<Point>;

/// A text in the page's language.
pub type Text = fn(&Texts) -> &'static str;

/// What a chart shows.
#[derive(Clone, Copy)]
pub struct Curve {
    /// Its `data-testid`.
    pub test_id: &'static str,
    /// What it is.
    pub title: Text,
    /// The line.
    pub line: Series,
    /// Dots, and what they are.
    pub dots: Option<(Series, Text)>,
    /// How its values are written.
    pub number: fn(f64) -> String,
}

/// The chart. It is drawn anew with every frame in which there is something new, from at most a few points a pixel.
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
