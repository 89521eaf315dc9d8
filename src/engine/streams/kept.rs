//! The checkpoint of the standing queries: one file, replaced as a whole.
//!
//! It changes every half minute and only the newest counts, so it has no place in a log. The state checks itself when it is
//! read.

use std::io;

use wal::Storage;

const FILE: &str = "streams.state";

/// The state that was kept last; `None` without any.
pub(super) fn read(disk: &dyn Storage) -> io::Result<Option<Vec<u8>>> {
    match disk.read(FILE) {
        Ok(state) => Ok(Some(state)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Keeps a state durably in the place of the one before.
pub(super) fn write(disk: &dyn Storage, state: &[u8]) -> io::Result<()> {
    wal::replace_file(disk, FILE, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = wal::LocalStorage::open(folder.path()).expect("storage");
        assert_eq!(read(&disk).expect("none yet"), None);
        for state in [&b"one"[..], b"another"] {
            write(&disk, state).expect("written");
            assert_eq!(read(&disk).expect("read").as_deref(), Some(state));
        }
    }
}
