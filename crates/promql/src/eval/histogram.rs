//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction` over native histograms and over `le` buckets.

use std::collections::HashMap;

use series::Labels;

use super::context::{Context, Hints, Steps};
use super::error::EvalError;
use super::notes::of_metric;
use super::rows::{ABSENT, Row, is_absent, join_equal};
use crate::ast::{Expr, Span};
use crate::native;
use crate::number::{format_open_metrics, parse_float};

/// Label of a bucket's upper bound.
const BOUND: &str = "le";

/// Relative difference below which two neighbouring counts are the same but for rounding.
const COUNT_TOLERANCE: f64 = 1e-12;

/// Buckets that a histogram has more or less, for weighing work.
const BUCKETS_USUAL: usize = 12;

/// The buckets of one histogram: bounds rising, equal bounds side by side.
struct Histogram {
    labels: Labels,
    drop_name: bool,
    buckets: Vec<(f64, Vec<f64>)>,
}

/// One bucket at one step: upper bound, cumulative count.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// What the functions work on. Where a native and a classic histogram share name and labels, neither is there.
struct Histograms {
    classic: Vec<Histogram>,
    native: Vec<Row>,
}

impl Context<'_> {
    pub(crate) fn histogram_quantile(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let phis = self.scalar(&args[0], steps)?;
        let histograms = self.histograms(&args[1], steps)?;
        self.doubt_quantiles(&phis, args[0].span);
        self.quantile_rows(&histograms, &phis, args[1].span, steps)
    }

    pub(crate) fn histogram_quantiles(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let name = self.text(&args[1])?;
        if name.is_empty() {
            return Err(EvalError::BadLabelName { found: name });
        }
        let histograms = self.histograms(&args[0], steps)?;
        let mut rows = Vec::new();
        for arg in &args[2..] {
            let phis = self.scalar(arg, steps)?;
            self.doubt_quantiles(&phis, arg.span);
            for row in self.quantile_rows(&histograms, &phis, args[0].span, steps)? {
                if row.labels.get(&name).is_some() {
                    return Err(EvalError::BadLabelName { found: format!("{name} (it is taken already)") });
                }
                rows.extend(by_quantile(&row, &name, &phis));
            }
        }
        join_equal(rows)
    }

    pub(crate) fn histogram_fraction(&self, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let (lower, upper) = (self.scalar(&args[0], steps)?, self.scalar(&args[1], steps)?);
        let histograms = self.histograms(&args[2], steps)?;
        let native = histograms.native.iter().filter_map(|row| {
            self.estimates((row, args[2].span), steps.n, |i, histogram| native::fraction(lower[i], upper[i], histogram))
        });
        let classic = histograms
            .classic
            .iter()
            .map(|histogram| histogram.row(steps, |i, buckets| fraction(lower[i], upper[i], buckets)));
        Ok(native.chain(classic).collect())
    }

    fn quantile_rows(
        &self,
        histograms: &Histograms,
        phis: &[f64],
        span: Span,
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        let (native, classic) = (&histograms.native, &histograms.classic);
        let rows = self.each(native.len() + classic.len(), steps.n * BUCKETS_USUAL, |i| match native.get(i) {
            Some(row) => Ok(self.estimates((row, span), steps.n, |i, histogram| native::quantile(phis[i], histogram))),
            None => Ok(Some(self.quantile_row(&classic[i - native.len()], phis, span, steps))),
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn quantile_row(&self, histogram: &Histogram, phis: &[f64], span: Span, steps: &Steps) -> Row {
        let mut forced = false;
        let row = histogram.row(steps, |i, buckets| {
            let (value, repaired) = quantile(phis[i], buckets);
            forced |= repaired;
            value
        });
        if forced {
            let note = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                of_metric(histogram.labels.metric())
            );
            self.inform(span, note);
        }
        row
    }

    /// Groups `le` series into histograms, in order of first appearance.
    fn histograms(&self, arg: &Expr, steps: &Steps) -> Result<Histograms, EvalError> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let (mut classic, mut native): (Vec<Histogram>, Vec<Row>) = (Vec::new(), Vec::new());
        // Hints matter to no estimate, whatever stands further out.
        for mut row in self.with_hints(Hints::Forgotten, || self.rows(arg, steps))? {
            if !row.natives.is_none() {
                let natives = std::mem::take(&mut row.natives);
                native.push(Row { natives, ..Row::floats(row.labels.clone(), row.drop_name, vec![ABSENT; steps.n]) });
            }
            if row.is_empty() {
                continue;
            }
            let Some(bound) = row.labels.get(BOUND).and_then(parse_float) else {
                let (name, found) = (row.labels.metric(), row.labels.get(BOUND).unwrap_or(""));
                let note = format!(
                    "bucket label {BOUND:?} is missing or has a malformed value of {found:?}{}",
                    of_metric(name)
                );
                self.warn(arg.span, note);
                continue;
            };
            let labels = without_bound(&row.labels);
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                classic.push(Histogram { labels, drop_name: true, buckets: Vec::new() });
                classic.len() - 1
            });
            classic[place].buckets.push((bound, row.values));
        }
        for row in &mut native {
            if let Some(place) = places.get(&without_bound(&row.labels)) {
                self.part(row, &mut classic[*place], arg.span);
            }
        }
        for histogram in &mut classic {
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(Histograms { classic, native })
    }

    /// Removes both of a native and a classic histogram where both are present.
    fn part(&self, native: &mut Row, classic: &mut Histogram, span: Span) {
        let present: Vec<usize> = native.natives.iter().map(|(i, _)| i).collect();
        let mut met = false;
        for i in present {
            if classic.buckets.iter().any(|(_, counts)| !is_absent(counts[i])) {
                met = true;
                native.clear(i);
                classic.buckets.iter_mut().for_each(|(_, counts)| counts[i] = ABSENT);
            }
        }
        if met {
            let metric = of_metric(native.labels.metric());
            self.warn(span, format!("vector contains a mix of classic and native histograms{metric}"));
        }
    }
}

fn without_bound(labels: &Labels) -> Labels {
    labels.project(&[BOUND.to_owned()], false)
}

impl Histogram {
    /// `f` of the present buckets at each step that has some. Counts of equal bounds, as after a change of label spelling
    /// (`1` and `1.0`), are added up.
    fn row(&self, steps: &Steps, mut f: impl FnMut(usize, &mut [Bucket]) -> f64) -> Row {
        let mut present: Vec<Bucket> = Vec::with_capacity(self.buckets.len());
        let value = |i: usize| {
            present.clear();
            for (bound, counts) in &self.buckets {
                match (counts[i], present.last_mut()) {
                    (count, _) if is_absent(count) => {}
                    (count, Some(last)) if last.bound == *bound => last.count += count,
                    (count, _) => present.push(Bucket { bound: *bound, count }),
                }
            }
            if present.is_empty() { ABSENT } else { f(i, &mut present) }
        };
        let values = (0..steps.n).map(value).collect();
        Row::floats(self.labels.clone(), self.drop_name, values)
    }
}

/// One row per distinct φ, labelled with it.
fn by_quantile(row: &Row, name: &str, phis: &[f64]) -> Vec<Row> {
    let mut rows: Vec<(u64, Row)> = Vec::new();
    for (i, phi) in phis.iter().enumerate().filter(|(i, _)| row.is_present(*i)) {
        let place = rows.iter().position(|(bits, _)| *bits == phi.to_bits()).unwrap_or_else(|| {
            let labels = row.labels.to_builder().set(name, &format_open_metrics(*phi)).build();
            rows.push((phi.to_bits(), Row::floats(labels, true, vec![ABSENT; phis.len()])));
            rows.len() - 1
        });
        rows[place].1.values[i] = row.values[i];
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Makes counts rise: differences of rounding are levelled silently, real falls are reported.
fn repair(buckets: &mut [Bucket]) -> bool {
    let Some(first) = buckets.first() else { return false };
    let (mut before, mut forced) = (first.count, false);
    for bucket in buckets.iter_mut().skip(1) {
        let difference = (bucket.count - before).abs();
        if difference != 0.0 && difference / bucket.count <= COUNT_TOLERANCE {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    let mut top = buckets[0].count;
    for bucket in buckets.iter_mut().skip(1) {
        if bucket.count > top {
            top = bucket.count;
        } else if bucket.count < top {
            bucket.count = top;
            forced = true;
        }
    }
    forced
}

/// φ-quantile by straight lines inside buckets, and whether counts had to be repaired.
fn quantile(phi: f64, buckets: &mut [Bucket]) -> (f64, bool) {
    if phi.is_nan() {
        return (f64::NAN, false);
    }
    if !(0.0..=1.0).contains(&phi) {
        return (if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, false);
    }
    let last = buckets.len() - 1;
    if buckets[last].bound != f64::INFINITY {
        return (f64::NAN, false);
    }
    let forced = repair(buckets);
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 || observations.is_nan() {
        return (f64::NAN, false);
    }
    let mut rank = phi * observations;
    let at = buckets[..last].iter().position(|bucket| bucket.count >= rank).unwrap_or(last);
    if at == last {
        return (buckets[last - 1].bound, forced);
    }
    if at == 0 && buckets[0].bound <= 0.0 {
        return (buckets[0].bound, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[at].bound, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// Share of the observations between two values, by straight lines inside buckets.
fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    let unknown = buckets[last].bound != f64::INFINITY || total == 0.0;
    if unknown || total.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    ((rank(upper, buckets) - rank(lower, buckets)) / total).max(0.0)
}

/// Estimated number of observations up to `value`.
fn rank(value: f64, buckets: &[Bucket]) -> f64 {
    let (mut start, mut below) = (f64::NEG_INFINITY, 0.0);
    for (i, bucket) in buckets.iter().enumerate() {
        if i == 0 && bucket.bound > 0.0 {
            start = 0.0;
        }
        if start >= value {
            return below;
        }
        if bucket.bound > value {
            // Nothing is known about where observations lie in a bucket without an end.
            return if start == f64::NEG_INFINITY {
                bucket.count
            } else if bucket.bound == f64::INFINITY {
                below
            } else {
                below + (bucket.count - below) * (value - start) / (bucket.bound - start)
            };
        }
        (start, below) = (bucket.bound, bucket.count);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantiles_of_a_hand_made_histogram() {
        let all = buckets(&[(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)]);
        assert_eq!(quantile(0.25, &mut all.clone()), (0.5, false));
        assert_eq!(quantile(0.75, &mut all.clone()), (1.5, false));
        assert_eq!(quantile(2.0, &mut all.clone()).0, f64::INFINITY);
        assert!(quantile(0.5, &mut buckets(&[(1.0, 10.0)])).0.is_nan());
        assert_eq!(quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)])), (1.0, true));
    }

    #[test]
    fn fractions_of_a_hand_made_histogram() {
        let all = buckets(&[(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 40.0)]);
        assert_eq!(fraction(0.0, 1.5, &all), 0.375);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &all), 1.0);
        assert_eq!(fraction(2.0, 1.0, &all), 0.0);
    }
}
