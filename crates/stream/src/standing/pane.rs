//! Folding the samples of one group in one pane.

use sketch::QuantileSketch;

use crate::histogram::{Bucket, bucket_quantile, sum_by_bound};
use crate::spec::ValueKind;

/// Scratch space for one pane of one group, reused for every group.
#[derive(Debug, Default)]
pub(crate) struct PaneFold {
    /// Values for percentiles (gauges and rates).
    pub(crate) sketch: QuantileSketch,
    /// Increases by bound (histograms).
    pub(crate) buckets: Vec<Bucket>,
    sum: f64,
    n: u64,
    /// Sum of the series' rates, and the series that had one.
    rate: f64,
    n_rates: u64,
    increase: f64,
}

/// What one pane comes to, besides its percentiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PaneTotals {
    /// The group's value; NaN when there is none.
    pub(crate) value: f64,
    /// Samples, increase or observations.
    pub(crate) count: f64,
}

/// Increase over the time of one series in one pane.
#[derive(Debug, Default)]
pub(crate) struct Increase {
    pub(crate) sum: f64,
    millis: i64,
}

impl Increase {
    /// Adds the step from the predecessor; a fall is a reset to zero. Answers the step's rate per second.
    pub(crate) fn step(&mut self, before: Option<(i64, f64)>, at: i64, value: f64) -> Option<f64> {
        let (from, last) = before?;
        let increase = if value >= last { value - last } else { value };
        self.sum += increase;
        self.millis += at - from;
        (at > from).then(|| increase * 1000.0 / (at - from) as f64)
    }
}

impl PaneFold {
    pub(crate) fn clear(&mut self) {
        self.sketch.clear();
        self.buckets.clear();
        (self.sum, self.n, self.rate, self.n_rates, self.increase) = (0.0, 0, 0.0, 0, 0.0);
    }

    /// Adds a gauge's sample.
    pub(crate) fn gauge(&mut self, value: f64, sketched: bool) {
        self.sum += value;
        self.n += 1;
        if sketched {
            self.sketch.insert(value);
        }
    }

    /// Adds what a counter did in this pane.
    pub(crate) fn counter(&mut self, increase: &Increase) {
        if increase.millis > 0 {
            self.rate += increase.sum * 1000.0 / increase.millis as f64;
            self.n_rates += 1;
            self.increase += increase.sum;
        }
    }

    /// Adds what the bucket `bound` gained in this pane.
    pub(crate) fn bucket(&mut self, bound: f64, increase: &Increase) {
        if increase.millis > 0 {
            self.buckets.push(Bucket { upper: bound, count: increase.sum });
        }
    }

    /// The pane's totals, or `None` when nothing fell into it. Sorts the buckets.
    pub(crate) fn totals(&mut self, kind: ValueKind, headline_quantile: f64) -> Option<PaneTotals> {
        match kind {
            ValueKind::Gauge => {
                (self.n > 0).then(|| PaneTotals { value: self.sum / self.n as f64, count: self.n as f64 })
            }
            ValueKind::Rate => (self.n_rates > 0).then_some(PaneTotals { value: self.rate, count: self.increase }),
            ValueKind::HistogramBuckets => {
                sum_by_bound(&mut self.buckets);
                let last = self.buckets.last()?;
                let value = bucket_quantile(headline_quantile, &self.buckets);
                // Only the bucket without a bound has them all.
                let count = if last.upper == f64::INFINITY { last.count } else { 0.0 };
                Some(PaneTotals { value, count })
            }
        }
    }
}
