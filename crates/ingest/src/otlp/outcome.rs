//! What became of an OTLP request: counts, and the points that were refused with the reason.

use std::borrow::Cow;
use std::fmt;

use crate::outcome::shorten;

/// Reasons kept apart; a request with more says so.
const REASONS_MAX: usize = 16;

/// Counts of one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtlpOutcome {
    /// Points met.
    pub points: u64,
    /// Points refused.
    pub points_refused: u64,
    /// Series opened.
    pub series: u64,
    /// Samples and native histograms in the batch; a point may be several.
    pub samples: u64,
    /// Exemplars not kept because their labels are too long.
    pub exemplars_skipped: u64,
    /// Why points were refused.
    pub refused: Vec<PointRefusal>,
}

/// A reason with the number of points it cost and the first metric it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointRefusal {
    /// Why.
    pub why: String,
    /// How many points.
    pub points: u64,
    /// Name of the first metric.
    pub metric: String,
}

impl OtlpOutcome {
    /// Counts a refused point.
    pub(crate) fn refuse(&mut self, why: Cow<'static, str>, metric: &str) {
        self.points_refused += 1;
        if let Some(known) = self.refused.iter_mut().find(|refusal| refusal.why == why) {
            known.points += 1;
        } else if self.refused.len() < REASONS_MAX {
            self.refused.push(PointRefusal { why: why.into_owned(), points: 1, metric: shorten(metric) });
        }
    }
}

/// The message of a partial success; empty when all points were taken.
impl fmt::Display for OtlpOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, refusal) in self.refused.iter().enumerate() {
            let PointRefusal { why, points, metric } = refusal;
            write!(f, "{}{points} points refused: {why} (first of {metric})", if i > 0 { "; " } else { "" })?;
        }
        let told: u64 = self.refused.iter().map(|refusal| refusal.points).sum();
        if told < self.points_refused {
            write!(f, "; {} points refused for other reasons", self.points_refused - told)?;
        }
        Ok(())
    }
}
