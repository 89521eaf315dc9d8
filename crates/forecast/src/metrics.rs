//! Scores of forecasts: point errors, quantile errors, coverage.
//!
//! All functions take equally long slices and skip cells where either side is NaN; with nothing to score they return
//! NaN, never zero. Sources: Hyndman & Koehler (2006) for MASE; Makridakis, Spiliotis & Assimakopoulos (2020) for
//! sMAPE, OWA and MSIS as in M4; Koenker & Bassett (1978) for the pinball loss.

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for v in values.filter(|v| !v.is_nan()) {
        sum += v;
        count += 1;
    }
    if count == 0 { f64::NAN } else { sum / count as f64 }
}

fn pairs<'a>(actual: &'a [f64], forecast: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
    actual.iter().copied().zip(forecast.iter().copied())
}

/// Mean absolute error, in the unit of the values.
pub fn mae(actual: &[f64], forecast: &[f64]) -> f64 {
    mean(pairs(actual, forecast).map(|(y, f)| (y - f).abs()))
}

/// Mean error, forecast minus actual: positive when forecasts are too high.
pub fn bias(actual: &[f64], forecast: &[f64]) -> f64 {
    mean(pairs(actual, forecast).map(|(y, f)| f - y))
}

/// Symmetric mean absolute percentage error, 0 to 200, as in M4; a pair of zeros counts as no error.
pub fn smape(actual: &[f64], forecast: &[f64]) -> f64 {
    mean(pairs(actual, forecast).map(|(y, f)| {
        let size = y.abs() + f.abs();
        if size == 0.0 { 0.0 } else { 200.0 * (y - f).abs() / size }
    }))
}

/// In-sample mean absolute error of the seasonal naive with season `m` (1: naive): the unit of MASE and MSIS.
pub fn seasonal_scale(history: &[f64], m: usize) -> f64 {
    let m = m.max(1);
    if history.len() <= m {
        return f64::NAN;
    }
    mae(&history[m..], &history[..history.len() - m])
}

/// Mean absolute scaled error over `history` with season `m`. 0 when error and scale are both zero.
pub fn mase(actual: &[f64], forecast: &[f64], history: &[f64], m: usize) -> f64 {
    ratio(mae(actual, forecast), seasonal_scale(history, m))
}

/// `error / reference`, with 0 / 0 = 0: no error where none was to be expected.
pub fn ratio(error: f64, reference: f64) -> f64 {
    if error == 0.0 && reference == 0.0 { 0.0 } else { error / reference }
}

/// Overall weighted average of M4: mean of sMAPE and MASE, each relative to those of Naive2 (see [`naive2`]), all of
/// them averaged over the series beforehand.
pub fn owa(smape: f64, mase: f64, smape_naive2: f64, mase_naive2: f64) -> f64 {
    0.5 * (ratio(smape, smape_naive2) + ratio(mase, mase_naive2))
}

/// M4's Naive2: the last value after multiplicative seasonal adjustment where the season passes the 90 % test and
/// every value is positive, else the plain last value. Empty for an empty history.
pub fn naive2(history: &[f64], m: usize, horizon: usize) -> Vec<f64> {
    let Some(&last) = history.last() else { return Vec::new() };
    if !crate::classical::is_seasonal(history, m) || history.iter().any(|v| *v <= 0.0) {
        return vec![last; horizon];
    }
    let indices = crate::classical::indices(history, m, true);
    let n = history.len();
    let adjusted = last / indices[(n - 1) % m];
    (0..horizon).map(|h| adjusted * indices[(n + h) % m]).collect()
}

/// Mean pinball loss of the quantile `level`, in the unit of the values.
pub fn pinball(actual: &[f64], quantile: &[f64], level: f64) -> f64 {
    mean(pairs(actual, quantile).map(|(y, q)| if y >= q { level * (y - q) } else { (1.0 - level) * (q - y) }))
}

/// Share of the actual values inside `[lower, upper]`, 0 to 1.
pub fn coverage(actual: &[f64], lower: &[f64], upper: &[f64]) -> f64 {
    mean(pairs(actual, lower).zip(upper).map(|((y, l), u)| {
        if y.is_nan() || l.is_nan() || u.is_nan() { f64::NAN } else { f64::from(u8::from(y >= l && y <= *u)) }
    }))
}

/// Mean scaled interval score of the central interval of `level` (0.95), scaled like MASE.
pub fn msis(actual: &[f64], lower: &[f64], upper: &[f64], level: f64, history: &[f64], m: usize) -> f64 {
    let penalty = 2.0 / (1.0 - level);
    let score = mean(pairs(actual, lower).zip(upper).map(|((y, l), u)| {
        let outside = if y.is_nan() { f64::NAN } else { (l - y).max(0.0) + (y - u).max(0.0) };
        (u - l) + penalty * outside
    }));
    ratio(score, seasonal_scale(history, m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let (y, f) = ([1.0, 2.0, f64::NAN], [2.0, 2.0, 9.0]);
        assert_eq!(mae(&y, &f), 0.5);
        assert_eq!(bias(&y, &f), 0.5);
        assert!((smape(&y, &f) - 100.0 / 3.0).abs() < 1e-12);
        assert_eq!(mase(&y, &f, &[0.0, 2.0, 4.0], 1), 0.25);
        assert_eq!(pinball(&[1.0], &[3.0], 0.9), 2.0 * (1.0 - 0.9));
        assert_eq!(pinball(&[3.0], &[1.0], 0.9), 1.8);
        assert_eq!(coverage(&y, &[0.0, 3.0, 0.0], &[1.0, 4.0, 1.0]), 0.5);
        let score = msis(&[1.0, 5.0], &[0.0, 0.0], &[4.0, 4.0], 0.95, &[0.0, 2.0], 1);
        assert!((score - 12.0).abs() < 1e-9, "{score}");
        assert_eq!(owa(10.0, 1.0, 20.0, 2.0), 0.5);
    }

    #[test]
    fn nothing_to_score_is_not_a_perfect_score() {
        assert!(mae(&[], &[]).is_nan());
        assert!(mase(&[1.0], &[2.0], &[1.0], 1).is_nan());
        assert_eq!(mase(&[1.0], &[1.0], &[1.0, 1.0], 1), 0.0);
        assert!(coverage(&[f64::NAN], &[0.0], &[1.0]).is_nan());
    }

    #[test]
    fn naive2_uses_a_season_only_where_there_is_one() {
        let seasonal: Vec<f64> = (0..48).map(|t| 10.0 + f64::from(t % 4)).collect();
        let path = naive2(&seasonal, 4, 4);
        assert!((path[0] - 10.0).abs() < 1e-9 && (path[3] - 13.0).abs() < 1e-9, "{path:?}");
        assert_eq!(naive2(&[1.0, 5.0, 2.0], 4, 2), [2.0, 2.0]);
    }
}
