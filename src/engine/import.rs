//! The write side for imports: the past goes to the store alone, the present also to the streams.
//!
//! Standing queries follow time forwards. Samples of last year would be late for every one of them, and the span between
//! them and now would be read back from the store for nothing.

use std::sync::Arc;

use series::{Append, AppendError, Appended, Batch, Clock, Millis, Timestamp};

use super::Core;
use super::tee::Tee;

/// A batch whose samples are all younger than this is one of the present: somebody pushes.
const PRESENT: Millis = Millis::from_mins(10);

/// Takes samples of any age.
pub(crate) struct Importer {
    store: Arc<dyn Append>,
    tee: Arc<Tee>,
    clock: Arc<dyn Clock>,
}

impl Importer {
    pub(crate) fn new(core: &Core, tee: Arc<Tee>) -> Self {
        Self { store: core.store.import_appender(), tee, clock: Arc::clone(&core.clock) }
    }
}

impl Append for Importer {
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        if is_of_the_present(&batch, self.clock.now()) {
            self.tee.append_by(&*self.store, batch, done);
        } else {
            self.store.append(batch, done);
        }
    }
}

fn is_of_the_present(batch: &Batch, now: Timestamp) -> bool {
    let oldest = now - PRESENT;
    batch.iter().all(|series| series.timestamps.iter().all(|&at| Timestamp(at) >= oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_old_sample_makes_a_batch_one_of_the_past() {
        let now = Timestamp(10_000_000);
        let batch = |times: &[i64]| {
            let mut batch = Batch::default();
            batch.begin([("__name__", "up")]).expect("small");
            times.iter().for_each(|&at| batch.push(Timestamp(at), 1.0));
            batch
        };
        assert!(is_of_the_present(&batch(&[now.0, now.0 - PRESENT.0, now.0 + 5]), now));
        assert!(!is_of_the_present(&batch(&[now.0, now.0 - PRESENT.0 - 1]), now));
    }
}
