//! Reduction of long curves to the few points that a screen of so many columns can show.

/// A point: step and value.
pub type Point = (f64, f64);

/// Returns at most four points for each column of `x` between `from` and `to`: its first, lowest, highest and last. A line through them covers the
/// same pixels as one through all points, so no peak is lost. `points` are in order of `x`. Points that are not finite are left out.
pub fn decimate(points: &[Point], (from, to): (f64, f64), columns: usize) -> Vec<Point> {
    let columns = columns.max(1);
    let finite = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
    if points.len() <= 2 * columns || to <= from {
        return finite.collect();
    }
    let column = |x: f64| ((x - from) / (to - from) * columns as f64) as usize;
    let mut out = Vec::with_capacity(4 * columns);
    let mut held: Option<Column> = None;
    for point in finite {
        match &mut held {
            Some(open) if open.index == column(point.0) => open.take(point),
            _ => {
                if let Some(full) = held.replace(Column::new(column(point.0), point)) {
                    full.write(&mut out);
                }
            }
        }
    }
    if let Some(last) = held {
        last.write(&mut out);
    }
    out
}

struct Column {
    index: usize,
    first: Point,
    low: Point,
    high: Point,
    last: Point,
}

impl Column {
    fn new(index: usize, point: Point) -> Self {
        Self { index, first: point, low: point, high: point, last: point }
    }

    fn take(&mut self, point: Point) {
        if point.1 < self.low.1 {
            self.low = point;
        }
        if point.1 > self.high.1 {
            self.high = point;
        }
        self.last = point;
    }

    fn write(self, out: &mut Vec<Point>) {
        let (a, b) = if self.low.0 <= self.high.0 { (self.low, self.high) } else { (self.high, self.low) };
        for point in [self.first, a, b, self.last] {
            if out.last() != Some(&point) {
                out.push(point);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_points_become_few_and_no_peak_is_lost() {
        let mut points: Vec<Point> = (0..10_000).map(|i| (i as f64, (i as f64 * 0.1).sin())).collect();
        points[7777].1 = 50.0;
        points[3333].1 = -50.0;
        let few = decimate(&points, (0.0, 9999.0), 300);
        assert!(few.len() <= 4 * 301, "{}", few.len());
        assert!(few.contains(&(7777.0, 50.0)) && few.contains(&(3333.0, -50.0)));
        assert_eq!((few.first(), few.last()), (points.first(), points.last()));
        assert!(few.windows(2).all(|pair| pair[0].0 <= pair[1].0), "in order");
    }

    #[test]
    fn few_points_stay_and_those_that_are_none_go() {
        let points = [(1.0, 2.0), (2.0, f64::NAN), (3.0, f64::INFINITY), (4.0, 1.0)];
        assert_eq!(decimate(&points, (1.0, 4.0), 10), [(1.0, 2.0), (4.0, 1.0)]);
        assert_eq!(decimate(&[], (0.0, 0.0), 10), []);
    }
}
