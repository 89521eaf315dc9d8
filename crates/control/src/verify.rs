//! Reading the control plane to its last byte without changing anything.

use wal::{LogError, ReplayStop, Storage};

use crate::change::decode_record;
use crate::control::{CHANGES, LOG_DIR, SNAPSHOT_DIR};
use crate::index::{Chain, Doubt, Index};
use crate::snapshot;

/// Looks at a place that is changing under us.
const LOOKS: usize = 5;

/// The first file of the control plane that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct ControlDamage {
    /// The file, inside the data folder.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

/// Reads every snapshot and the log above the newest one, and builds the index from them in memory. Answers the number
/// of the last record.
///
/// # Errors
/// [`ControlDamage`]. A folder in use is read again a few times before its changes pass for damage.
pub fn verify(storage: &dyn Storage) -> Result<u64, ControlDamage> {
    let mut last = look(storage);
    for _ in 1..LOOKS {
        if last.is_ok() {
            break;
        }
        last = look(storage);
    }
    last
}

fn look(storage: &dyn Storage) -> Result<u64, ControlDamage> {
    let damage = |file: &str, why: String| ControlDamage { file: file.to_owned(), why };
    let (kept, bad) = match snapshot::find(storage, SNAPSHOT_DIR) {
        Ok(found) => found,
        Err(err) => return Err(damage(SNAPSHOT_DIR, err.to_string())),
    };
    if let Some(bad) = bad.first() {
        return Err(damage(bad, "its header is damaged".to_owned()));
    }
    let mut index = Index::in_memory(0, Chain::default());
    let mut from = 0;
    // The newest last: it is the one that the log goes on from.
    for snapshot in kept.iter().rev() {
        index = Index::in_memory(snapshot.meta.applied_lsn, snapshot.meta.chain);
        from = snapshot.meta.applied_lsn;
        snapshot::load(storage, snapshot, &index).map_err(|Doubt(why)| damage(&snapshot.path, why))?;
    }
    let report = wal::read(storage, LOG_DIR, from, &mut |record| {
        let changes = decode_record(record.payload).filter(|_| record.kind == CHANGES);
        let stop = |why: String| ReplayStop { reason: why };
        let changes = changes.ok_or_else(|| stop(format!("record {} makes no sense", record.lsn)))?;
        index.apply(record.lsn, record.payload, &changes).map_err(|Doubt(why)| stop(why))
    });
    let report = report.map_err(|err| match err {
        LogError::Io { ref path, .. } => damage(path, err.to_string()),
        other => damage(LOG_DIR, other.to_string()),
    })?;
    match report.damage.first() {
        Some(first) => {
            let file = if first.path.is_empty() { LOG_DIR } else { &first.path };
            Err(damage(
                file,
                format!("{} bad bytes at {}, {} records missing", first.bytes, first.offset, first.missing),
            ))
        }
        None => Ok(report.last_lsn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Control, ControlOptions, Kind};
    use series::Timestamp;
    use std::sync::Arc;
    use wal::sim::SimStorage;

    #[test]
    fn a_sound_plane_passes_and_a_flipped_bit_is_named() {
        let (storage, root) = (SimStorage::new(3), tempfile::tempdir().expect("a folder"));
        let (control, _) =
            Control::open(Arc::new(storage.clone()), root.path(), ControlOptions::default()).expect("opens");
        for i in 0..20 {
            control.put(Kind::Setting, &format!("k{i}"), &i).expect("put");
            if i == 10 {
                control.snapshot(Timestamp(1)).expect("taken");
            }
        }
        assert_eq!(verify(&storage), Ok(20));
        let snapshot = format!("{SNAPSHOT_DIR}/{:020}.snap", 11);
        assert!(storage.flip_bit(&snapshot, 300, 1));
        assert_eq!(verify(&storage).expect_err("flipped").file, snapshot);
        assert!(storage.flip_bit(&snapshot, 300, 1));
        let segment = format!("{LOG_DIR}/{:020}.wal", 1);
        assert!(storage.flip_bit(&segment, 400, 1));
        assert!(verify(&storage).expect_err("flipped").file.starts_with(LOG_DIR));
    }
}
