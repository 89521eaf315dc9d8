//! What a data folder's bytes are for.

use std::path::Path;

use serde::Serialize;

/// Bytes of a data folder by part. The reserve is left out: it is room taken in advance, not data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    pub(super) log: u64,
    pub(super) chunks: u64,
    pub(super) series: u64,
    pub(super) rollups: u64,
    pub(super) control: u64,
    pub(super) other: u64,
}

impl Usage {
    /// Of the folder `data`; files that go while it is looked at count as gone.
    pub(super) fn of(data: &Path) -> Self {
        let mut usage = Self::default();
        usage.walk(data, "");
        usage
    }

    /// Parts with their names, as the table shows them.
    pub(super) fn parts(self) -> [(&'static str, u64); 6] {
        [
            ("log", self.log),
            ("chunks", self.chunks),
            ("series table", self.series),
            ("roll-ups", self.rollups),
            ("control", self.control),
            ("other", self.other),
        ]
    }

    pub(super) fn total(self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    fn walk(&mut self, folder: &Path, prefix: &str) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => self.walk(&entry.path(), &format!("{path}/")),
                Ok(meta) if path != "reserve.bin" => *self.part(&path) += meta.len(),
                _ => {}
            }
        }
    }

    fn part(&mut self, path: &str) -> &mut u64 {
        let is_below = |folder: &str| path.starts_with(folder);
        match () {
            () if is_below("wal/") => &mut self.log,
            () if is_below("default/chunks/") => &mut self.chunks,
            () if is_below("default/series/") => &mut self.series,
            () if is_below("default/rollup_") => &mut self.rollups,
            () if is_below("control/") => &mut self.control,
            () => &mut self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_but_the_reserve_has_its_part() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, bytes) in [
            ("wal/1", 1),
            ("default/chunks/day=1/a.parquet", 2),
            ("default/chunks/_delta_log/0.json", 4),
            ("default/series/b.parquet", 8),
            ("default/rollup_5m/c.parquet", 16),
            ("default/rollup_1h/d.parquet", 32),
            ("control/log/1", 64),
            ("FORMAT", 128),
            ("reserve.bin", 256),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, vec![0; bytes]).expect("written");
        }
        let usage = Usage::of(folder.path());
        assert_eq!(usage, Usage { log: 1, chunks: 6, series: 8, rollups: 48, control: 64, other: 128 });
        assert_eq!(usage.total(), 255);
    }
}
