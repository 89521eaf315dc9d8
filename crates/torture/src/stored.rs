//! A data folder read in this process, past HTTP and query languages: every sample with its bits, stale markers too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Columns, Labels, METRIC_NAME, MatchOp, Matcher, SelectRequest, SeriesOrder, SystemClock, TimeRange};
use store::{DataFolder, FileIds, Store, StoreOptions};

/// No file is written by these tests; the store wants names all the same.
struct Counting(AtomicU64);

impl FileIds for Counting {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
    }
}

/// All series whose metric's name matches `pattern`, with all samples. No server may have the folder open.
pub fn read_all(data: &Path, pattern: &str) -> Vec<(Labels, Columns)> {
    let folder = DataFolder::open(data).expect("the folder is free");
    let ids = Arc::new(Counting(AtomicU64::new(0)));
    let (store, _) =
        Store::open(&folder, StoreOptions::default(), Arc::new(SystemClock), ids).expect("the store opens");
    let matchers = [Matcher::new(METRIC_NAME, MatchOp::Regex, pattern).expect("a pattern")];
    let request =
        SelectRequest { matchers: &matchers, range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    let set = store.selector().select(&request).expect("selected");
    let series = (0..set.len()).map(|i| {
        let mut columns = Columns::default();
        set.read(i, TimeRange::ALL, &mut columns).expect("every file can be read");
        (set.labels(i).clone(), columns)
    });
    series.collect()
}
