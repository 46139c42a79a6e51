//! A histogram of the examples' lengths.

use std::sync::Arc;

use leptos::prelude::*;
use lorelei_protocol::{DataInfo, LengthBar};

use super::state::Page;
use crate::logic::format::grouped;
use crate::logic::texts::fill;

/// Width of a bar and, below, height of the picture, in the picture's units.
const WIDTH: usize = 10;
const HEIGHT: f64 = 40.0;

/// Shows the histogram with its numbers in words, or nothing where there is no example.
pub fn lengths(page: Page, info: &Arc<DataInfo>) -> impl IntoView + use<> {
    let info = info.clone();
    let most = info.lengths.iter().map(|bar| bar.count).max().unwrap_or(0);
    (most > 0).then(|| {
        let bars = info.lengths.iter().enumerate().map(|(at, bar)| rectangle(at, *bar, most)).collect_view();
        let view_box = format!("0 0 {} {HEIGHT}", WIDTH * info.lengths.len());
        let words = move || {
            let numbers: [(&str, &dyn std::fmt::Display); 4] = [
                ("shortest", &info.lengths[0].from),
                ("median", &info.median_length),
                ("percentile", &info.percentile_95),
                ("longest", &info.longest),
            ];
            fill(page.t().lengths, &numbers)
        };
        view! {
            <figure class="lengths" data-testid="data-lengths">
                <svg viewBox=view_box preserveAspectRatio="none" aria-hidden="true">{bars}</svg>
                <figcaption class="hint">{words}</figcaption>
            </figure>
        }
    })
}

fn rectangle(at: usize, bar: LengthBar, most: usize) -> impl IntoView {
    // Every bar with an example in it is visible.
    let height = match bar.count {
        0 => 0.0,
        count => (HEIGHT * count as f64 / most as f64).max(1.0),
    };
    let title = format!("{}–{}: {}", bar.from, bar.to, grouped(bar.count as u64));
    view! {
        <rect x=at * WIDTH + 1 y=HEIGHT - height width=WIDTH - 2 height=height>
            <title>{title}</title>
        </rect>
    }
}
