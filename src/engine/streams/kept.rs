//! The checkpoint of the standing queries: one file, replaced as a whole.
//!
//! It changes every half minute and only the newest counts, so it has no place in a log. Where it came from does not
//! matter: the state checks itself when it is read.

use std::io;

use control::{Control, Kind};
use serde::Deserialize;
use wal::Storage;

const FILE: &str = "streams.state";
/// Where earlier releases kept it: a record of the control log, in hexadecimal.
const KEY_BEFORE: &str = "streams";

#[derive(Deserialize)]
struct RecordBefore {
    state: String,
}

/// The state that was kept last; `None` without any.
pub(super) fn read(disk: &dyn Storage, control: &Control) -> io::Result<Option<Vec<u8>>> {
    match disk.read(FILE) {
        Ok(state) => Ok(Some(state)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let record = control.get::<RecordBefore>(Kind::Checkpoint, KEY_BEFORE).ok().flatten();
            Ok(record.map(|record| from_hex(&record.state)))
        }
        Err(err) => Err(err),
    }
}

/// Keeps a state durably in the place of the one before.
pub(super) fn write(disk: &dyn Storage, state: &[u8]) -> io::Result<()> {
    wal::replace_file(disk, FILE, state)
}

/// A digit that is none ends the bytes; what is cut off fails the state's own check.
fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_is_read_and_hexadecimal_ends_at_a_strange_digit() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = wal::LocalStorage::open(folder.path()).expect("storage");
        for state in [&b"one"[..], b"another"] {
            write(&disk, state).expect("written");
            assert_eq!(disk.read(FILE).expect("read"), state);
        }
        assert_eq!(from_hex("00ff1x22"), [0, 255]);
    }
}
