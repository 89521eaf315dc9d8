//! Rebuilding the index and the memtable at start: series table, chunk files' keys, then the log.

use std::sync::Arc;

use lake::{FileEntry, Table};
use roaring::RoaringBitmap;
use series::LabelsRef;
use wal::Record;

use crate::damage::{Damage, Part};
use crate::error::StoreError;
use crate::index::{SeriesIndex, SeriesNumber};
use crate::payload;
use crate::state::OpenFile;
use crate::tables::{Tables, insert, insert_histograms};
use crate::tier::Disks;

/// What the tables say about series.
pub(crate) struct Dictionary {
    pub(crate) index: SeriesIndex,
    /// Numbers of the series that the series table describes.
    pub(crate) described: RoaringBitmap,
}

/// Reads the whole series table. A file that cannot be read is put aside and noted.
pub(crate) fn read_dictionary(disk: &Arc<dyn object_store::ObjectStore>, table: &Table, damage: &Damage) -> Dictionary {
    let mut dictionary = Dictionary { index: SeriesIndex::default(), described: RoaringBitmap::new() };
    let snapshot = table.snapshot();
    let mut entries: Vec<&FileEntry> = snapshot.files.values().collect();
    entries.sort_by_key(|entry| entry.lsn_hi);
    for entry in entries {
        let mut canonical = Vec::new();
        let scanned = lake::scan_series_file(disk, entry, |_, labels| {
            canonical.clear();
            series::put_canonical(labels, &mut canonical);
            let labels = LabelsRef::checked(&canonical)
                .map_err(|why| lake::LakeError::Damaged { file: entry.key(), why: why.to_string() })?;
            let number = dictionary.index.find_or_add(labels.id(), labels);
            dictionary.described.insert(number);
            Ok(())
        });
        if let Err(err) = scanned {
            damage.put_aside(entry, &err, Part::Series);
        }
    }
    dictionary
}

/// Opens the files and widens each series to the span its chunks have. What cannot be read is put aside and noted.
///
/// # Errors
/// A file in a place that the options do not name.
pub(crate) fn open_files(
    disks: &Disks,
    table: &Table,
    index: &SeriesIndex,
    damage: &Damage,
) -> Result<Vec<Arc<OpenFile>>, StoreError> {
    let snapshot = table.snapshot();
    let mut files = Vec::with_capacity(snapshot.files.len());
    for entry in snapshot.files.values() {
        if let Some((file, keys)) = damage.open_file(disks.of(entry)?, entry) {
            damage.introduce(&file, &keys, index);
            files.push(file);
        }
    }
    files.sort_by_key(|file| file.entry.lsn_hi);
    Ok(files)
}

/// Takes the log's records in order into the memtable.
pub(crate) struct Replayer<'a> {
    tables: &'a Tables,
    flushed_lsn: u64,
    segment: Option<u64>,
    /// Series numbers by local number of the current segment.
    locals: Vec<SeriesNumber>,
    /// Samples put into the memtable.
    pub(crate) samples: u64,
    /// Records whose checksum held but whose content did not: a fault of the writer, counted and shown.
    pub(crate) unreadable: u64,
}

impl<'a> Replayer<'a> {
    pub(crate) fn new(tables: &'a Tables, flushed_lsn: u64) -> Self {
        Self { tables, flushed_lsn, segment: None, locals: Vec::new(), samples: 0, unreadable: 0 }
    }

    /// Takes one record.
    pub(crate) fn record(&mut self, record: &Record<'_>) {
        if self.segment != Some(record.segment) {
            self.segment = Some(record.segment);
            self.locals.clear();
        }
        let read = match record.kind {
            payload::KIND_SERIES => self.series(record.payload),
            payload::KIND_SERIES_FRAME => self.series_frame(record.payload),
            payload::KIND_SAMPLES | payload::KIND_SAMPLES_DENSE if record.lsn <= self.flushed_lsn => Some(()),
            payload::KIND_SAMPLES => self.samples(record, |bytes, run| payload::read_samples(bytes, run)),
            payload::KIND_SAMPLES_DENSE => self.samples(record, |bytes, run| payload::read_samples_dense(bytes, run)),
            payload::KIND_HISTOGRAMS | payload::KIND_EXEMPLARS if record.lsn <= self.flushed_lsn => Some(()),
            payload::KIND_HISTOGRAMS => self.histograms(record),
            payload::KIND_EXEMPLARS => self.exemplars(record),
            payload::KIND_METADATA => {
                payload::read_metadata(record.payload).map(|metadata| self.tables.add_metadata(&[metadata]))
            }
            _ => None,
        };
        if read.is_none() {
            self.unreadable += 1;
        }
    }

    fn series(&mut self, bytes: &[u8]) -> Option<()> {
        let (local, id, labels): (u64, _, LabelsRef<'_>) = payload::read_series(bytes)?;
        describe(&mut self.tables.index_mut(), &mut self.locals, local, id, labels)
    }

    fn series_frame(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut index, mut described) = (self.tables.index_mut(), Some(()));
        let read = payload::read_series_frame(bytes, |local, id, labels| {
            described = described.and(describe(&mut index, &mut self.locals, local, id, labels));
        });
        read.and(described)
    }

    fn samples(&mut self, record: &Record<'_>, read: ReadSamples) -> Option<()> {
        let active = self.tables.state.active();
        let index = self.tables.index();
        let (mut samples, mut holes) = (0, 0_u64);
        let mut filler = active.filler();
        let read = read(record.payload, &mut |local, timestamps, values| match usize::try_from(local)
            .ok()
            .and_then(|local| self.locals.get(local))
        {
            Some(&number) if number != SeriesNumber::MAX => {
                insert(&mut filler, &index, number, timestamps, values);
                samples += timestamps.len() as u64;
            }
            _ => holes += 1,
        });
        drop(filler);
        active.cover(record.lsn, record.lsn);
        self.samples += samples;
        self.unreadable += holes;
        read
    }
}

impl Replayer<'_> {
    fn histograms(&mut self, record: &Record<'_>) -> Option<()> {
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
        active.cover(record.lsn, record.lsn);
        self.samples += samples;
        self.unreadable += holes;
        read
    }

    fn exemplars(&mut self, record: &Record<'_>) -> Option<()> {
        let mut holes = 0;
        let read = payload::read_exemplars(record.payload, |local, exemplar| match self.number_of(local) {
            Some(number) => self.tables.exemplars.add(number, [exemplar]),
            None => holes += 1,
        });
        self.tables.state.active().cover(record.lsn, record.lsn);
        self.unreadable += holes;
        read
    }

    fn number_of(&self, local: u64) -> Option<SeriesNumber> {
        let number = usize::try_from(local).ok().and_then(|local| self.locals.get(local))?;
        (*number != SeriesNumber::MAX).then_some(*number)
    }
}

/// A reader of sample records: local number, timestamps and values of each run go to the function.
type ReadSamples = fn(&[u8], &mut dyn FnMut(u64, &[i64], &[f64])) -> Option<()>;

fn describe(
    index: &mut SeriesIndex,
    locals: &mut Vec<SeriesNumber>,
    local: u64,
    id: series::SeriesId,
    labels: LabelsRef<'_>,
) -> Option<()> {
    // Asking by hash first walks the same path as the write did, so a collision resolves to the same id.
    let number = index.find_or_add(labels.id(), labels);
    debug_assert_eq!(index.entry(number).id, id);
    let local = usize::try_from(local).ok()?;
    // A damaged record before this one leaves a hole; its series is unknown here and its samples are counted.
    if locals.len() <= local {
        locals.resize(local.checked_add(1).filter(|&n| n <= 1 << 26)?, SeriesNumber::MAX);
    }
    locals[local] = number;
    Some(())
}
