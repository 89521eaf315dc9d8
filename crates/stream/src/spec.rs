//! What a standing query is: a selection, a grouping, a window and what to compute.

use std::collections::BTreeSet;

use series::{METRIC_NAME, Matcher, Millis};
use sketch::wire::{hash_bytes, put_bytes, put_f64, put_signed, put_varint};

use crate::error::StreamError;

/// Longest window in slides: bounds the panes a group keeps.
const PANES_MAX: i64 = 1440;
const OPERATORS_MAX: usize = 8;
const PERCENTILES_MAX: usize = 32;
const BY_MAX: usize = 16;

/// A standing query. See `queries/streams` for the same in YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSpec {
    /// Value of the label `stream` on every result; letters, digits, `_` and `-`.
    pub name: String,
    /// Which series: all must match.
    pub matchers: Vec<Matcher>,
    /// Labels that make a group; a series without one has it empty.
    pub by: Vec<String>,
    /// How samples become values.
    pub value: ValueKind,
    /// How far back percentiles, means, rates, counts and trends look; a multiple of `slide`, at most 1,440 of them.
    pub window: Millis,
    /// How often results appear; at least the scrape interval of the series. Anomalies are judged once a slide.
    pub slide: Millis,
    /// How long after the newest sample an older one is still taken.
    pub lateness: Millis,
    /// What to compute, each kind at most once.
    pub operators: Vec<Operator>,
}

/// How samples of a series become values of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// The samples themselves; a group's value in a slide is their mean.
    Gauge,
    /// A counter's increase per second between neighbouring samples (a fall is a reset to zero); a group's value in a slide is
    /// the sum of its series' rates.
    Rate,
    /// Classic histogram series with `le`; a group's value in a slide is its highest percentile asked for (else 0.99).
    HistogramBuckets,
}

/// Something to compute for every group.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Quantiles (0 to 1) of all values in the window, within 1 %; interpolated from buckets for histograms.
    Percentiles(Vec<f64>),
    /// Robust trend over the window's slide values, and days until it meets `limit`.
    Trend {
        /// The value that must not be reached.
        limit: Option<f64>,
        /// Speak of it as an event when it is nearer than this (7 days unless given).
        within: Option<Millis>,
    },
    /// Online anomaly score of the slide values, with events.
    Anomaly {
        /// How rare must it be.
        sensitivity: Sensitivity,
        /// Length of the season; one day unless given.
        season: Option<Millis>,
    },
    /// Per-second rate over the window, for counters (increase) and histograms (observations).
    Rate,
    /// Number in the window: samples of a gauge, increase of a counter, observations of a histogram.
    Count,
    /// Mean of the slide values in the window.
    Mean,
    /// Exponentially weighted mean of the slide values.
    Ewma {
        /// After this long a value weighs half.
        half_life: Millis,
    },
}

/// How rare a value must be to score 0.5, where events begin, by what the series did before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sensitivity {
    /// As one value in 300 days.
    Low,
    /// As one value in 60 days.
    #[default]
    Normal,
    /// As one value in 12 days.
    High,
    /// The simple rule: this many standard deviations from a moving mean (2.5 is common). No season, no calibration.
    Sigma(f64),
}

impl StreamSpec {
    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// [`StreamError::Spec`] names the field and what to write.
    pub fn check(&self) -> Result<(), StreamError> {
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 128 || !self.name.chars().all(named) {
            return self.fault("name", "write 1 to 128 letters, digits, `_` or `-`".to_owned());
        }
        if self.matchers.iter().all(Matcher::matches_absent) {
            return self.fault("selector", "it matches every series; name a metric or a label value".to_owned());
        }
        self.check_by()?;
        self.check_times()?;
        self.check_operators()
    }

    fn check_by(&self) -> Result<(), StreamError> {
        if self.by.len() > BY_MAX {
            return self.fault("by", format!("{} labels, at most {BY_MAX} make a group", self.by.len()));
        }
        if self.by.iter().collect::<BTreeSet<_>>().len() < self.by.len() {
            return self.fault("by", "a label appears twice; name each once".to_owned());
        }
        let reserved = [METRIC_NAME, "stream", "quantile", "le", ""];
        match self.by.iter().find(|label| reserved.contains(&label.as_str())) {
            Some(label) => {
                self.fault("by", format!("`{label}` is set by the results themselves; group by other labels"))
            }
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), StreamError> {
        const WEEK: i64 = 7 * 86_400_000;
        let (window, slide, lateness) = (self.window.0, self.slide.0, self.lateness.0);
        if !(100..=WEEK).contains(&slide) {
            return self.fault("slide", format!("{} is not within 100ms to 7d", self.slide));
        }
        if window < slide || window % slide != 0 || window / slide > PANES_MAX {
            return self
                .fault("window", format!("{} is not 1 to {PANES_MAX} times the slide of {}", self.window, self.slide));
        }
        if !(0..=86_400_000).contains(&lateness) {
            return self.fault("lateness", format!("{} is not within 0s to 1d", self.lateness));
        }
        Ok(())
    }

    fn check_operators(&self) -> Result<(), StreamError> {
        if self.operators.is_empty() || self.operators.len() > OPERATORS_MAX {
            return self.fault("operators", format!("{} of them; write 1 to {OPERATORS_MAX}", self.operators.len()));
        }
        let mut seen = BTreeSet::new();
        for operator in &self.operators {
            if !seen.insert(operator.name()) {
                return self.fault(
                    "operators",
                    format!("`{}` appears twice; a second needs a second stream", operator.name()),
                );
            }
            if let Err(why) = self.check_operator(operator) {
                return self.fault("operators", why);
            }
        }
        Ok(())
    }

    fn check_operator(&self, operator: &Operator) -> Result<(), String> {
        match operator {
            Operator::Percentiles(qs) if qs.is_empty() || qs.len() > PERCENTILES_MAX => {
                Err(format!("percentiles: {} of them; write 1 to {PERCENTILES_MAX}", qs.len()))
            }
            Operator::Percentiles(qs) => match qs.iter().find(|q| !(0.0..=1.0).contains(*q)) {
                Some(q) => Err(format!("percentiles: {q} is not within 0 to 1; write 0.99, not 99")),
                None => Ok(()),
            },
            Operator::Trend { .. } if self.window.0 / self.slide.0 < 3 => {
                Err(format!("trend: a window of {} has fewer than three slides of {}", self.window, self.slide))
            }
            Operator::Trend { limit: Some(limit), .. } if !limit.is_finite() => {
                Err(format!("trend: limit {limit} is not finite"))
            }
            Operator::Trend { within: Some(within), .. } if within.0 <= 0 => {
                Err(format!("trend: within {within} is not positive"))
            }
            Operator::Anomaly { season: Some(season), .. } if season.0 < 4 * self.slide.0 => {
                Err(format!("anomaly: a season of {season} has fewer than four slides of {}", self.slide))
            }
            Operator::Anomaly { sensitivity: Sensitivity::Sigma(sigma), .. } if !(0.5..=100.0).contains(sigma) => {
                Err(format!("anomaly: {sigma} standard deviations are not within 0.5 to 100"))
            }
            Operator::Ewma { half_life } if half_life.0 <= 0 => {
                Err(format!("ewma: half-life {half_life} is not positive"))
            }
            Operator::Rate if self.value == ValueKind::Gauge => {
                Err("rate: a gauge has none; use value `rate` for a counter, or `trend` for a gauge".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn fault(&self, field: &'static str, why: String) -> Result<(), StreamError> {
        Err(StreamError::Spec { stream: self.name.clone(), field, why })
    }

    /// Hash of all that decides what the state means; a checkpoint only fits the same definition.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, self.name.as_bytes());
        let list = self.matchers.iter().map(ToString::to_string).chain(self.by.iter().cloned());
        list.for_each(|text| put_bytes(&mut bytes, text.as_bytes()));
        bytes.push(self.value as u8);
        [self.window, self.slide, self.lateness].iter().for_each(|span| put_signed(&mut bytes, span.0));
        for operator in &self.operators {
            put_bytes(&mut bytes, operator.name().as_bytes());
            operator.put_parameters(&mut bytes);
        }
        hash_bytes(&bytes)
    }

    /// The percentile that stands for a histogram as one value.
    pub(crate) fn headline_quantile(&self) -> f64 {
        let listed = self.operators.iter().find_map(|operator| match operator {
            Operator::Percentiles(qs) => qs.iter().copied().reduce(f64::max),
            _ => None,
        });
        listed.unwrap_or(0.99)
    }
}

impl Operator {
    /// The word used in YAML and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Percentiles(_) => "percentiles",
            Self::Trend { .. } => "trend",
            Self::Anomaly { .. } => "anomaly",
            Self::Rate => "rate",
            Self::Count => "count",
            Self::Mean => "mean",
            Self::Ewma { .. } => "ewma",
        }
    }

    fn put_parameters(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Percentiles(qs) => {
                put_varint(bytes, qs.len() as u64);
                qs.iter().for_each(|&q| put_f64(bytes, q));
            }
            Self::Trend { limit, within } => {
                put_f64(bytes, limit.unwrap_or(f64::NAN));
                put_signed(bytes, within.map_or(-1, |span| span.0));
            }
            Self::Anomaly { sensitivity, season } => {
                put_f64(bytes, sensitivity.code());
                put_signed(bytes, season.map_or(-1, |span| span.0));
            }
            Self::Ewma { half_life } => put_signed(bytes, half_life.0),
            Self::Rate | Self::Count | Self::Mean => {}
        }
    }
}

impl Sensitivity {
    /// Number that tells sensitivities apart in bytes: sigmas are positive, the named ones negative.
    pub(crate) fn code(self) -> f64 {
        match self {
            Self::Low => -1.0,
            Self::Normal => -2.0,
            Self::High => -3.0,
            Self::Sigma(sigma) => sigma,
        }
    }

    pub(crate) fn from_code(code: f64) -> Option<Self> {
        match code {
            -1.0 => Some(Self::Low),
            -2.0 => Some(Self::Normal),
            -3.0 => Some(Self::High),
            sigma if sigma > 0.0 && sigma.is_finite() => Some(Self::Sigma(sigma)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec {
            name: "latency".into(),
            matchers: vec![Matcher::equal(METRIC_NAME, "x")],
            by: vec!["job".into()],
            value: ValueKind::Gauge,
            window: Millis::from_mins(5),
            slide: Millis::from_mins(1),
            lateness: Millis::from_secs(30),
            operators: vec![Operator::Percentiles(vec![0.5])],
        }
    }

    #[test]
    fn faults_name_the_field() {
        type Change = fn(&mut StreamSpec);
        let cases: [(&str, Change); 9] = [
            ("name", |s| s.name = "a b".into()),
            ("selector", |s| s.matchers.clear()),
            ("by", |s| s.by = vec!["quantile".into()]),
            ("by", |s| s.by = vec!["a".into(), "a".into()]),
            ("window", |s| s.window = Millis(90_000)),
            ("slide", |s| s.slide = Millis(0)),
            ("lateness", |s| s.lateness = Millis(-1)),
            ("operators", |s| s.operators = vec![Operator::Percentiles(vec![99.0])]),
            ("operators", |s| s.operators = vec![Operator::Rate]),
        ];
        assert_eq!(spec().check(), Ok(()));
        for (expected, change) in cases {
            let mut changed = spec();
            change(&mut changed);
            match changed.check() {
                Err(StreamError::Spec { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
            assert_ne!(changed.fingerprint(), spec().fingerprint(), "{expected}");
        }
    }
}
