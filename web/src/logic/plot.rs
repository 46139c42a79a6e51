//! Conversion of numbers to the coordinates of a chart.

use super::decimate::{Point, decimate};

/// Width of a chart's box in its own units: as many columns as a chart has pixels on a wide screen.
pub const WIDTH: f64 = 640.0;
/// Height of a chart's box.
pub const HEIGHT: f64 = 160.0;
/// Space above and below the curve, so that no line is cut off at the edge.
const MARGIN: f64 = 6.0;

/// Largest number of dots that are drawn large.
const CROWD: usize = 60;

/// A chart's curves in the coordinates of its box, and the numbers at its axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// The `points` of a polyline.
    pub line: String,
    /// The `d` of a path that has a dot at every point of the second series.
    pub dots: String,
    /// Whether there are so many dots that large ones would hide the line.
    pub is_crowded: bool,
    /// Lowest and highest value.
    pub y: (f64, f64),
    /// First and last step.
    pub x: (f64, f64),
    /// First and last value of the line.
    pub ends: Option<(f64, f64)>,
}

impl Plot {
    /// Creates a line through `line` and dots at `dots`, both within one frame. Without points, it returns the default.
    pub fn new(line: &[Point], dots: &[Point]) -> Plot {
        let finite = || line.iter().chain(dots).filter(|(x, y)| x.is_finite() && y.is_finite());
        if finite().next().is_none() {
            return Plot::default();
        }
        let x = range(finite().map(|point| point.0));
        let y = range(finite().map(|point| point.1));
        let place = |(px, py): Point| {
            let across = if x.1 > x.0 { (px - x.0) / (x.1 - x.0) } else { 0.5 };
            let up = if y.1 > y.0 { (py - y.0) / (y.1 - y.0) } else { 0.5 };
            (across * WIDTH, HEIGHT - MARGIN - up * (HEIGHT - 2.0 * MARGIN))
        };
        let few = decimate(line, x, WIDTH as usize);
        let mut plot = Plot { x, y, is_crowded: dots.len() > CROWD, ..Plot::default() };
        for point in &few {
            let (px, py) = place(*point);
            plot.line.push_str(&format!("{px:.1},{py:.1} "));
        }
        for point in decimate(dots, x, WIDTH as usize) {
            let (px, py) = place(point);
            // The dot is a line of length zero with round ends, which stays round however the box is stretched.
            plot.dots.push_str(&format!("M{px:.1} {py:.1}h0"));
        }
        plot.ends = few.first().zip(few.last()).map(|(first, last)| (first.1, last.1));
        plot
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_line_goes_from_top_left_to_bottom_right() {
        let plot = Plot::new(&[(1.0, 3.0), (2.0, 1.0)], &[(2.0, 2.0)]);
        assert_eq!(plot.line, "0.0,6.0 640.0,154.0 ");
        assert_eq!(plot.dots, "M640.0 80.0h0");
        assert_eq!((plot.x, plot.y, plot.ends), ((1.0, 2.0), (1.0, 3.0), Some((3.0, 1.0))));
    }

    #[test]
    fn one_point_and_none_are_charts_too() {
        assert_eq!(Plot::new(&[(5.0, 2.0)], &[]).line, "320.0,80.0 ");
        assert_eq!(Plot::new(&[], &[]), Plot::default());
        assert_eq!(Plot::new(&[(1.0, f64::NAN)], &[]), Plot::default());
    }
}
