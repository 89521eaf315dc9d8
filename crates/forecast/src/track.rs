//! Accuracy of a forecast once its future has arrived.

use crate::answer::QuantilePath;
use crate::metrics;

/// How a forecast did. NaN where there was nothing to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Cells with both a forecast and an observed value.
    pub cells: usize,
    /// Mean absolute error, in the unit of the values.
    pub mae: f64,
    /// Forecast minus actual on average: positive when forecasts were too high.
    pub bias: f64,
    /// Symmetric mean absolute percentage error, 0 to 200.
    pub smape: f64,
    /// (level, pinball loss) of every quantile path.
    pub pinball: Vec<(f64, f64)>,
    /// (nominal, observed) coverage of every central interval among the quantile paths.
    pub coverage: Vec<(f64, f64)>,
}

/// Compares a forecast with what came. Both start at the same cell; the shorter one ends the comparison, so it can be
/// called while the future is still arriving. NaN actuals are skipped.
pub fn track(mean: &[f64], quantiles: &[QuantilePath], actual: &[f64]) -> Accuracy {
    let n = mean.len().min(actual.len());
    let (mean, actual) = (&mean[..n], &actual[..n]);
    let pinball = quantiles.iter().map(|path| {
        let m = n.min(path.values.len());
        (path.level, metrics::pinball(&actual[..m], &path.values[..m], path.level))
    });
    let coverage = central_pairs(&quantiles.iter().map(|q| q.level).collect::<Vec<_>>()).into_iter().map(|pair| {
        let (lower, upper) = (&quantiles[pair.lower].values, &quantiles[pair.upper].values);
        let m = n.min(lower.len()).min(upper.len());
        (pair.nominal, metrics::coverage(&actual[..m], &lower[..m], &upper[..m]))
    });
    Accuracy {
        cells: actual.iter().zip(mean).filter(|(y, f)| !y.is_nan() && !f.is_nan()).count(),
        mae: metrics::mae(actual, mean),
        bias: metrics::bias(actual, mean),
        smape: metrics::smape(actual, mean),
        pinball: pinball.collect(),
        coverage: coverage.collect(),
    }
}

/// Two quantiles that frame a central interval, by their index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CentralPair {
    pub(crate) nominal: f64,
    pub(crate) lower: usize,
    pub(crate) upper: usize,
}

/// The central intervals among quantile levels, widest last.
pub(crate) fn central_pairs(levels: &[f64]) -> Vec<CentralPair> {
    let mut pairs = Vec::new();
    for (lower, low) in levels.iter().enumerate().filter(|(_, low)| **low < 0.5) {
        if let Some(upper) = levels.iter().position(|high| (high - (1.0 - low)).abs() < 1e-9) {
            pairs.push(CentralPair { nominal: 1.0 - 2.0 * low, lower, upper });
        }
    }
    pairs.sort_by(|a, b| a.nominal.total_cmp(&b.nominal));
    pairs.dedup_by(|a, b| (a.nominal - b.nominal).abs() < 1e-9);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partly_arrived_future_is_scored_as_far_as_it_goes() {
        let path = |level, v| QuantilePath { level, values: vec![v; 4] };
        let quantiles = [path(0.1, 0.0), path(0.5, 2.0), path(0.9, 4.0)];
        let accuracy = track(&[2.0; 4], &quantiles, &[1.0, f64::NAN, 6.0]);
        assert_eq!((accuracy.cells, accuracy.mae, accuracy.bias), (2, 2.5, -1.5));
        assert_eq!(accuracy.coverage.len(), 1);
        assert!((accuracy.coverage[0].0 - 0.8).abs() < 1e-12);
        assert_eq!(accuracy.coverage[0].1, 0.5);
        assert_eq!(track(&[1.0], &[], &[]).cells, 0);
    }
}
