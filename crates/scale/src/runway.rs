//! Capacity: how long until a resource is full.
//!
//! The history becomes maxima of at most 90 bins, a robust line (Theil–Sen) gives the growth, and 400 simulated futures
//! give the range: each redraws the slope (residuals resampled in blocks, line fitted again) and walks on with
//! autocorrelated noise drawn from what was seen. A level that stays where it was put (a disk after a clean-up) starts
//! where it is; one that swings around its line returns to it.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::cost::Prices;
use crate::lenient;
use crate::random::SplitMix64;
use crate::recommendation::Confidence;
use crate::robust::{self, Line};
use crate::signals::Reading;

const DAY_MS: f64 = 86_400_000.0;
const MAX_BINS: i64 = 90;
const PATHS: usize = 400;

/// Use of one resource over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceHistory {
    /// `kind/namespace/name`, or any name: `db-0 disk`.
    pub resource: String,
    /// Used bytes (or other units), any order.
    pub used: Vec<Reading>,
    /// What fits, in the unit of `used`, positive.
    pub limit: f64,
    /// Whether the unit is bytes, so that sizes print and are priced as such.
    pub in_bytes: bool,
    /// PromQL that shows the use.
    pub evidence_query: String,
}

/// How to look ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunwayPolicy {
    /// Share of the limit that counts as full, in (0, 1].
    pub threshold: f64,
    /// How far back.
    #[serde(with = "lenient::span")]
    pub window: Millis,
    /// How far ahead; later is "not in sight".
    #[serde(with = "lenient::span")]
    pub horizon: Millis,
    /// With less history there is no answer.
    #[serde(with = "lenient::span")]
    pub min_history: Millis,
    /// How long before the early end of the range to act.
    #[serde(with = "lenient::span")]
    pub provision: Millis,
    /// How long the added capacity should last at the fast end of growth.
    #[serde(with = "lenient::span")]
    pub lasts: Millis,
    /// Seed of the simulation: the same seed gives the same range.
    pub seed: u64,
}

impl Default for RunwayPolicy {
    fn default() -> Self {
        Self {
            threshold: 0.9,
            window: Millis::from_days(90),
            horizon: Millis::from_days(730),
            min_history: Millis::from_days(3),
            provision: Millis::from_days(3),
            lasts: Millis::from_days(90),
            seed: 1,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunwayError {
    /// The limit is not a positive number.
    #[error("runway of `{resource}`: the limit is {limit}, it must be positive")]
    Limit {
        /// Which resource.
        resource: String,
        /// What was given.
        limit: f64,
    },
    /// Too little history.
    #[error("runway of `{resource}`: {days:.1} days of history, {needed:.1} needed")]
    TooShort {
        /// Which resource.
        resource: String,
        /// What there is.
        days: f64,
        /// What is needed.
        needed: f64,
    },
    /// A setting is out of range.
    #[error("runway policy: {field} is {value}, it must be {rule}")]
    Policy {
        /// Field name.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runway {
    /// Which resource.
    pub resource: String,
    /// When it was computed, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// Used now, in the unit of the history.
    pub used: f64,
    /// What fits.
    pub limit: f64,
    /// Whether the unit is bytes.
    pub in_bytes: bool,
    /// Share of the limit that counts as full.
    pub threshold: f64,
    /// Growth a day, in the unit of the history.
    pub growth_per_day: f64,
    /// Days until the threshold: a tenth of the futures is earlier. `None`: not within the horizon.
    pub days_p10: Option<f64>,
    /// Days until the threshold: half of the futures are earlier.
    pub days_p50: Option<f64>,
    /// Days until the threshold: nine tenths of the futures are earlier.
    pub days_p90: Option<f64>,
    /// What to add, in the unit of the history; `None` when nothing needs to be done.
    pub add: Option<f64>,
    /// Before when, milliseconds UTC.
    #[serde(with = "lenient::instant_opt", rename = "add_before_ms")]
    pub add_before: Option<Timestamp>,
    /// What the addition costs a month (bytes are priced as disk).
    pub cost_monthly: f64,
    /// Days of history used.
    pub history_days: f64,
    /// How sure.
    pub confidence: Confidence,
    /// For people: `full in 23 days (17–34)`, `never at this trend`.
    pub summary: String,
    /// PromQL that shows the use.
    pub evidence_query: String,
}

/// Looks ahead from `now`. Pure; the seed is in the policy.
///
/// # Errors
/// [`RunwayError`] for a bad limit or setting and for too little history.
pub fn runway(
    now: Timestamp,
    history: &ResourceHistory,
    policy: &RunwayPolicy,
    prices: &Prices,
) -> Result<Runway, RunwayError> {
    check(history, policy)?;
    let usable = |r: &&Reading| r.value.is_finite() && r.value >= 0.0 && r.at <= now && now - r.at <= policy.window;
    let mut used: Vec<Reading> = history.used.iter().filter(usable).copied().collect();
    used.sort_unstable_by(|a, b| a.at.cmp(&b.at).then(a.value.total_cmp(&b.value)));
    let (days, needed) = (span_days(&used), policy.min_history.0 as f64 / DAY_MS);
    let too_short = || RunwayError::TooShort { resource: history.resource.clone(), days, needed };
    let (bins, bin_days) = bins(now, &used);
    let line = robust::theil_sen(&bins).filter(|_| days >= needed && bins.len() >= 8).ok_or_else(too_short)?;
    let last = used.last().map(|reading| reading.value).ok_or_else(too_short)?;

    let full = history.limit * policy.threshold;
    let futures = simulate(&bins, line, last, full, bin_days, policy);
    let [days_p10, days_p50, days_p90] = [0.1, 0.5, 0.9].map(|q| quantile_of(&futures.days, q));
    let growth = line.slope / bin_days;
    let fast = robust::quantile(&futures.slopes, 0.9).unwrap_or(line.slope) / bin_days;
    let early = days_p10.filter(|days| *days <= policy.horizon.0 as f64 / DAY_MS);
    let add = days_p50
        .and(early)
        .map(|_| sensible(last + fast.max(growth) * policy.lasts.0 as f64 / DAY_MS, policy, history));
    let add = add.filter(|add| *add > 0.0);
    let before = |days: f64| (now + Millis((days * DAY_MS) as i64) - policy.provision).max(now);
    Ok(Runway {
        resource: history.resource.clone(),
        at: now,
        used: last,
        limit: history.limit,
        in_bytes: history.in_bytes,
        threshold: policy.threshold,
        growth_per_day: growth,
        days_p10,
        days_p50,
        days_p90,
        add,
        add_before: add.and(early).map(before),
        cost_monthly: add.filter(|_| history.in_bytes).map_or(0.0, |bytes| prices.disk_monthly(bytes)),
        history_days: (days * 10.0).round() / 10.0,
        confidence: confidence(days, days_p10, days_p90),
        summary: summary(days_p10, days_p50, days_p90),
        evidence_query: history.evidence_query.clone(),
    })
}

fn check(history: &ResourceHistory, policy: &RunwayPolicy) -> Result<(), RunwayError> {
    if !history.limit.is_finite() || history.limit <= 0.0 {
        return Err(RunwayError::Limit { resource: history.resource.clone(), limit: history.limit });
    }
    let day = Millis::from_days(1);
    let in_range = |span: Millis, most: i64| span >= day && span <= Millis::from_days(most);
    let days = |span: Millis| span.0 as f64 / DAY_MS;
    let rules = [
        ("threshold", policy.threshold, policy.threshold > 0.0 && policy.threshold <= 1.0, "in (0, 1]"),
        ("window (days)", days(policy.window), in_range(policy.window, 3660), "from 1d to 10y"),
        ("horizon (days)", days(policy.horizon), in_range(policy.horizon, 3660), "from 1d to 10y"),
        (
            "min_history (days)",
            days(policy.min_history),
            policy.min_history.0 > 0 && policy.min_history <= policy.window,
            "positive and inside the window",
        ),
        (
            "provision (days)",
            days(policy.provision),
            policy.provision.0 >= 0 && policy.provision <= Millis::from_days(366),
            "from 0s to 1y",
        ),
        ("lasts (days)", days(policy.lasts), in_range(policy.lasts, 3660), "from 1d to 10y"),
    ];
    match rules.into_iter().find(|rule| !rule.2) {
        Some((field, value, _, rule)) => Err(RunwayError::Policy { field, value, rule }),
        None => Ok(()),
    }
}

fn span_days(used: &[Reading]) -> f64 {
    match (used.first(), used.last()) {
        (Some(first), Some(last)) => (last.at - first.at).0 as f64 / DAY_MS,
        _ => 0.0,
    }
}

/// Maxima of equal bins that end at `now`, as `(bins before now ≤ 0, value)`, and the width of a bin in days. A fortnight
/// or more is cut into days, so that the rhythm of a day is inside a bin and not in the noise.
fn bins(now: Timestamp, used: &[Reading]) -> (Vec<(f64, f64)>, f64) {
    let span = used.first().map_or(0, |first| (now - first.at).0);
    let least = if span >= 14 * 86_400_000 { 86_400_000 } else { 3_600_000 };
    let width = least.max((span / MAX_BINS).saturating_add(1));
    let mut bins: Vec<(f64, f64)> = Vec::new();
    for reading in used {
        let place = -(((now - reading.at).0 / width) as f64);
        match bins.last_mut() {
            Some(bin) if bin.0 == place => bin.1 = bin.1.max(reading.value),
            _ => bins.push((place, reading.value)),
        }
    }
    (bins, width as f64 / DAY_MS)
}

/// Days to the threshold (infinite beyond the horizon) and slopes a bin, one of each a path.
struct Futures {
    days: Vec<f64>,
    slopes: Vec<f64>,
}

fn simulate(bins: &[(f64, f64)], line: Line, last: f64, full: f64, bin_days: f64, policy: &RunwayPolicy) -> Futures {
    let residuals: Vec<f64> = bins.iter().map(|bin| bin.1 - line.at(bin.0)).collect();
    let persistence = autocorrelation(&residuals);
    let shocks = shocks(&residuals, persistence);
    let mut random = SplitMix64::new(policy.seed);
    let steps = (policy.horizon.0 as f64 / DAY_MS / bin_days).ceil() as usize;
    // A persistent residual is a level that was put there; a fleeting one fades back to the line.
    let (base, mut start) = (line.at(0.0), last - line.at(0.0));
    let stays = persistence >= 0.8 || has_shifted(&residuals);
    let base = if stays { base + std::mem::take(&mut start) } else { base };
    let mut futures = Futures { days: Vec::with_capacity(PATHS), slopes: Vec::with_capacity(PATHS) };
    for _ in 0..PATHS {
        let slope = redraw_slope(bins, line, &residuals, &mut random);
        futures.slopes.push(slope);
        let mut wave = start;
        let crossed = (0..=steps).find(|&step| {
            if step > 0 {
                wave = persistence * wave + shocks[random.below(shocks.len())];
            }
            let level = base + slope * step as f64 + wave;
            if step == 0 { last >= full } else { level >= full }
        });
        futures.days.push(crossed.map_or(f64::INFINITY, |step| step as f64 * bin_days));
    }
    futures
}

/// Whether the last three bins all lie on one side of the line, farther than three times the usual distance.
fn has_shifted(residuals: &[f64]) -> bool {
    let distances: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
    let usual = robust::median(&distances).unwrap_or(0.0);
    let last = residuals.last_chunk::<3>();
    last.is_some_and(|last| last.iter().all(|r| *r > 3.0 * usual) || last.iter().all(|r| *r < -3.0 * usual))
}

/// First-order autocorrelation, clipped to `[0, 0.98]` so that the noise of a path stays bounded.
fn autocorrelation(residuals: &[f64]) -> f64 {
    let energy: f64 = residuals.iter().map(|r| r * r).sum();
    let product: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if energy > 0.0 { (product / energy).clamp(0.0, 0.98) } else { 0.0 }
}

/// What each residual adds to the one before, centred; never empty.
fn shocks(residuals: &[f64], persistence: f64) -> Vec<f64> {
    let mut shocks: Vec<f64> = residuals.windows(2).map(|pair| pair[1] - persistence * pair[0]).collect();
    if shocks.is_empty() {
        shocks.push(0.0);
    }
    // The mean, not the median: what is left of it would be added again at every step and bend the path.
    let mean = shocks.iter().sum::<f64>() / shocks.len() as f64;
    shocks.iter_mut().for_each(|shock| *shock -= mean);
    shocks
}

/// A slope that could have been fitted as well: moving blocks of residuals (Künsch 1989) on the line, fitted again.
fn redraw_slope(bins: &[(f64, f64)], line: Line, residuals: &[f64], random: &mut SplitMix64) -> f64 {
    let length = (residuals.len() as f64).sqrt().ceil() as usize;
    let mut drawn = Vec::with_capacity(bins.len());
    while drawn.len() < bins.len() {
        let from = random.below(residuals.len() - length + 1);
        for residual in &residuals[from..from + length] {
            if let Some(bin) = bins.get(drawn.len()) {
                drawn.push((bin.0, line.at(bin.0) + residual));
            }
        }
    }
    robust::theil_sen(&drawn).map_or(line.slope, |line| line.slope)
}

/// Infinite futures sort last; a quantile among them is "not in sight".
fn quantile_of(days: &[f64], q: f64) -> Option<f64> {
    let mut sorted = days.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = ((sorted.len().saturating_sub(1)) as f64 * q).round() as usize;
    sorted.get(place).copied().filter(|days| days.is_finite()).map(|days| (days * 10.0).round() / 10.0)
}

/// What to add so that `need` stays under the threshold, rounded up to a size that can be bought: one, two or five
/// times a power of ten of units, or a power of two of GiB.
fn sensible(need: f64, policy: &RunwayPolicy, history: &ResourceHistory) -> f64 {
    let missing = need / policy.threshold - history.limit;
    if missing <= 0.0 {
        return 0.0;
    }
    if history.in_bytes {
        let gib = (missing / 1_073_741_824.0).max(1.0);
        return gib.log2().ceil().exp2() * 1_073_741_824.0;
    }
    let magnitude = 10f64.powf(missing.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|size| *size >= missing).unwrap_or(missing)
}

fn confidence(days: f64, early: Option<f64>, late: Option<f64>) -> Confidence {
    let spread = match (early, late) {
        (Some(early), Some(late)) => (late - early) / late.max(1.0),
        (None, None) => 0.0,
        _ => 1.0,
    };
    match () {
        () if days >= 28.0 && spread < 0.6 => Confidence::High,
        () if days >= 14.0 && spread < 0.9 => Confidence::Medium,
        () => Confidence::Low,
    }
}

fn summary(early: Option<f64>, middle: Option<f64>, late: Option<f64>) -> String {
    let day = |days: Option<f64>| days.map_or("later than the horizon".to_owned(), |days| format!("{days:.0}"));
    match (early, middle) {
        (_, Some(0.0)) => "over the threshold now".into(),
        (Some(_), Some(middle)) => format!("full in {middle:.0} days ({}–{})", day(early), day(late)),
        (Some(early), None) => format!("never at this trend; one future in ten is full within {early:.0} days"),
        _ => "never at this trend".into(),
    }
}
