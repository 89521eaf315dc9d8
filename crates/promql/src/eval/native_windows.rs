//! Functions of windows that hold native histograms, alone or beside floats.

use std::sync::Arc;

use series::{Histogram, ResetHint};

use super::Point;
use super::notes::{Note, Operation, Seen};
use super::over_time::Kernel;
use super::rate::stretch;
use super::window::Window;
use crate::native::{self, Total};

/// A histogram of a range vector.
#[derive(Debug, Clone)]
pub(crate) struct NativeSample {
    /// Milliseconds.
    pub(crate) at: i64,
    pub(crate) histogram: Arc<Histogram>,
    /// The counter began anew since the sample before; told for the functions that ask.
    pub(crate) resets: bool,
}

/// A window with at least one histogram; its floats may be none.
pub(crate) struct Mixed<'a> {
    pub(crate) floats: Window<'a>,
    pub(crate) natives: &'a [NativeSample],
}

/// What a function does with histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Rate {
        counter: bool,
        per_second: bool,
    },
    LastTwo {
        rate: bool,
    },
    /// Works on floats, of which it needs this many.
    Floats(usize),
    Sum,
    Mean,
    Count,
    Present,
    First,
    Last,
    TimeOfFirst,
    TimeOfLast,
    Changes,
    Resets,
}

/// The rule of a function that has a kernel.
pub(crate) fn rule(name: &str) -> Rule {
    match name {
        "rate" => Rule::Rate { counter: true, per_second: true },
        "increase" => Rule::Rate { counter: true, per_second: false },
        "delta" => Rule::Rate { counter: false, per_second: false },
        "irate" => Rule::LastTwo { rate: true },
        "idelta" => Rule::LastTwo { rate: false },
        "deriv" | "predict_linear" | "double_exponential_smoothing" => Rule::Floats(2),
        "sum_over_time" => Rule::Sum,
        "avg_over_time" => Rule::Mean,
        "count_over_time" => Rule::Count,
        "present_over_time" | "absent_over_time" => Rule::Present,
        "first_over_time" => Rule::First,
        "last_over_time" => Rule::Last,
        "ts_of_first_over_time" => Rule::TimeOfFirst,
        "ts_of_last_over_time" => Rule::TimeOfLast,
        "changes" => Rule::Changes,
        "resets" => Rule::Resets,
        _ => Rule::Floats(1),
    }
}

impl Rule {
    /// Whether it matters where counters begin anew.
    pub(crate) fn asks_for_resets(self) -> bool {
        matches!(self, Self::Rate { counter: true, .. } | Self::LastTwo { rate: true } | Self::Resets)
    }

    /// The function's value; `kernel` is its part for floats.
    pub(crate) fn apply(self, mixed: &Mixed<'_>, kernel: Kernel, seen: &Seen) -> Option<Point> {
        let n_floats = mixed.floats.values.len();
        let float = |value: Option<f64>| value.map(Point::Float);
        match self {
            Self::Rate { counter, per_second } => {
                if n_floats > 0 {
                    seen.add(Note::MixedRange);
                    return None;
                }
                rate(mixed, counter, per_second, seen).map(point)
            }
            Self::LastTwo { rate } => mixed.last_two(rate, kernel, seen),
            Self::Floats(least) => {
                if n_floats > 0 {
                    seen.add(Note::IgnoredInRange);
                }
                if n_floats < least { None } else { float(kernel(&mixed.floats)) }
            }
            Self::Sum | Self::Mean if n_floats > 0 => {
                seen.add(Note::MixedRange);
                None
            }
            Self::Sum => over_all(mixed.natives, false, seen).map(point),
            Self::Mean => over_all(mixed.natives, true, seen).map(point),
            Self::Count => Some(Point::Float((n_floats + mixed.natives.len()) as f64)),
            Self::Present => Some(Point::Float(1.0)),
            Self::First | Self::Last => mixed.edge(self == Self::Last),
            Self::TimeOfFirst => float(mixed.times().reduce(i64::min).map(|at| at as f64 / 1000.0)),
            Self::TimeOfLast => float(mixed.times().reduce(i64::max).map(|at| at as f64 / 1000.0)),
            Self::Changes => Some(Point::Float(mixed.count_pairs(
                |old, new| old != new && !(old.is_nan() && new.is_nan()),
                |old, new| !native::same(&old.histogram, &new.histogram),
            ))),
            Self::Resets => Some(Point::Float(mixed.count_pairs(|old, new| new < old, |_, new| new.resets))),
        }
    }
}

/// Finds where the counter began anew; once a series, as windows share their samples.
pub(crate) fn mark_resets(natives: &mut [NativeSample]) {
    for i in 1..natives.len() {
        natives[i].resets = native::is_reset(&natives[i].histogram, &natives[i - 1].histogram);
    }
}

fn point(histogram: Histogram) -> Point {
    Point::Histogram(Arc::new(histogram))
}

impl Mixed<'_> {
    /// Times of the ends of both lists.
    fn times(&self) -> impl Iterator<Item = i64> {
        let floats = self.floats.timestamps;
        let natives = self.natives;
        [floats.first(), floats.last()]
            .into_iter()
            .flatten()
            .copied()
            .chain([natives.first(), natives.last()].into_iter().flatten().map(|sample| sample.at))
    }

    /// The oldest or the newest sample.
    fn edge(&self, newest: bool) -> Option<Point> {
        let place = |len: usize| if newest { len.checked_sub(1) } else { (len > 0).then_some(0) };
        let float = place(self.floats.values.len()).map(|i| (self.floats.timestamps[i], self.floats.values[i]));
        let native = place(self.natives.len()).map(|i| &self.natives[i]);
        match (float, native) {
            (Some((at, value)), Some(native)) if (at > native.at) == newest && at != native.at => {
                Some(Point::Float(value))
            }
            (_, Some(native)) => Some(Point::Histogram(Arc::clone(&native.histogram))),
            (Some((_, value)), None) => Some(Point::Float(value)),
            (None, None) => None,
        }
    }

    /// Neighbours in time for which a test holds; a change between the two kinds always counts.
    fn count_pairs(
        &self,
        floats: impl Fn(f64, f64) -> bool,
        natives: impl Fn(&NativeSample, &NativeSample) -> bool,
    ) -> f64 {
        let (timestamps, values) = (self.floats.timestamps, self.floats.values);
        let (mut f, mut n, mut count) = (0, 0, 0_u32);
        let mut last_was_float: Option<bool> = None;
        while f < values.len() || n < self.natives.len() {
            let is_float = n >= self.natives.len() || (f < values.len() && timestamps[f] < self.natives[n].at);
            let counts = match last_was_float {
                None => false,
                Some(before) if before != is_float => true,
                Some(true) => floats(values[f - 1], values[f]),
                Some(false) => natives(&self.natives[n - 1], &self.natives[n]),
            };
            count += u32::from(counts);
            last_was_float = Some(is_float);
            if is_float { f += 1 } else { n += 1 }
        }
        f64::from(count)
    }

    /// Change between the two newest samples.
    fn last_two(&self, rate: bool, kernel: Kernel, seen: &Seen) -> Option<Point> {
        let (floats, natives) = (self.floats.timestamps, self.natives);
        let float_at = |back: usize| floats.len().checked_sub(back).map(|i| floats[i]);
        let native_at = |back: usize| natives.len().checked_sub(back).map(|i| natives[i].at);
        // No sample of a kind counts as older than any.
        if native_at(2) > float_at(1) {
            return difference(&natives[natives.len() - 2], &natives[natives.len() - 1], rate, seen).map(point);
        }
        if float_at(2) > native_at(1) {
            return kernel(&self.floats).map(Point::Float);
        }
        if floats.len() + natives.len() > 1 {
            seen.add(Note::MixedRange);
        }
        None
    }
}

fn difference(old: &NativeSample, new: &NativeSample, rate: bool, seen: &Seen) -> Option<Histogram> {
    let gauges = [old, new].iter().filter(|sample| sample.histogram.reset == ResetHint::Gauge).count();
    if rate && gauges > 0 {
        seen.add(Note::NotCounter);
    }
    if !rate && gauges < 2 {
        seen.add(Note::NotGauge);
    }
    let mut total = Total::new(&new.histogram);
    if !rate || !new.resets {
        subtract(&mut total, &old.histogram, seen)?;
    }
    let mut change = total.finish();
    change.reset = ResetHint::Gauge;
    Some(if rate { native::divided(change, (new.at - old.at) as f64 / 1000.0) } else { change })
}

fn subtract(total: &mut Total, other: &Histogram, seen: &Seen) -> Option<()> {
    if total.subtract(other).is_err() {
        seen.add(Note::MixedSchemas);
        return None;
    }
    if std::mem::take(&mut total.reconciled) {
        seen.add(Note::reconciled(Operation::Subtraction));
    }
    Some(())
}

/// `rate`, `increase`, `delta`: extrapolated like floats, by the count of observations.
fn rate(mixed: &Mixed<'_>, counter: bool, per_second: bool, seen: &Seen) -> Option<Histogram> {
    let (window, natives) = (&mixed.floats, mixed.natives);
    let (first, last) = (natives.first()?, natives.last()?);
    let gaps = natives.len() - 1;
    if gaps == 0 {
        return None;
    }
    let change = change(natives, counter, seen)?;
    let sampled = (last.at - first.at) as f64 / 1000.0;
    let zero = (counter && change.count > 0.0 && first.histogram.count >= 0.0)
        .then(|| sampled * (first.histogram.count / change.count));
    let mut factor = stretch(window, first.at, last.at, gaps, zero);
    if per_second {
        factor /= (window.end - window.start) as f64 / 1000.0;
    }
    Some(native::times(change, factor))
}

/// Difference between the ends; what a counter lost by resets is added back.
fn change(natives: &[NativeSample], counter: bool, seen: &Seen) -> Option<Histogram> {
    let (first, last) = (&natives.first()?.histogram, &natives.last()?.histogram);
    let is_gauge = |histogram: &Histogram| histogram.reset == ResetHint::Gauge;
    if counter && natives.iter().any(|sample| is_gauge(&sample.histogram)) {
        seen.add(Note::NotCounter);
    }
    let gauge = is_gauge(first) && is_gauge(last);
    if !counter && !gauge {
        seen.add(Note::NotGauge);
    }
    // A first sample right before a reset is not looked at: its buckets may be of another kind.
    let fresh = counter && natives[1].resets;
    let base = if fresh { &natives[1].histogram } else { first };
    let middle = if counter { &natives[1..natives.len() - 1] } else { &[] };
    let mut compared = middle.iter().map(|sample| &sample.histogram).chain([last]);
    if compared.any(|histogram| histogram.has_custom_buckets() != base.has_custom_buckets()) {
        seen.add(Note::MixedSchemas);
        return None;
    }
    let schema = middle.iter().map(|sample| sample.histogram.schema).fold(last.schema.min(base.schema), i32::min);
    let mut total = Total::new(last);
    total.coarsen(schema);
    if fresh {
        let empty =
            Histogram { schema: base.schema, custom_bounds: base.custom_bounds.clone(), ..Histogram::default() };
        subtract(&mut total, &empty, seen)?;
    } else {
        subtract(&mut total, first, seen)?;
    }
    if counter {
        for two in natives[usize::from(fresh)..].windows(2).filter(|two| two[1].resets) {
            if total.add(&two[0].histogram).is_err() {
                seen.add(Note::MixedSchemas);
                return None;
            }
            if std::mem::take(&mut total.reconciled) {
                seen.add(Note::reconciled(Operation::Addition));
            }
        }
    }
    let mut change = total.finish();
    change.reset = ResetHint::Gauge;
    Some(change)
}

/// Sum or mean of all histograms.
fn over_all(natives: &[NativeSample], mean: bool, seen: &Seen) -> Option<Histogram> {
    let histograms: Vec<&Histogram> = natives.iter().map(|sample| sample.histogram.as_ref()).collect();
    combined(&histograms, mean, seen)
}

/// Sum or mean of histograms, with what must be said about them.
pub(crate) fn combined(histograms: &[&Histogram], mean: bool, seen: &Seen) -> Option<Histogram> {
    let hints = |hint: ResetHint| histograms.iter().any(|histogram| histogram.reset == hint);
    let result = if mean { native::mean(histograms) } else { native::sum(histograms) };
    let Ok(result) = result else {
        seen.add(Note::MixedSchemas);
        return None;
    };
    let (histogram, reconciled) = result?;
    if reconciled {
        seen.add(Note::reconciled(Operation::Aggregation));
    }
    if hints(ResetHint::Reset) && hints(ResetHint::NotReset) {
        seen.add(Note::collided(Operation::Aggregation));
    }
    Some(histogram)
}
