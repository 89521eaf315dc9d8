//! Reading the log back into the memtable, on all cores.
//!
//! ```text
//!   log ─▶ Replayer ── series, metadata, histograms: here, in order
//!             ├─ samples ─▶ lane 0 ─▶ shards 0, n, 2n …      every lane reads every record and
//!             └─ samples ─▶ lane 1 ─▶ shards 1, n + 1 …      takes the series of its own shards
//! ```
//!
//! Reading a record is cheap, putting its samples into their places is not: so each lane reads all and puts its share, and
//! the samples of a series stay in order without a lock that two lanes want.

mod lane;

use std::sync::Arc;

use series::LabelsRef;
use wal::Record;

use crate::index::{SeriesIndex, SeriesNumber};
use crate::payload;
use crate::tables::{Tables, insert_histograms};
pub(crate) use lane::Counts;
use lane::{Lane, Work};

/// More lanes than this wait for memory more than for each other's cores.
const LANES_MAX: usize = 4;
/// Series of one segment; more local numbers are a fault of the writer.
const LOCALS_MAX: usize = 1 << 26;

/// Takes the log's records in order into the memtable.
pub(crate) struct Replayer {
    tables: Arc<Tables>,
    flushed_lsn: u64,
    segment: Option<u64>,
    /// Series numbers by local number of the current segment.
    locals: Vec<SeriesNumber>,
    lanes: Vec<Lane>,
    /// What was put here rather than in a lane.
    own: Counts,
}

impl Replayer {
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(tables: &Arc<Tables>, flushed_lsn: u64) -> std::io::Result<Self> {
        let n_lanes = std::thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX);
        let lanes = (0..n_lanes).map(|i| Lane::start(tables, i, n_lanes)).collect::<Result<_, _>>()?;
        let tables = Arc::clone(tables);
        Ok(Self { tables, flushed_lsn, segment: None, locals: Vec::new(), lanes, own: Counts::default() })
    }

    /// Takes one record.
    pub(crate) fn record(&mut self, record: &Record<'_>) {
        if self.segment != Some(record.segment) {
            self.segment = Some(record.segment);
            self.locals.clear();
            self.tell(|| Work::Segment);
        }
        let is_flushed = record.lsn <= self.flushed_lsn;
        let read = match record.kind {
            payload::KIND_SERIES => self.series(record.payload),
            payload::KIND_SERIES_FRAME => self.series_frame(record.payload),
            payload::KIND_SAMPLES
            | payload::KIND_SAMPLES_DENSE
            | payload::KIND_HISTOGRAMS
            | payload::KIND_EXEMPLARS
                if is_flushed =>
            {
                Some(())
            }
            payload::KIND_SAMPLES | payload::KIND_SAMPLES_DENSE => {
                let (payload, kind, lsn) = (Arc::<[u8]>::from(record.payload), record.kind, record.lsn);
                self.tell(|| Work::Samples { lsn, kind, payload: Arc::clone(&payload) });
                Some(())
            }
            payload::KIND_HISTOGRAMS => self.histograms(record),
            payload::KIND_EXEMPLARS => self.exemplars(record),
            payload::KIND_METADATA => {
                payload::read_metadata(record.payload).map(|metadata| self.tables.add_metadata(&[metadata]))
            }
            _ => None,
        };
        if read.is_none() {
            self.own.unreadable += 1;
        }
    }

    /// Waits for the lanes; answers the samples put into the memtable, and the records whose checksum held but whose
    /// content did not (a fault of the writer, counted and shown).
    pub(crate) fn finish(self) -> Counts {
        self.lanes.into_iter().map(Lane::finish).fold(self.own, Counts::plus)
    }

    fn tell(&self, work: impl Fn() -> Work) {
        self.lanes.iter().for_each(|lane| lane.tell(work()));
    }

    fn series(&mut self, bytes: &[u8]) -> Option<()> {
        let (local, _, labels): (u64, _, LabelsRef<'_>) = payload::read_series(bytes)?;
        let number = self.tables.index_mut().find_or_add(labels.id(), labels);
        self.describe(local, &[number])
    }

    fn series_frame(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut first, mut numbers) = (None, Vec::new());
        let read = {
            let mut index = self.tables.index_mut();
            payload::read_series_frame(bytes, |local, id, labels| {
                first.get_or_insert(local);
                numbers.push(find_or_add(&mut index, id, labels));
            })
        };
        let described = first.map_or(Some(()), |first| self.describe(first, &numbers));
        read.and(described)
    }

    /// Notes what the local numbers from `first` on stand for.
    fn describe(&mut self, first: u64, numbers: &[SeriesNumber]) -> Option<()> {
        let first = usize::try_from(first).ok()?;
        let end = first.checked_add(numbers.len()).filter(|&end| end <= LOCALS_MAX)?;
        if self.locals.len() < end {
            self.locals.resize(end, SeriesNumber::MAX);
        }
        self.locals[first..end].copy_from_slice(numbers);
        let numbers: Arc<[SeriesNumber]> = Arc::from(numbers);
        self.tell(|| Work::Series { first, numbers: Arc::clone(&numbers) });
        Some(())
    }

    /// Histograms are rare; that one stands for a time instead of a float depends on which came later.
    fn histograms(&mut self, record: &Record<'_>) -> Option<()> {
        self.lanes.iter().for_each(Lane::wait);
        let active = self.tables.state.active();
        let index = self.tables.index();
        let (mut samples, mut holes) = (0, 0_u64);
        let mut filler = active.filler();
        let read = payload::read_histograms(record.payload, |local, run| match self.number_of(local) {
            Some(number) => {
                insert_histograms(&mut filler, &index, number, run);
                samples += run.len() as u64;
            }
            None => holes += 1,
        });
        drop(filler);
        drop(index);
        active.cover(record.lsn, record.lsn);
        self.own.samples += samples;
        self.own.unreadable += holes;
        read
    }

    fn exemplars(&mut self, record: &Record<'_>) -> Option<()> {
        let mut holes = 0;
        let read = payload::read_exemplars(record.payload, |local, exemplar| match self.number_of(local) {
            Some(number) => self.tables.exemplars.add(number, [exemplar]),
            None => holes += 1,
        });
        self.tables.state.active().cover(record.lsn, record.lsn);
        self.own.unreadable += holes;
        read
    }

    fn number_of(&self, local: u64) -> Option<SeriesNumber> {
        let number = usize::try_from(local).ok().and_then(|local| self.locals.get(local))?;
        (*number != SeriesNumber::MAX).then_some(*number)
    }
}

fn find_or_add(index: &mut SeriesIndex, id: series::SeriesId, labels: LabelsRef<'_>) -> SeriesNumber {
    let number = index.find_or_add(labels.id(), labels);
    debug_assert_eq!(index.entry(number).id, id);
    number
}
