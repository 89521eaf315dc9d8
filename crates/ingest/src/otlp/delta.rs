//! Deltas added up: a stream of differences becomes the counter it came from.
//!
//! ```text
//!   delta   [t0,t1) 5   [t1,t2) 3   [t2,t3) 4
//!   stored      0@t0   5@t1        8@t2       12@t3
//! ```
//!
//! The first total of a stream is preceded by a zero at its start, so that a query sees the first delta as an increase,
//! also after a restart of ours, which begins a new count (a counter reset). A point of the time last seen is a repeat:
//! it is answered with the same total and added once. Older points cannot be added to a total that has gone on and are
//! refused. The number of streams is bounded; those quiet for an hour make room.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use series::{Labels, Millis, Timestamp};

use super::exponential;
use super::model::{Explicit, Exponential};

/// A stream without points for this long is forgotten when room is needed.
const QUIET: Millis = Millis::from_hours(1);
/// Longest way back from a stream's first point to the zero before it.
pub(crate) const ZERO_BACK_MAX: Millis = Millis::from_hours(1);
/// Shortest pause between two searches for quiet streams.
const SWEEP_EVERY: Millis = Millis::from_mins(1);

/// Totals of all delta streams, shared by all requests. Only a request with deltas takes the lock, and keeps it to its
/// end.
#[derive(Debug)]
pub struct DeltaStreams(Mutex<Totals>);

/// The totals. Changes of a request are kept apart until [`Totals::commit`].
#[derive(Debug)]
pub(crate) struct Totals {
    streams: HashMap<Labels, Stream>,
    pending: HashMap<Labels, Stream>,
    streams_max: usize,
    swept: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Stream {
    time_ns: u64,
    seen: Timestamp,
    total: Total,
}

/// What is added up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Total {
    Number(f64),
    Explicit(Explicit),
    Exponential(Box<Exponential>),
}

/// Why a delta cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeltaFault {
    Older,
    NoRoom { limit: usize },
}

/// A total after a delta.
pub(crate) struct Summed {
    pub(crate) total: Total,
    /// Whether counting began with this delta.
    pub(crate) is_first: bool,
}

impl DeltaStreams {
    /// No streams yet, and `streams_max` at most.
    pub fn new(streams_max: usize) -> Self {
        Self(Mutex::new(Totals::new(streams_max)))
    }

    /// Streams that are added up.
    pub fn len(&self) -> usize {
        self.lock().streams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for other requests with deltas. What one of them left behind by a panic is dropped.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Totals> {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.roll_back();
        totals
    }
}

impl Totals {
    fn new(streams_max: usize) -> Self {
        Self { streams: HashMap::new(), pending: HashMap::new(), streams_max, swept: None }
    }

    /// Adds a delta that ends at `time_ns` to the stream `key`.
    pub(crate) fn add(
        &mut self,
        key: Labels,
        time_ns: u64,
        delta: Total,
        now: Timestamp,
    ) -> Result<Summed, DeltaFault> {
        let known = self.pending.get(&key).or_else(|| self.streams.get(&key));
        let Some(known) = known else {
            self.make_room(now)?;
            self.pending.insert(key, Stream { time_ns, seen: now, total: delta.clone() });
            return Ok(Summed { total: delta, is_first: true });
        };
        if time_ns < known.time_ns {
            return Err(DeltaFault::Older);
        }
        if time_ns == known.time_ns {
            return Ok(Summed { total: known.total.clone(), is_first: false });
        }
        let sum = known.total.plus(&delta);
        let is_first = sum.is_none();
        let total = sum.unwrap_or(delta);
        self.pending.insert(key, Stream { time_ns, seen: now, total: total.clone() });
        Ok(Summed { total, is_first })
    }

    /// Keeps the changes of a request that was read to its end.
    pub(crate) fn commit(&mut self) {
        self.streams.extend(self.pending.drain());
    }

    /// Drops the changes of a request that was refused.
    pub(crate) fn roll_back(&mut self) {
        self.pending.clear();
    }

    fn make_room(&mut self, now: Timestamp) -> Result<(), DeltaFault> {
        let full = |this: &Self| this.streams.len() + this.pending.len() >= this.streams_max;
        if full(self) && self.swept.is_none_or(|swept| now - swept >= SWEEP_EVERY) {
            self.streams.retain(|_, stream| now - stream.seen < QUIET);
            self.swept = Some(now);
        }
        if full(self) { Err(DeltaFault::NoRoom { limit: self.streams_max }) } else { Ok(()) }
    }
}

impl Total {
    /// The same shape with nothing counted.
    pub(crate) fn zero(&self) -> Self {
        match self {
            Self::Number(_) => Self::Number(0.0),
            Self::Explicit(histogram) => Self::Explicit(Explicit {
                count: 0,
                sum: histogram.sum.map(|_| 0.0),
                counts: vec![0; histogram.counts.len()],
                bounds: histogram.bounds.clone(),
            }),
            Self::Exponential(histogram) => Self::Exponential(Box::new(Exponential {
                scale: histogram.scale,
                zero_threshold: histogram.zero_threshold,
                sum: histogram.sum.map(|_| 0.0),
                ..Exponential::default()
            })),
        }
    }

    /// The sum; `None` when the two cannot be added (other bounds, another kind): then counting begins again.
    fn plus(&self, delta: &Self) -> Option<Self> {
        match (self, delta) {
            (Self::Number(total), Self::Number(delta)) => Some(Self::Number(total + delta)),
            (Self::Explicit(total), Self::Explicit(delta)) => {
                if total.bounds != delta.bounds || total.counts.len() != delta.counts.len() {
                    return None;
                }
                let counts = total.counts.iter().zip(&delta.counts).map(|(a, b)| a.checked_add(*b));
                Some(Self::Explicit(Explicit {
                    count: total.count.checked_add(delta.count)?,
                    sum: total.sum.zip(delta.sum).map(|(a, b)| a + b),
                    counts: counts.collect::<Option<_>>()?,
                    bounds: total.bounds.clone(),
                }))
            }
            (Self::Exponential(total), Self::Exponential(delta)) => {
                exponential::plus(total, delta).map(|sum| Self::Exponential(Box::new(sum)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).expect("valid")
    }

    fn add(streams: &mut Totals, time_ns: u64, value: f64) -> Result<(f64, bool), DeltaFault> {
        let summed = streams.add(key("a"), time_ns, Total::Number(value), Timestamp(0))?;
        let Total::Number(total) = summed.total else { panic!("a number") };
        Ok((total, summed.is_first))
    }

    #[test]
    fn repeats_are_added_once_and_older_points_refused() {
        let mut streams = Totals::new(10);
        assert_eq!(add(&mut streams, 10, 5.0), Ok((5.0, true)));
        assert_eq!(add(&mut streams, 20, 3.0), Ok((8.0, false)));
        assert_eq!(add(&mut streams, 20, 3.0), Ok((8.0, false)));
        assert_eq!(add(&mut streams, 19, 3.0), Err(DeltaFault::Older));
        streams.roll_back();
        assert_eq!(add(&mut streams, 10, 5.0), Ok((5.0, true)), "nothing was kept");
        streams.commit();
        assert_eq!((add(&mut streams, 30, 1.0), streams.streams.len()), (Ok((6.0, false)), 1));
    }

    #[test]
    fn the_number_of_streams_is_bounded_and_quiet_ones_make_room() {
        let mut streams = Totals::new(2);
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        let mut add = |name: &str, now| {
            let added = streams.add(key(name), 1, Total::Number(1.0), now).map(drop);
            streams.commit();
            added
        };
        assert_eq!([add("a", at(0)), add("b", at(50))], [Ok(()), Ok(())]);
        assert_eq!(add("c", at(59)), Err(DeltaFault::NoRoom { limit: 2 }));
        assert_eq!(add("c", at(61)), Ok(()), "a has been quiet for an hour");
        assert_eq!(add("d", at(62)), Err(DeltaFault::NoRoom { limit: 2 }));
    }

    #[test]
    fn other_bounds_begin_a_new_count() {
        let mut streams = Totals::new(2);
        let histogram = |bounds: &[f64]| {
            let counts = vec![1; bounds.len() + 1];
            Total::Explicit(Explicit { count: counts.len() as u64, sum: Some(1.0), counts, bounds: bounds.to_vec() })
        };
        let mut add = |time, bounds: &[f64]| {
            let summed = streams.add(key("h"), time, histogram(bounds), Timestamp(0)).expect("room");
            let Total::Explicit(total) = summed.total else { panic!("a histogram") };
            (total.count, summed.is_first)
        };
        assert_eq!((add(1, &[1.0]), add(2, &[1.0]), add(3, &[2.0])), ((2, true), (4, false), (2, true)));
    }

    proptest! {
        #[test]
        fn totals_are_the_running_sum(deltas in prop::collection::vec((1_u64..5, 0_u32..100, 1_usize..3), 1..40)) {
            let mut streams = Totals::new(1);
            let (mut time, mut wanted) = (0, 0.0);
            for (step, delta, sent) in deltas {
                time += step;
                wanted += f64::from(delta);
                for _ in 0..sent {
                    prop_assert_eq!(add(&mut streams, time, f64::from(delta)).map(|(total, _)| total), Ok(wanted));
                    streams.commit();
                }
            }
        }
    }
}
