//! Four points a pixel: the first, the smallest, the largest and the last of every column of the chart.
//!
//! A line through these four covers the same pixels as a line through all points (the idea of M4: Jugel et al., "M4: A
//! Visualization-Oriented Time Series Data Aggregation", VLDB 2014). Gaps (NaN, stale markers) stay gaps.

use series::{TimeRange, Timestamp};

/// Collects points in rising order of time and keeps at most four a pixel.
pub(crate) struct Decimator {
    start: Timestamp,
    pixel_ms: i64,
    column: Option<Column>,
    out: Vec<(Timestamp, f64)>,
}

struct Column {
    pixel: i64,
    first: (Timestamp, f64),
    min: (Timestamp, f64),
    max: (Timestamp, f64),
    last: (Timestamp, f64),
    /// A gap began in this column after `last`.
    gap: Option<Timestamp>,
}

impl Decimator {
    /// For a chart of `range` on `width_px` columns.
    pub(crate) fn new(range: TimeRange, width_px: usize) -> Self {
        let span = range.end.0.saturating_sub(range.start.0).max(1);
        let width = i64::try_from(width_px.max(1)).unwrap_or(i64::MAX);
        Self { start: range.start, pixel_ms: (span / width).max(1), column: None, out: Vec::new() }
    }

    /// Milliseconds of a pixel.
    pub(crate) fn pixel_ms(&self) -> i64 {
        self.pixel_ms
    }

    /// Takes the next point.
    pub(crate) fn push(&mut self, at: Timestamp, value: f64) {
        let pixel = at.0.saturating_sub(self.start.0).div_euclid(self.pixel_ms);
        if self.column.as_ref().is_some_and(|column| column.pixel != pixel) {
            self.close();
        }
        let point = (at, value);
        match &mut self.column {
            Some(column) if value.is_nan() => column.gap = column.gap.or(Some(at)),
            None if value.is_nan() => self.gap(at),
            Some(column) => column.add(point),
            None => self.column = Some(Column { pixel, first: point, min: point, max: point, last: point, gap: None }),
        }
    }

    /// The points kept; a NaN stands for a gap.
    pub(crate) fn finish(mut self) -> Vec<(Timestamp, f64)> {
        self.close();
        self.out
    }

    fn close(&mut self) {
        let Some(column) = self.column.take() else { return };
        let (low, high) =
            if column.min.0 <= column.max.0 { (column.min, column.max) } else { (column.max, column.min) };
        let from = self.out.len();
        for point in [column.first, low, high, column.last] {
            if self.out[from..].last().is_none_or(|before| before.0 < point.0) {
                self.out.push(point);
            }
        }
        if let Some(at) = column.gap {
            self.gap(at);
        }
    }

    fn gap(&mut self, at: Timestamp) {
        if self.out.last().is_some_and(|before| !before.1.is_nan()) {
            self.out.push((at, f64::NAN));
        }
    }
}

impl Column {
    fn add(&mut self, point: (Timestamp, f64)) {
        // A gap inside a pixel that goes on is narrower than the line.
        self.gap = None;
        if point.1 < self.min.1 {
            self.min = point;
        }
        if point.1 > self.max.1 {
            self.max = point;
        }
        self.last = point;
    }
}

/// All of `points` through one decimator.
pub(crate) fn decimate(points: &[(Timestamp, f64)], width_px: usize) -> Vec<(Timestamp, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let mut decimator = Decimator::new(TimeRange::new(first.0, Timestamp(last.0.0.saturating_add(1))), width_px);
    for &(at, value) in points {
        decimator.push(at, value);
    }
    decimator.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<(Timestamp, f64)> {
        values.iter().enumerate().map(|(i, &value)| (Timestamp(i as i64), value)).collect()
    }

    #[test]
    fn extremes_and_ends_survive_and_the_count_is_bounded() {
        let mut all = points(&(0..10_000).map(|i| f64::from(i % 97)).collect::<Vec<_>>());
        all[5003].1 = 1e9;
        all[7001].1 = -1e9;
        let kept = decimate(&all, 100);
        assert!(kept.len() <= 4 * 101, "{}", kept.len());
        assert!(kept.contains(&all[5003]) && kept.contains(&all[7001]));
        assert_eq!((kept.first(), kept.last()), (all.first(), all.last()));
        assert!(kept.windows(2).all(|two| two[0].0 < two[1].0), "times rise");
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let all = points(&[3.0, 1.0, 2.0]);
        assert_eq!(decimate(&all, 100), all);
        assert_eq!(decimate(&[], 100), []);
    }

    #[test]
    fn gaps_wider_than_a_pixel_stay_and_are_said_once() {
        let kept = decimate(&points(&[f64::NAN, 1.0, f64::NAN, f64::NAN, f64::NAN, 2.0]), 6);
        let values: Vec<String> = kept.iter().map(|point| point.1.to_string()).collect();
        assert_eq!(values, ["1", "NaN", "2"]);
    }
}
