//! A store in a folder that outlives it, under a clock that the test moves.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Batch, Clock as _, Columns, Labels, ManualClock, SelectRequest, SeriesOrder, TimeRange, Timestamp};
use store::{DataFolder, FileIds, Store, StoreOptions};

/// When tests begin.
pub(crate) const NOW: i64 = 1_795_000_000_000;

struct Counter(AtomicU64);

impl FileIds for Counter {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// See the module.
pub(crate) struct Bench {
    root: tempfile::TempDir,
    clock: Arc<ManualClock>,
    ids: Arc<Counter>,
    open: Option<(Store, DataFolder)>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let (clock, ids) = (Arc::new(ManualClock::new(Timestamp(NOW))), Arc::new(Counter(AtomicU64::new(1))));
        Self { root, clock, ids, open: None }
    }

    /// With a store as it is by default.
    pub(crate) fn open() -> Self {
        let mut bench = Self::new();
        bench.reopen(StoreOptions::default());
        bench
    }

    pub(crate) fn reopen(&mut self, options: StoreOptions) {
        self.open = None;
        let folder = DataFolder::open(self.root.path()).expect("the folder opens");
        let (clock, ids) = (Arc::clone(&self.clock) as Arc<dyn series::Clock>, Arc::clone(&self.ids));
        let (store, report) = Store::open(&folder, options, clock, ids).expect("the store opens");
        assert_eq!((report.log.missing, report.unreadable_records), (0, 0));
        self.open = Some((store, folder));
    }

    /// Opens the folder without waiting for its log, after closing what was open.
    pub(crate) fn reopen_early(&mut self) {
        self.open = None;
        let folder = DataFolder::open(self.root.path()).expect("the folder opens");
        let (clock, ids) = (Arc::clone(&self.clock) as Arc<dyn series::Clock>, Arc::clone(&self.ids));
        let store = Store::open_early(&folder, StoreOptions::default(), clock, ids).expect("the store opens");
        self.open = Some((store, folder));
    }

    /// Closes the store; the folder stays.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn set_now(&self, now: Timestamp) {
        self.clock.set(now);
    }

    pub(crate) fn store(&self) -> &Store {
        &self.open.as_ref().expect("open").0
    }

    pub(crate) fn append(&self, batch: Batch) -> series::Appended {
        self.store().appender().append_wait(batch).expect("acknowledged")
    }

    /// Without the limits that senders are held to.
    pub(crate) fn append_own(&self, batch: Batch) -> series::Appended {
        self.store().own_appender().append_wait(batch).expect("acknowledged")
    }

    /// Times and bits of every sample.
    pub(crate) fn read_all(&self) -> BTreeMap<Labels, Vec<(i64, u64)>> {
        let select = self.store().selector();
        let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
        let set = select.select(&request).expect("selects");
        let mut found = BTreeMap::new();
        for i in 0..set.len() {
            let mut columns = Columns::default();
            set.read(i, TimeRange::ALL, &mut columns).expect("reads");
            let bits = columns.iter().map(|(at, value)| (at.0, value.to_bits())).collect();
            found.insert(set.labels(i).clone(), bits);
        }
        found
    }
}

/// A series of one of three metrics.
pub(crate) fn labels(i: u8) -> Labels {
    Labels::from_pairs([("__name__", format!("m{}", i % 3)), ("host", format!("h{i}"))]).expect("valid")
}
