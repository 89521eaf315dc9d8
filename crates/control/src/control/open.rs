//! Opening: newest snapshot, log, and an index that agrees with both or is built anew.

use std::path::Path;
use std::sync::{Arc, Mutex};

use wal::{Log, Record, Storage};

use crate::audit::{AuditHead, AuditRecord};
use crate::change::decode_record;
use crate::error::ControlError;
use crate::index::{Chain, Doubt, Index};
use crate::kind::Kind;
use crate::snapshot;

use super::core::{Core, LOG_DIR, SNAPSHOT_DIR};
use super::record::{CHANGES, Commit, Heads};
use super::{Control, ControlOptions, OpenReport, ScanRange, Snapshots};

pub(super) fn open(
    storage: Arc<dyn Storage>,
    root: &Path,
    options: ControlOptions,
) -> Result<(Control, OpenReport), ControlError> {
    storage.create_dir_all(SNAPSHOT_DIR).map_err(|error| ControlError::disk("create folder", SNAPSHOT_DIR, error))?;
    let (mut kept, damaged_snapshots) = snapshot::list(&*storage, SNAPSHOT_DIR)?;
    let (snapshot_lsn, chain) =
        kept.first().map_or((0, Chain::default()), |newest| (newest.meta.applied_lsn, newest.meta.chain));

    let core = Arc::new(Core::new(Arc::clone(&storage), root));
    let first_start = !core.index_path().exists();
    let mut check = Check::new(Index::open_existing(&core.index_path()), snapshot_lsn, chain);
    let for_apply = Arc::clone(&core);
    let (log, replay) = Log::open(
        storage,
        LOG_DIR,
        options.log,
        snapshot_lsn,
        &mut |record| {
            check.record(record);
            Ok(())
        },
        Box::new(move |commit: &Commit, lsns| for_apply.apply(lsns.last, &commit.take_record())),
    )?;
    let unreadable_records = check.unreadable;
    let mut report =
        OpenReport { replay, snapshot_lsn, damaged_snapshots, unreadable_records, ..OpenReport::default() };
    match check.finish(report.replay.last_lsn) {
        Ok(index) => core.set_index(index),
        Err(Doubt(reason)) => {
            report.quarantined = core.heal()?;
            report.rebuilt = (!first_start || report.replay.last_lsn > 0).then_some(reason);
        }
    }
    kept.truncate(2);
    let snapshots = Mutex::new(Snapshots { kept, log_bytes: 0 });
    let control = Control { core, log, snapshots };
    *control.core.heads() = Heads::new(audit_head(&control)?);
    for kind in Kind::ALL {
        report.entries += control.count(kind)?;
    }
    Ok((control, report))
}

fn audit_head(control: &Control) -> Result<AuditHead, ControlError> {
    let newest: Vec<(String, AuditRecord)> = control.scan(Kind::Audit, &ScanRange::newest(1))?;
    Ok(newest.first().map(|(_, record)| record.head()).unwrap_or_default())
}

/// Follows the replay with the index, and the hash chain with both.
struct Check {
    index: Result<Index, Doubt>,
    /// The record at which the index says it stands, until it was seen in the log with the same chain.
    unproven: Option<(u64, Chain)>,
    snapshot_lsn: u64,
    chain: Chain,
    unreadable: u64,
}

impl Check {
    fn new(index: Result<Index, Doubt>, snapshot_lsn: u64, chain: Chain) -> Self {
        let mut check = Self { index, unproven: None, snapshot_lsn, chain, unreadable: 0 };
        if let Ok(index) = &check.index {
            let meta = index.meta();
            check.unproven = Some((meta.applied_lsn, meta.chain));
            check.prove(snapshot_lsn);
        }
        check
    }

    /// The chain is known up to record `lsn`.
    fn prove(&mut self, lsn: u64) {
        let Some((applied_lsn, chain)) = self.unproven else { return };
        if applied_lsn < lsn {
            self.index = Err(Doubt(format!("it stands at record {applied_lsn}, before the snapshot at {lsn}")));
        } else if applied_lsn == lsn && chain != self.chain {
            self.index = Err(Doubt(format!("it has another history up to record {lsn}")));
        } else if applied_lsn > lsn {
            return;
        }
        self.unproven = None;
    }

    fn record(&mut self, record: Record<'_>) {
        if record.lsn <= self.snapshot_lsn {
            return;
        }
        self.chain = self.chain.after(record.payload);
        self.prove(record.lsn);
        let changes = decode_record(record.payload).filter(|_| record.kind == CHANGES);
        self.unreadable += u64::from(changes.is_none());
        if self.unproven.is_none()
            && let Ok(index) = &self.index
            && let Err(doubt) = index.apply(record.lsn, record.payload, &changes.unwrap_or_default())
        {
            self.index = Err(doubt);
        }
    }

    fn finish(self, last_lsn: u64) -> Result<Index, Doubt> {
        match self.unproven {
            Some((applied_lsn, _)) if self.index.is_ok() => Err(Doubt(format!(
                "it stands at record {applied_lsn}, which the log does not have (it ends at {last_lsn})"
            ))),
            _ => self.index,
        }
    }
}
