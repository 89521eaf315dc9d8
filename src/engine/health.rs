//! What is wrong with the engine's surroundings, known to all parts; and the gate that keeps samples out meanwhile.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use series::{Append, AppendError, Appended, Batch, Recall};
use server::Alarm;
use wal::DiskSpace;

use super::Core;

/// How much room the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum DiskLevel {
    /// Enough.
    #[default]
    Ok,
    /// Little: shown.
    Warn,
    /// Too little to take samples.
    Shed,
    /// None.
    Full,
}

/// Written by the disk guard, read by everybody.
#[derive(Default)]
pub(crate) struct Health {
    level: AtomicU8,
    space: Mutex<Option<DiskSpace>>,
    /// Files and folders that were taken away under the running program, and what became of the samples in memory.
    gone: Mutex<Option<String>>,
    /// Why no samples are taken.
    refusal: RwLock<Option<String>>,
}

impl Health {
    pub(crate) fn set_disk(&self, level: DiskLevel, space: DiskSpace) {
        self.level.store(level as u8, Ordering::Relaxed);
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = Some(space);
    }

    pub(crate) fn level(&self) -> DiskLevel {
        match self.level.load(Ordering::Relaxed) {
            0 => DiskLevel::Ok,
            1 => DiskLevel::Warn,
            2 => DiskLevel::Shed,
            _ => DiskLevel::Full,
        }
    }

    /// Room on the data folder's disk, as last seen.
    pub(crate) fn space(&self) -> Option<DiskSpace> {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_gone(&self, what: Option<String>) {
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub(crate) fn gone(&self) -> Option<String> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses samples with this reason, or takes them again; true when that is news.
    pub(crate) fn refuse(&self, why: Option<String>) -> bool {
        let mut refusal = self.refusal.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = refusal.is_some() != why.is_some();
        *refusal = why;
        is_news
    }

    fn refusal(&self) -> Option<AppendError> {
        let refusal = self.refusal.read().unwrap_or_else(PoisonError::into_inner);
        refusal.clone().map(|why| AppendError::Unavailable { why })
    }
}

/// A write side that takes nothing while the surroundings are not fit for it.
pub(crate) struct Gated {
    inner: Arc<dyn Append>,
    health: Arc<Health>,
}

impl Gated {
    pub(crate) fn over(inner: Arc<dyn Append>, health: &Arc<Health>) -> Arc<dyn Append> {
        Arc::new(Self { inner, health: Arc::clone(health) })
    }
}

impl Append for Gated {
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        match self.health.refusal() {
            Some(refusal) => done(Err(refusal)),
            None => self.inner.append(batch, done),
        }
    }

    fn recall(&self) -> Option<Arc<dyn Recall>> {
        self.inner.recall()
    }
}

/// Everything that is wrong now, worst first, each with the next step.
pub(crate) fn alarms(core: &Core) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut alarm = |code: &str, message: String| alarms.push(Alarm { code: code.to_owned(), message });
    if let Some(gone) = core.health.gone() {
        alarm("folder_gone", gone);
    }
    let stats = core.store.stats();
    let free = core.health.space().map_or_else(String::new, |space| format!(" ({})", room(space)));
    match core.health.level() {
        DiskLevel::Ok => {}
        DiskLevel::Warn => alarm("disk_low", format!("the disk has little room{free}; free some soon")),
        DiskLevel::Shed => {
            alarm("disk_nearly_full", format!("the disk is nearly full{free}: samples are refused until there is room"))
        }
        DiskLevel::Full => {
            alarm("disk_full", format!("the disk is full{free}: samples are refused until there is room"))
        }
    }
    if let Some(refusing) = &stats.log.refusing {
        alarm("log_refuses", refusing.to_string());
    }
    for lost in core.store.damaged_files().iter().take(ALARMS_MAX) {
        let place = lost.moved_to.as_ref().map_or_else(String::new, |place| format!(", it is now at {place}"));
        alarm("file_damaged", format!("{} cannot be read: {}{place}; run `foretide doctor`", lost.file, lost.why));
    }
    if core.lost_records() > 0 {
        let message = format!(
            "{} records of the log could not be read back at the start: their samples are missing; the server's log names the places, a backup may have them",
            core.lost_records()
        );
        alarm("log_damaged", message);
    }
    if stats.unknown_series > 0 {
        let message = format!(
            "{} stored series have lost their labels; they come back when their senders send again, or with default/series from a backup",
            stats.unknown_series
        );
        alarm("series_lost", message);
    }
    if core.control.index_is_in_memory() {
        alarm("control_in_memory", "the control index lives in memory because the disk took none".to_owned());
    }
    alarms
}

/// Damaged files named one by one.
const ALARMS_MAX: usize = 20;

/// `1.5 GiB of 20.0 GiB free`.
pub(crate) fn room(space: DiskSpace) -> String {
    format!("{} of {} free", size(space.free_bytes), size(space.total_bytes))
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            ["0 B", "1023 B", "1.0 KiB", "512.0 MiB"],
            [0, 1023, 1024, 512 << 20].map(size).each_ref().map(String::as_str)
        );
    }
}
