//! The points, in words and as system calls.

use std::fs;
use std::path::{Path, PathBuf};

/// A place in a life at which it ends.
pub(super) struct Point {
    pub(super) name: &'static str,
    /// The call that is not made.
    pub(super) call: &'static str,
    pub(super) at: At,
    /// Which of those of one thread.
    pub(super) nth: u64,
    pub(super) life: Life,
}

/// What the call must be about. Of a rename strace looks at the old name only.
#[derive(Clone, Copy)]
pub(super) enum At {
    Anything,
    /// The folder that holds the data folder, and the latter.
    Above,
    Data,
    /// A file or folder below the data folder, by its path.
    Below(&'static str),
    /// The segment so many after the newest in a folder of segments.
    Segment(&'static str, u64),
    /// The commit of the chunk files so many after the newest.
    Commit(u64),
    /// The folder of the newest day's chunk files.
    Day,
    /// The file that the process stages as its so manieth, from 0.
    Staged(u64),
    /// The folder of the backup, or a file in it.
    Backup(&'static str),
}

/// In which life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// From its first instruction, on a folder that is not there yet.
    First,
    /// From its first instruction, on the folder that all points share.
    Start,
    /// From when it answers, on that folder.
    Work,
    /// The same without senders: the log is cut behind a flush only when nothing has come since.
    Calm,
}

const fn first(name: &'static str, call: &'static str, at: At) -> Point {
    Point { name, call, at, nth: 1, life: Life::First }
}

const fn start(name: &'static str, call: &'static str, at: At) -> Point {
    Point { name, call, at, nth: 1, life: Life::Start }
}

const fn work(name: &'static str, call: &'static str, at: At, nth: u64) -> Point {
    Point { name, call, at, nth, life: Life::Work }
}

const fn calm(name: &'static str, call: &'static str, at: At) -> Point {
    Point { name, call, at, nth: 1, life: Life::Calm }
}

const CONTROL: &str = "control/log";

/// In the order in which a life comes by them. What a start removes is what the death before it left.
pub(super) const POINTS: [Point; 55] = [
    first("before the data folder is made", "mkdir", At::Data),
    first("before the new data folder is synced", "fsync", At::Above),
    first("before the lock file has the process id", "ftruncate", At::Below("LOCK")),
    first("before the format is written", "write", At::Below("FORMAT.tmp")),
    first("before the format is synced", "fdatasync", At::Below("FORMAT.tmp")),
    first("before the format has its name", "rename", At::Below("FORMAT.tmp")),
    first("after the format has its name", "fsync", At::Data),
    first("before the first commit of the chunk files", "linkat", At::Commit(0)),
    first("after the first commit of the chunk files", "fsync", At::Below("default/chunks/_delta_log")),
    first("before the log's folder is made", "mkdir", At::Below("wal")),
    first("after the log's folder is made", "fsync", At::Below("wal")),
    first("before the control log's first segment is made", "openat", At::Segment(CONTROL, 1)),
    first("before the control log's first segment has a header", "write", At::Segment(CONTROL, 1)),
    first("before room is reserved", "fallocate", At::Below("reserve.bin")),
    first("after room is reserved", "fsync", At::Below("reserve.bin")),
    start("before a start has the lock file", "ftruncate", At::Below("LOCK")),
    start("before a start syncs the log's folder", "fsync", At::Below("wal")),
    start("before a start syncs the log's last segment", "fsync", At::Segment("wal", 0)),
    start("before a start syncs the control log's last segment", "fsync", At::Segment(CONTROL, 0)),
    start("before the control log goes on in a new segment", "openat", At::Segment(CONTROL, 1)),
    start("before the control log's new segment is synced", "fdatasync", At::Segment(CONTROL, 1)),
    start("before the control log's folder is synced", "fsync", At::Below(CONTROL)),
    work("before a segment of the log is made", "openat", At::Segment("wal", 1), 1),
    work("before a segment has a header", "write", At::Segment("wal", 1), 1),
    work("before a segment's header is synced", "fdatasync", At::Segment("wal", 1), 1),
    work("before a segment's name is synced", "fsync", At::Below("wal"), 1),
    work("before the first record of a life is written", "write", At::Segment("wal", 1), 2),
    work("before the first record of a life is synced", "fdatasync", At::Segment("wal", 1), 2),
    work("before the 9th record is written", "write", At::Segment("wal", 1), 10),
    work("before the 9th record is synced", "fdatasync", At::Segment("wal", 1), 10),
    work("before the first answer, all else being done", "writev", At::Anything, 1),
    work("before the 20th answer of a thread", "writev", At::Anything, 20),
    work("before a flush begins its first file", "openat", At::Staged(0), 1),
    work("before a flush writes its first file", "write", At::Staged(0), 1),
    work("before a flush syncs its first file", "fsync", At::Staged(0), 1),
    work("before a flush's first file has its name", "linkat", At::Staged(0), 1),
    work("before the folder of chunk files is synced", "fsync", At::Day, 1),
    work("before the first staged name is removed", "unlink", At::Staged(0), 1),
    start("before a start removes what was staged", "unlink", At::Anything),
    work("before the second staged file is synced", "fsync", At::Staged(1), 1),
    work("before a flush is committed", "linkat", At::Commit(1), 1),
    work("after a flush is committed", "fsync", At::Below("default/chunks/_delta_log"), 1),
    calm("before the log goes on behind a flush", "openat", At::Segment("wal", 2)),
    calm("before the log is cut", "unlink", At::Segment("wal", 1)),
    work("before metadata has its name", "rename", At::Below("metadata.json.tmp"), 1),
    work("before exemplars have their name", "rename", At::Below("exemplars.json.tmp"), 1),
    work("before a deletion is written", "write", At::Below("default/tombstones.json.tmp"), 1),
    work("before a deletion is synced", "fdatasync", At::Below("default/tombstones.json.tmp"), 1),
    work("before a deletion has its name", "rename", At::Below("default/tombstones.json.tmp"), 1),
    work("after a deletion has its name", "fsync", At::Below("default"), 1),
    work("before the second commit of a life", "linkat", At::Commit(2), 1),
    work("before the third commit of a life", "linkat", At::Commit(3), 1),
    work("before a backup's list is synced", "fsync", At::Backup("MANIFEST.tmp"), 1),
    work("before a backup's list has its name", "rename", At::Backup("MANIFEST.tmp"), 1),
    work("after a backup's list has its name", "fsync", At::Backup(""), 2),
];

impl At {
    /// The path to watch in a life on `data`; the process's number is known once it lives.
    pub(super) fn path(self, data: &Path, backup: &Path, pid: u32) -> Option<PathBuf> {
        let next = |newest: Option<u64>, after: u64| newest.map_or(after.saturating_sub(1), |newest| newest + after);
        let path = match self {
            Self::Anything => return None,
            Self::Above => data.parent()?.to_owned(),
            Self::Data => data.to_owned(),
            Self::Below(name) => data.join(name),
            Self::Segment(folder, after) => {
                let folder = data.join(folder);
                folder.join(format!("{:020}.wal", newest(&folder, "wal").unwrap_or(0) + after))
            }
            Self::Commit(after) => {
                let log = data.join("default/chunks/_delta_log");
                log.join(format!("{:020}.json", next(newest(&log, "json"), after)))
            }
            Self::Day => {
                let days = fs::read_dir(data.join("default/chunks")).ok()?.flatten().map(|entry| entry.path());
                days.filter(|path| path.display().to_string().contains("date=")).max()?
            }
            Self::Staged(number) => data.join(format!(".staging/{pid}-{number}")),
            Self::Backup("") => backup.to_owned(),
            Self::Backup(name) => backup.join(name),
        };
        Some(path)
    }
}

/// The largest number among the names of a folder's files of this kind.
fn newest(folder: &Path, extension: &str) -> Option<u64> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let numbered = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    numbered.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).max()
}
