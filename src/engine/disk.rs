//! The disk guard: once a second it looks at the room on the disk and whether the data folder is still there.
//!
//! ```text
//!   room:   ok ─▶ warn (shown) ─▶ shed (503 to senders) ─▶ full (reserve.bin is given up)
//!   folder: every landmark has the inode it had at the start, every segment of the log a name ─▶ else 503 and an alarm
//! ```
//!
//! Both heal by themselves: what is seen now is what counts. A log that has lost its files cannot be mended while it
//! runs; then the samples in memory are written to files at once, so that a restart loses nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wal::DiskSpace;

use super::Core;
use super::health::{DiskLevel, room};
use super::worker::Stop;
use crate::settings::DiskSettings;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Room taken in advance, inside the data folder.
pub(crate) const RESERVE: &str = "reserve.bin";
/// Folders and files that must keep their inode while the program runs.
const LANDMARKS: [&str; 6] =
    ["", "LOCK", "wal", "default/chunks/_delta_log", "default/series/_delta_log", "control/log"];
/// The reserve is taken once free space is below so many times the warning level: an empty disk needs none.
const NEAR: f64 = 1.5;
/// A level is left only when there is this much more room than it asks for, so that it does not flap.
const HYSTERESIS: f64 = 1.1;

/// Watches the data folder.
pub(crate) struct Guard {
    core: Arc<Core>,
    root: PathBuf,
    landmarks: Vec<(PathBuf, Option<Identity>)>,
}

/// Device and inode.
type Identity = (u64, u64);

/// Bytes of free space below which each level begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Levels {
    warn: f64,
    shed: f64,
    /// Size of the reserve.
    reserve: u64,
}

impl Guard {
    pub(crate) fn new(core: Arc<Core>, root: &Path) -> Self {
        let landmarks = LANDMARKS.iter().map(|name| root.join(name)).map(|path| (path.clone(), identity(&path)));
        Self { core, root: root.to_owned(), landmarks: landmarks.collect() }
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let mut saved = false;
        loop {
            self.look(&mut saved);
            if stop.wait(EVERY) {
                return;
            }
        }
    }

    /// One look. `saved` remembers that the samples in memory were written out after the log had lost its files.
    fn look(&self, saved: &mut bool) {
        let space = wal::disk_space(&self.root).inspect_err(|err| tracing::debug!(%err, "free space not known")).ok();
        if let Some(space) = space {
            self.mind_the_room(space);
        }
        let gone = self.gone().map(|path| self.mind_the_loss(&path, saved));
        let level = self.core.health.level();
        let why = gone.clone().or_else(|| {
            let space = space.filter(|_| level >= DiskLevel::Shed)?;
            Some(format!("the disk is nearly full ({}); free some, writing resumes by itself", room(space)))
        });
        self.core.health.set_gone(gone);
        let refusing = why.is_some();
        let because = why.clone().unwrap_or_default();
        if self.core.health.refuse(why) {
            if refusing {
                tracing::error!(because, "samples are refused");
            } else {
                tracing::info!("samples are taken again");
            }
        }
    }

    fn mind_the_room(&self, space: DiskSpace) {
        let levels = Levels::of(&self.core.settings.disk, space.total_bytes);
        let before = self.core.health.level();
        let stats = self.core.store.stats();
        let starved = stats.starved || matches!(stats.log.refusing, Some(wal::LogError::DiskFull { .. }));
        let level = if starved && space.free_bytes as f64 <= levels.shed {
            DiskLevel::Full
        } else {
            levels.level(space, before)
        };
        if level != before {
            tracing::warn!(?before, ?level, room = room(space), "the disk's room has another level");
        }
        self.core.health.set_disk(level, space);
        self.keep_reserve(level, levels.is_near(space), levels.reserve);
        let refuses_for_room = matches!(stats.log.refusing, Some(wal::LogError::DiskFull { .. }));
        if refuses_for_room
            && level < DiskLevel::Shed
            && let Err(err) = self.core.store.resume()
        {
            tracing::debug!(%err, "the log still refuses");
        }
    }

    /// Takes the reserve when the disk begins to fill, and gives it up when it is full.
    fn keep_reserve(&self, level: DiskLevel, is_near: bool, bytes: u64) {
        let path = self.root.join(RESERVE);
        let kept = fs::metadata(&path).map_or(0, |about| about.len());
        if level == DiskLevel::Full && kept > 0 {
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::warn!(bytes = kept, "the disk is full; the reserve is given up so that a flush can end")
                }
                Err(err) => tracing::warn!(%err, "the reserve could not be given up"),
            }
        } else if level < DiskLevel::Shed
            && is_near
            && kept != bytes
            && self.root.is_dir()
            && let Err(err) = wal::allocate(&path, bytes)
        {
            tracing::debug!(%err, "no reserve");
        }
    }

    /// What was taken away under us.
    fn gone(&self) -> Option<PathBuf> {
        let moved = |(path, then): &&(PathBuf, Option<Identity>)| then.is_some() && identity(path) != *then;
        if let Some((path, _)) = self.landmarks.iter().find(moved) {
            return Some(path.clone());
        }
        let lost = |path: &str| identity(&self.root.join(path)).is_none();
        let segment = self.core.store.log_segments().into_iter().find(|segment| lost(&segment.path))?;
        // Truncation removes segments as well; one that is still listed after it was missed is really lost.
        let is_listed = self.core.store.log_segments().iter().any(|listed| listed.path == segment.path);
        (is_listed && lost(&segment.path)).then(|| self.root.join(&segment.path))
    }

    fn mind_the_loss(&self, path: &Path, saved: &mut bool) -> String {
        if !*saved && identity(&self.root.join("default/chunks/_delta_log")).is_some() {
            // The log's tail ends in an error, since its files are gone; what counts is that memory is in files.
            let outcome = self.core.store.flush(false);
            let left = self.core.store.stats().memtable_samples;
            tracing::error!(path = %path.display(), ?outcome, left, "taken away under the running program; memory written to files");
            *saved = left == 0;
        }
        let kept = if *saved { "samples in memory were written to files" } else { "samples in memory may be lost" };
        format!("{} was removed or replaced under the running program; {kept}; put it back or restart", path.display())
    }
}

impl Levels {
    fn of(settings: &DiskSettings, total_bytes: u64) -> Self {
        let total = total_bytes as f64;
        let mib = |mib: u64, share: u64| (mib << 20).min(total_bytes / share);
        let shed = (total * settings.shed_percent / 100.0).max(mib(settings.shed_mib, 8) as f64);
        Self { warn: (total * settings.warn_percent / 100.0).max(shed), shed, reserve: mib(settings.reserve_mib, 64) }
    }

    fn is_near(&self, space: DiskSpace) -> bool {
        (space.free_bytes as f64) < self.warn * NEAR
    }

    fn level(&self, space: DiskSpace, before: DiskLevel) -> DiskLevel {
        let below = |bytes: f64, level: DiskLevel| {
            let bytes = if before >= level { bytes * HYSTERESIS } else { bytes };
            (space.free_bytes as f64) < bytes
        };
        if space.free_bytes == 0 {
            DiskLevel::Full
        } else if below(self.shed, DiskLevel::Shed) {
            DiskLevel::Shed
        } else if below(self.warn, DiskLevel::Warn) {
            DiskLevel::Warn
        } else {
            DiskLevel::Ok
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn level(total: u64, free: u64, before: DiskLevel) -> DiskLevel {
        let space = DiskSpace { free_bytes: free, total_bytes: total };
        Levels::of(&DiskSettings::default(), total).level(space, before)
    }

    #[test]
    fn levels_fit_large_and_small_disks() {
        let large = 100 << 30;
        assert_eq!(level(large, 20 << 30, DiskLevel::Ok), DiskLevel::Ok);
        assert_eq!(level(large, 9 << 30, DiskLevel::Ok), DiskLevel::Warn);
        assert_eq!(level(large, 4 << 30, DiskLevel::Ok), DiskLevel::Shed);
        assert_eq!(level(large, 0, DiskLevel::Ok), DiskLevel::Full);
        assert_eq!(level(8 << 30, 500 * MIB, DiskLevel::Ok), DiskLevel::Shed, "512 MiB are more than 5 %");
        assert_eq!(level(24 * MIB, 4 * MIB, DiskLevel::Ok), DiskLevel::Ok, "an eighth of a small disk");
        assert_eq!(level(24 * MIB, 2 * MIB, DiskLevel::Ok), DiskLevel::Shed);
        assert!(Levels::of(&DiskSettings::default(), 24 * MIB).reserve < MIB);
        let near = |free| {
            let space = DiskSpace { free_bytes: free, total_bytes: large };
            Levels::of(&DiskSettings::default(), large).is_near(space)
        };
        assert!(near(14 << 30) && !near(16 << 30), "the reserve is there before the first warning");
    }

    #[test]
    fn a_level_is_left_with_some_room_to_spare() {
        let (total, edge) = (100_u64 << 30, 5_u64 << 30);
        assert_eq!(level(total, edge + MIB, DiskLevel::Shed), DiskLevel::Shed);
        assert_eq!(level(total, edge + MIB, DiskLevel::Warn), DiskLevel::Warn);
        assert_eq!(level(total, 6 << 30, DiskLevel::Shed), DiskLevel::Warn);
        assert_eq!(level(total, 12 << 30, DiskLevel::Warn), DiskLevel::Ok);
    }
}
