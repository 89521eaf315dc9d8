//! The pieces of classical decomposition: centred moving averages, seasonal indices, straight lines, autocorrelation.
//!
//! Source: Hyndman & Athanasopoulos, "Forecasting: Principles and Practice" (3rd ed.), §3.4; the seasonality test is
//! the one of the M4 benchmarks (90 % limit of the autocorrelation at the seasonal lag).

/// Centred moving average over one season, 2×m for even m. Entry `i` belongs to cell `i + m / 2` of `y`; empty when
/// `y` is shorter than the window.
pub(crate) fn moving_average(y: &[f64], m: usize) -> Vec<f64> {
    let half = m / 2;
    let width = 2 * half + 1;
    if y.len() < width || m < 2 {
        return if m < 2 { y.to_vec() } else { Vec::new() };
    }
    let even = m.is_multiple_of(2);
    // Sum over the inner m (odd) or m - 1 (even) cells moves along; the half-weighted ends are added for even m.
    let inner = if even { m - 1 } else { m };
    let offset = usize::from(even);
    let mut sum: f64 = y[offset..offset + inner].iter().sum();
    let mut averages = Vec::with_capacity(y.len() - 2 * half);
    for start in 0..y.len() - 2 * half {
        if start > 0 {
            sum += y[start + offset + inner - 1] - y[start + offset - 1];
        }
        let ends = if even { 0.5 * (y[start] + y[start + m]) } else { 0.0 };
        averages.push((sum + ends) / m as f64);
    }
    averages
}

/// Seasonal indices by phase of `y` (cell 0 is phase 0): additive ones add up to 0, multiplicative ones to `m`.
pub(crate) fn indices(y: &[f64], m: usize, multiplicative: bool) -> Vec<f64> {
    let trend = moving_average(y, m);
    let mut sums = vec![(0.0, 0usize); m];
    for (i, level) in trend.iter().enumerate() {
        let cell = i + m / 2;
        let seen = if multiplicative { y[cell] / level } else { y[cell] - level };
        if seen.is_finite() {
            let (sum, count) = &mut sums[cell % m];
            *sum += seen;
            *count += 1;
        }
    }
    let neutral = if multiplicative { 1.0 } else { 0.0 };
    let raw: Vec<f64> = sums.iter().map(|(s, c)| if *c == 0 { neutral } else { s / *c as f64 }).collect();
    let mean = raw.iter().sum::<f64>() / m as f64;
    if multiplicative {
        let scale = if mean.abs() > f64::MIN_POSITIVE { mean } else { 1.0 };
        raw.iter().map(|v| v / scale).collect()
    } else {
        raw.iter().map(|v| v - mean).collect()
    }
}

/// Least-squares line: value just before the first cell (at -1, so that cell 0 is one step on), and slope.
pub(crate) fn line(y: &[f64]) -> (f64, f64) {
    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let centre = (n - 1.0) / 2.0;
    let (mut cross, mut squares) = (0.0, 0.0);
    for (t, v) in y.iter().enumerate() {
        let x = t as f64 - centre;
        cross += x * (v - mean);
        squares += x * x;
    }
    let slope = if squares > 0.0 { cross / squares } else { 0.0 };
    (mean - slope * (centre + 1.0), slope)
}

/// Autocorrelation at `lag`, 0 for a constant series.
pub(crate) fn autocorrelation(y: &[f64], lag: usize) -> f64 {
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let total: f64 = y.iter().map(|v| (v - mean).powi(2)).sum();
    if lag >= y.len() || total <= 0.0 {
        return 0.0;
    }
    let cross: f64 = y[lag..].iter().zip(y).map(|(a, b)| (a - mean) * (b - mean)).sum();
    cross / total
}

/// Whether the autocorrelation at the seasonal lag stands out at 90 %.
pub(crate) fn is_seasonal(y: &[f64], m: usize) -> bool {
    if m < 2 || y.len() < 3 * m {
        return false;
    }
    let at: Vec<f64> = (1..=m).map(|lag| autocorrelation(y, lag)).collect();
    let variance = 1.0 + 2.0 * at[..m - 1].iter().map(|r| r * r).sum::<f64>();
    at[m - 1].abs() > 1.645 * (variance / y.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_averages_match_their_definition() {
        let y: Vec<f64> = (0..20).map(|t| f64::from(t * t % 7)).collect();
        let odd = moving_average(&y, 3);
        assert_eq!(odd.len(), 18);
        let even = moving_average(&y, 4);
        assert_eq!(even.len(), 16);
        for i in 0..16 {
            let slow = (0.5 * y[i] + y[i + 1] + y[i + 2] + y[i + 3] + 0.5 * y[i + 4]) / 4.0;
            assert!((even[i] - slow).abs() < 1e-12);
            assert!((odd[i] - (y[i] + y[i + 1] + y[i + 2]) / 3.0).abs() < 1e-12);
        }
    }

    #[test]
    fn indices_find_an_exact_season() {
        let season = [3.0, -1.0, -4.0, 2.0];
        let y: Vec<f64> = (0..40).map(|t| 10.0 + 0.5 * t as f64 + season[t % 4]).collect();
        let found = indices(&y, 4, false);
        for (f, s) in found.iter().zip(season) {
            assert!((f - s).abs() < 1e-9, "{found:?}");
        }
        assert!(is_seasonal(&y, 4));
        assert!(!is_seasonal(&[1.0; 40], 4));
    }

    #[test]
    fn lines_start_one_step_before_the_first_cell() {
        let (before, slope) = line(&[5.0, 7.0, 9.0]);
        assert!((before - 3.0).abs() < 1e-12 && (slope - 2.0).abs() < 1e-12);
    }
}
