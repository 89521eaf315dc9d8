//! Intervals from back-test residuals: split conformal prediction by horizon, asymmetric and never crossing.
//!
//! ```text
//!   residuals r(o,h) ──▶ scale s(h), smoothed over neighbouring horizons ──▶ z = r / s ──▶ quantiles of all z ──▶ q·s(h)
//! ```
//!
//! Source: Vovk, Gammerman & Shafer (2005); Stankevičiūtė, Alaa & van der Schaar (2021) for horizons. Residuals of one
//! origin move together, so a handful of origins is a handful of independent observations, however many cells they
//! hold. Two corrections follow from that: the quantiles are widened by a term in the inverse number of independent
//! folds, and they are mixed with those of the absolute residuals, because with few folds the sign of a residual says
//! more about one bad stretch than about the next.

use crate::rolling::Plan;
use crate::track::central_pairs;

/// Widening of the quantiles is `1 + WIDENING.0 / folds + WIDENING.1 / folds²`; fitted so that M4 hourly, M3, tourism
/// and the metric tasks come out near their nominal coverage on average.
const WIDENING: (f64, f64) = (0.5, 1.2);
/// Folds at which the sign of the residuals counts for half.
const SIGN_FOLDS: f64 = 2.0;

/// Residuals of one origin, by horizon; NaN where the actual value is missing.
pub(crate) type Residuals = Vec<Vec<f64>>;

/// Distribution of the errors over the horizon.
#[derive(Debug, Clone)]
pub(crate) struct Bands {
    /// Typical absolute error, by horizon.
    scale: Vec<f64>,
    /// Standardised residuals, ascending.
    standard: Vec<f64>,
    /// Their magnitudes, ascending.
    magnitude: Vec<f64>,
    widening: f64,
    /// Share of the signed quantiles in the mixture, 0 to 1.
    signed: f64,
}

impl Bands {
    /// Learns from the residuals of several origins. `folds` is the number of independent ones among them: cells
    /// behind the first origin over the horizon. `None` without a single residual.
    pub(crate) fn learn<'a>(
        residuals: impl Iterator<Item = &'a Vec<f64>> + Clone,
        horizon: usize,
        folds: f64,
    ) -> Option<Self> {
        let scale = scale_by_horizon(residuals.clone(), horizon)?;
        let mut standard = Vec::new();
        for path in residuals {
            standard.extend(path.iter().zip(&scale).filter(|(r, _)| !r.is_nan()).map(|(r, s)| r / s));
        }
        Some(Self::of(scale, standard, folds.max(0.5)))
    }

    fn of(scale: Vec<f64>, mut standard: Vec<f64>, folds: f64) -> Self {
        standard.sort_unstable_by(f64::total_cmp);
        // From 0, so that a median has no offset.
        let mut magnitude: Vec<f64> = std::iter::once(0.0).chain(standard.iter().map(|z| z.abs())).collect();
        magnitude.sort_unstable_by(f64::total_cmp);
        Self {
            scale,
            standard,
            magnitude,
            widening: 1.0 + WIDENING.0 / folds + WIDENING.1 / (folds * folds),
            signed: folds / (folds + SIGN_FOLDS),
        }
    }

    /// Errors growing with the square root of the horizon, from one-step changes: for histories without a back-test.
    pub(crate) fn random_walk(y: &[f64], horizon: usize) -> Option<Self> {
        let changes: Vec<f64> = y.windows(2).map(|w| w[1] - w[0]).filter(|v| v.is_finite()).collect();
        if changes.is_empty() {
            return None;
        }
        let spread = changes.iter().map(|c| c.abs()).sum::<f64>() / changes.len() as f64;
        let unit = spread.max(f64::MIN_POSITIVE);
        let scale = (1..=horizon).map(|h| unit * (h as f64).sqrt()).collect();
        let standard = changes.iter().map(|c| c / unit).collect();
        // Which way the next step goes is not told by a handful of changes.
        Some(Self { signed: 0.0, ..Self::of(scale, standard, 1.0) })
    }

    /// How far above the point forecast the quantile lies, by horizon.
    pub(crate) fn offsets(&self, level: f64) -> Vec<f64> {
        let share = (2.0 * level - 1.0).abs();
        let central = between(&self.magnitude, share * self.magnitude.len() as f64).copysign(level - 0.5);
        let q = self.widening * (self.signed * quantile(&self.standard, level) + (1.0 - self.signed) * central);
        self.scale.iter().map(|s| q * s).collect()
    }
}

/// Typical absolute residual by horizon, smoothed over a sixth of the horizon to either side. Horizons no origin
/// reaches grow from the last one known with the square root of the distance.
fn scale_by_horizon<'a>(residuals: impl Iterator<Item = &'a Vec<f64>>, horizon: usize) -> Option<Vec<f64>> {
    let (mut sums, mut counts) = (vec![0.0; horizon + 1], vec![0.0; horizon + 1]);
    for path in residuals {
        for (h, r) in path.iter().enumerate().take(horizon).filter(|(_, r)| !r.is_nan()) {
            sums[h + 1] += r.abs();
            counts[h + 1] += 1.0;
        }
    }
    for h in 0..horizon {
        sums[h + 1] += sums[h];
        counts[h + 1] += counts[h];
    }
    let total = counts[horizon];
    if total == 0.0 {
        return None;
    }
    // A floor of a thousandth of the mean keeps exact stretches from dividing by zero.
    let floor = (1e-3 * sums[horizon] / total).max(f64::MIN_POSITIVE);
    let mut scale = Vec::with_capacity(horizon);
    let mut known: Option<(usize, f64)> = None;
    for h in 0..horizon {
        let reach = (h / 3).clamp(1, (horizon / 6).max(1));
        let (from, to) = (h.saturating_sub(reach), (h + reach + 1).min(horizon));
        let count = counts[to] - counts[from];
        let value = if counts[h + 1] > counts[h] && count > 0.0 {
            known = Some((h, (sums[to] - sums[from]) / count));
            (sums[to] - sums[from]) / count
        } else {
            let (last, value) = known.unwrap_or((h, sums[horizon] / total));
            value * ((h + 1) as f64 / (last + 1) as f64).sqrt()
        };
        scale.push(value.max(floor));
    }
    Some(scale)
}

/// Empirical quantile at the conformal rank `level · (n + 1)`, between neighbours by a straight line. `sorted` is
/// ascending; 0 for an empty slice.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    between(sorted, level * (sorted.len() as f64 + 1.0) - 1.0)
}

/// The item at `rank`, counted from 0 and held inside the slice, between neighbours by a straight line.
fn between(sorted: &[f64], rank: f64) -> f64 {
    let n = sorted.len();
    if n == 0 {
        return 0.0;
    }
    let rank = rank.clamp(0.0, (n - 1) as f64);
    let below = rank.floor() as usize;
    let above = (below + 1).min(n - 1);
    sorted[below] + (rank - below as f64) * (sorted[above] - sorted[below])
}

/// (nominal, observed) coverage of the central intervals among `levels`: the cells of each fold are judged by bands
/// learnt from the origins that do not overlap with it. Empty with fewer than two folds.
pub(crate) fn coverage(residuals: &Residuals, plan: &Plan, levels: &[f64]) -> Vec<(f64, f64)> {
    let (origins, horizon, folds) = (&plan.origins, plan.horizon, plan.independent);
    let pairs = central_pairs(levels);
    let mut hits = vec![(0usize, 0usize); pairs.len()];
    let mut next = origins.first().copied().unwrap_or(0);
    for (judged, &origin) in residuals.iter().zip(origins) {
        // One origin a horizon: the ones between share its cells.
        if origin < next {
            continue;
        }
        next = origin + horizon;
        let apart = || residuals.iter().zip(origins).filter(|(_, o)| o.abs_diff(origin) >= horizon).map(|(r, _)| r);
        let Some(bands) = Bands::learn(apart(), horizon, (folds - 1.0).max(0.5)) else { continue };
        for (pair, (hit, seen)) in pairs.iter().zip(&mut hits) {
            let (lower, upper) = (bands.offsets(levels[pair.lower]), bands.offsets(levels[pair.upper]));
            for (h, r) in judged.iter().enumerate().filter(|(_, r)| !r.is_nan()) {
                *seen += 1;
                *hit += usize::from(*r >= lower[h] && *r <= upper[h]);
            }
        }
    }
    let scored = pairs.iter().zip(hits).filter(|(_, (_, seen))| *seen > 0);
    scored.map(|(pair, (hit, seen))| (pair.nominal, hit as f64 / seen as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_sample() {
        let sorted: Vec<f64> = (1..=99).map(f64::from).collect();
        assert_eq!(quantile(&sorted, 0.5), 50.0);
        assert_eq!(quantile(&sorted, 0.95), 95.0);
        assert_eq!(quantile(&sorted, 0.999), 99.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_median_without_a_back_test_is_the_point_forecast() {
        let bands = Bands::random_walk(&[1.0, 3.0, 1.0, 3.0], 2).expect("changes");
        assert_eq!(bands.offsets(0.5), [0.0, 0.0]);
        let (low, near, high) = (bands.offsets(0.1)[0], bands.offsets(0.51)[0], bands.offsets(0.9)[0]);
        assert!(low < 0.0 && 0.0 < near && near < high / 10.0, "{low} {near} {high}");
    }

    #[test]
    fn bands_follow_the_horizon_and_keep_their_order() {
        let residuals: Residuals = (0..10)
            .map(|o| (0..12).map(|h| if (o + h) % 2 == 0 { 1.0 } else { -1.0 } * (1 + h) as f64).collect())
            .collect();
        let bands = Bands::learn(residuals.iter(), 12, 3.0).unwrap();
        let (low, high) = (bands.offsets(0.1), bands.offsets(0.9));
        assert!(high[11] > 5.0 * high[0] && low[11] < 5.0 * low[0]);
        assert!(low.iter().zip(&high).all(|(l, h)| l <= h));
    }

    #[test]
    fn unreached_horizons_grow_and_nothing_gives_nothing() {
        let bands = Bands::learn([vec![1.0, -1.0]].iter(), 8, 1.0).unwrap();
        let high = bands.offsets(0.9);
        assert!(high[7] > 1.5 * high[1], "{high:?}");
        assert!(Bands::learn([vec![f64::NAN]].iter(), 1, 1.0).is_none());
        assert!(Bands::random_walk(&[1.0], 3).is_none());
    }
}
