//! Which segment files there are and where each begins in the sequence.

use std::io;

use crate::error::LogError;
use crate::format::{self, FORMAT_VERSION, HEADER_BYTES, Header, HeaderState};
use crate::segments::parse_file_name;
use crate::storage::Storage;

use super::Purpose;

/// A segment file before its records are read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) path: String,
    pub(super) bytes: u64,
    /// `None` if it is damaged or unfinished.
    pub(super) header: Option<Header>,
    /// From the header, else from the first good record. `None`: nothing in it can be used (empty or torn file).
    pub(super) first_lsn: Option<u64>,
}

/// The segments of `dir`, oldest first. Refuses newer formats before anything is changed.
pub(super) fn segments(storage: &dyn Storage, dir: &str, purpose: Purpose) -> Result<Vec<Found>, LogError> {
    if purpose == Purpose::Open {
        // Removals of the last run become durable first: its numbers may be given again from here on, and a file that
        // came back after a power cut would then pass for a newer one.
        match storage.sync_dir(dir) {
            // A folder that takes nothing lost nothing either.
            Err(error) if !crate::space::is_read_only(&error) => return Err(LogError::io("sync folder", dir, error)),
            _ => {}
        }
    }
    let names = match storage.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(LogError::io("list", dir, error)),
    };
    let mut found = Vec::new();
    for number in names.iter().filter_map(|name| parse_file_name(name)) {
        found.push(look(storage, number, format!("{dir}/{}", crate::segments::file_name(number)))?);
    }
    if purpose == Purpose::Open {
        settle_end(storage, &mut found)?;
    }
    for index in 0..found.len() {
        if found[index].header.is_none() && found[index].bytes > 0 {
            found[index].first_lsn = first_good_record(storage, &found, index)?;
        }
    }
    Ok(found)
}

fn look(storage: &dyn Storage, number: u64, path: String) -> Result<Found, LogError> {
    let fail = |error| LogError::io("read segment", &path, error);
    let bytes = storage.len(&path).map_err(fail)?;
    let head = storage.read_range(&path, 0, HEADER_BYTES).map_err(fail)?;
    let header = match Header::decode(&head) {
        HeaderState::Good(header) => Some(header),
        HeaderState::Damaged => None,
        HeaderState::Newer(found) => return Err(LogError::NewerFormat { path, found, known: FORMAT_VERSION }),
    };
    Ok(Found { number, path, bytes, header, first_lsn: header.map(|header| header.first_lsn) })
}

/// Makes the end of the log show what the disk holds, back to the last segment whose header really is there.
fn settle_end(storage: &dyn Storage, found: &mut [Found]) -> Result<(), LogError> {
    for segment in found.iter_mut().rev() {
        storage.settle(&segment.path).map_err(|error| LogError::io("settle", &segment.path, error))?;
        *segment = look(storage, segment.number, std::mem::take(&mut segment.path))?;
        if segment.header.is_some() {
            break;
        }
    }
    Ok(())
}

/// Where a segment with a damaged header begins, if any of its records can still be read.
fn first_good_record(storage: &dyn Storage, found: &[Found], index: usize) -> Result<Option<u64>, LogError> {
    let path = &found[index].path;
    let bytes = storage.read(path).map_err(|error| LogError::io("read segment", path, error))?;
    let min_lsn = found[..index].iter().rev().find_map(|earlier| earlier.first_lsn).unwrap_or(1);
    let end_lsn = found[index + 1..].iter().find_map(|later| later.first_lsn).unwrap_or(u64::MAX);
    let at_its_place = format::record_at(&bytes, HEADER_BYTES).filter(|r| r.lsn >= min_lsn && r.lsn < end_lsn);
    let first = at_its_place.or_else(|| format::any_record(&bytes, HEADER_BYTES, min_lsn, end_lsn));
    Ok(first.map(|record| record.lsn))
}
