//! One series of a standing query: samples waiting for their pane, and the sample before them.
//!
//! Repeats are dropped here: a series has one sample a timestamp. While a sample waits, a second one of the same timestamp
//! replaces it (the last to arrive counts, as in the store); once its pane is closed the second one is late.

use series::{SeriesId, is_stale};
use sketch::SketchError;
use sketch::wire::{Reader, put_f64, put_signed, put_varint};

/// State of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeriesRun {
    pub(crate) id: SeriesId,
    /// Group it belongs to.
    pub(crate) group: u32,
    /// Upper bound of its bucket, for histograms.
    pub(crate) bound: f64,
    /// Newest folded sample: a counter's predecessor. `None` after a stale marker.
    last: Option<(i64, f64)>,
    /// Time of the newest sample folded or waiting.
    pub(crate) newest: i64,
    /// In order of arrival, or of time when `sorted`.
    pending: Vec<(i64, f64)>,
    sorted: bool,
}

/// What folding took from a series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Folded {
    /// Samples dropped because a later one had their timestamp.
    pub(crate) repeats: u64,
    /// NaN, infinities (stale markers are not counted).
    pub(crate) not_finite: u64,
}

impl SeriesRun {
    pub(crate) fn new(id: SeriesId, group: u32, bound: f64) -> Self {
        Self { id, group, bound, last: None, newest: i64::MIN, pending: Vec::new(), sorted: true }
    }

    /// Lets a sample wait.
    pub(crate) fn wait(&mut self, at: i64, value: f64) {
        if self.pending.last().is_some_and(|last| at <= last.0) {
            self.sorted = false;
        }
        self.newest = self.newest.max(at);
        self.pending.push((at, value));
    }

    /// Time of the oldest waiting sample.
    pub(crate) fn oldest(&self) -> Option<i64> {
        if self.sorted { self.pending.first().map(|s| s.0) } else { self.pending.iter().map(|s| s.0).min() }
    }

    /// Hands the waiting samples up to `end` to `fold` in order of time: `(predecessor, time, value)`, finite values only.
    /// The predecessor is given when it is at most `gap_max` older and no stale marker lies between.
    pub(crate) fn fold_until(
        &mut self,
        end: i64,
        gap_max: i64,
        mut fold: impl FnMut(Option<(i64, f64)>, i64, f64),
    ) -> Folded {
        let mut folded = Folded::default();
        if !self.sorted {
            // Stable: of equal times the last to arrive stays last and wins below.
            self.pending.sort_by_key(|sample| sample.0);
            self.sorted = true;
        }
        let n = self.pending.partition_point(|sample| sample.0 <= end);
        for i in 0..n {
            let (at, value) = self.pending[i];
            if i + 1 < n && self.pending[i + 1].0 == at {
                folded.repeats += 1;
            } else if is_stale(value) {
                self.last = None;
            } else if !value.is_finite() {
                folded.not_finite += 1;
            } else {
                let before = self.last.filter(|last| at.saturating_sub(last.0) <= gap_max);
                fold(before, at, value);
                self.last = Some((at, value));
            }
        }
        self.pending.drain(..n);
        if self.pending.is_empty() && self.pending.capacity() > 64 {
            self.pending.shrink_to(16);
        }
        folded
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.pending.capacity() * size_of::<(i64, f64)>()
    }

    /// Appends all but the group, which is where the run stands.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_f64(out, self.bound);
        out.push(u8::from(self.last.is_some()));
        if let Some((at, value)) = self.last {
            put_signed(out, at);
            put_f64(out, value);
        }
        put_signed(out, self.newest);
        out.push(u8::from(self.sorted));
        put_varint(out, self.pending.len() as u64);
        for &(at, value) in &self.pending {
            put_signed(out, at);
            put_f64(out, value);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let mut run = Self::new(SeriesId(reader.u64()?), 0, f64::NAN);
        run.bound = reader.f64()?;
        if reader.u8()? != 0 {
            run.last = Some((reader.signed()?, reader.f64()?));
        }
        run.newest = reader.signed()?;
        run.sorted = reader.u8()? != 0;
        let n = reader.len(9)?;
        run.pending.reserve_exact(n);
        for _ in 0..n {
            run.pending.push((reader.signed()?, reader.f64()?));
        }
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::STALE_NAN;

    fn folded(run: &mut SeriesRun, end: i64) -> (Vec<(Option<i64>, i64, f64)>, Folded) {
        let mut seen = Vec::new();
        let folded = run.fold_until(end, 100, |before, at, value| seen.push((before.map(|b| b.0), at, value)));
        (seen, folded)
    }

    #[test]
    fn samples_are_folded_in_order_and_the_last_repeat_wins() {
        let mut run = SeriesRun::new(SeriesId(1), 0, f64::NAN);
        [(20, 2.0), (10, 1.0), (20, 3.0), (30, f64::NAN), (40, 4.0)].into_iter().for_each(|(at, v)| run.wait(at, v));
        assert_eq!(run.oldest(), Some(10));
        let (seen, counts) = folded(&mut run, 30);
        assert_eq!(seen, [(None, 10, 1.0), (Some(10), 20, 3.0)]);
        assert_eq!(counts, Folded { repeats: 1, not_finite: 1 });
        let mut bytes = Vec::new();
        run.encode(&mut bytes);
        assert_eq!(SeriesRun::decode(&mut Reader::new(&bytes)).map(|r| format!("{r:?}")), Ok(format!("{run:?}")));
        assert_eq!(folded(&mut run, 40).0, [(Some(20), 40, 4.0)]);
    }

    #[test]
    fn a_stale_marker_or_a_long_gap_parts_a_counter_from_its_past() {
        let mut run = SeriesRun::new(SeriesId(1), 0, f64::NAN);
        [(10, 1.0), (20, STALE_NAN), (30, 2.0), (500, 3.0)].into_iter().for_each(|(at, v)| run.wait(at, v));
        assert_eq!(folded(&mut run, 999).0, [(None, 10, 1.0), (None, 30, 2.0), (None, 500, 3.0)]);
        assert!(run.is_idle());
    }
}
