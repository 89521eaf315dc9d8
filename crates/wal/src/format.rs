//! The bytes of a segment: a header, then records. Described in `FORMAT.md`; nothing else knows offsets.

/// Version written into every segment header.
pub const FORMAT_VERSION: u32 = 1;
/// Size of a segment header.
pub const HEADER_BYTES: usize = 48;
/// Size of a record before its payload.
pub const RECORD_HEADER_BYTES: usize = 17;
/// Largest payload of one record: 256 MiB. A longer length field is damage.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 20;

const MAGIC: [u8; 8] = *b"FTIDEWAL";
/// Magic, version and their checksum: the part that no later version may move.
const PREFIX_BYTES: usize = 16;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    pub(crate) previous_crc: u32,
}

/// What the first bytes of a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Good(Header),
    /// A sound prefix of a version this build does not know.
    Newer(u32),
    Damaged,
}

/// One record found valid in a segment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    pub(crate) offset: usize,
    pub(crate) end: usize,
    pub(crate) lsn: u64,
    pub(crate) kind: u8,
    pub(crate) crc: u32,
    pub(crate) payload: &'a [u8],
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let prefix = crc32c::crc32c(&out[..12]);
        out[12..16].copy_from_slice(&prefix.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[40..44].copy_from_slice(&self.previous_crc.to_le_bytes());
        let whole = crc32c::crc32c(&out[..44]);
        out[44..].copy_from_slice(&whole.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderState {
        if bytes.len() < PREFIX_BYTES || bytes[..8] != MAGIC || u32_at(bytes, 12) != Some(crc32c::crc32c(&bytes[..12]))
        {
            return HeaderState::Damaged;
        }
        match u32_at(bytes, 8) {
            Some(FORMAT_VERSION) => {}
            Some(found) if found > FORMAT_VERSION => return HeaderState::Newer(found),
            _ => return HeaderState::Damaged,
        }
        if bytes.len() < HEADER_BYTES || u32_at(bytes, 44) != Some(crc32c::crc32c(&bytes[..44])) {
            return HeaderState::Damaged;
        }
        match (u64_at(bytes, 16), u64_at(bytes, 24), u64_at(bytes, 32), u32_at(bytes, 40)) {
            (Some(number), Some(epoch), Some(first_lsn), Some(previous_crc)) => {
                HeaderState::Good(Self { number, epoch, first_lsn, previous_crc })
            }
            _ => HeaderState::Damaged,
        }
    }
}

/// Appends one record whose payload `fill` writes. Answers its checksum, or the size of a payload that is too large.
pub(crate) fn write_record(
    out: &mut Vec<u8>,
    kind: u8,
    lsn: u64,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<u32, usize> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    fill(out);
    let payload_at = start + RECORD_HEADER_BYTES;
    let bytes = out.len().saturating_sub(payload_at);
    let len = u32::try_from(bytes).map_err(|_| bytes)?;
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(bytes);
    }
    let crc = record_crc(kind, lsn, &out[payload_at..]);
    let head = &mut out[start..payload_at];
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    head[8..16].copy_from_slice(&lsn.to_le_bytes());
    head[16] = kind;
    Ok(crc)
}

/// The record at `offset`, if length and checksum hold.
pub(crate) fn record_at(bytes: &[u8], offset: usize) -> Option<RawRecord<'_>> {
    let (len, lsn) = frame_at(bytes, offset)?;
    let crc = u32_at(bytes, offset + 4)?;
    let kind = *bytes.get(offset + 16)?;
    let start = offset + RECORD_HEADER_BYTES;
    let end = start.checked_add(len)?;
    let payload = bytes.get(start..end)?;
    (record_crc(kind, lsn, payload) == crc).then_some(RawRecord { offset, end, lsn, kind, crc, payload })
}

/// The first valid record at or after `from` whose number lies in `[min_lsn, end_lsn)`.
///
/// Looks at every byte offset, since a damaged length says nothing about where the next record starts. Checksums are
/// computed only where the number is plausible, and for at most eight times the remaining bytes in all, so that hostile
/// payloads full of forged frames cannot make a start slow.
pub(crate) fn next_record(bytes: &[u8], from: usize, min_lsn: u64, end_lsn: u64) -> Option<RawRecord<'_>> {
    // More records than that cannot have been lost in so few bytes.
    let rest = bytes.len().saturating_sub(from);
    let end_lsn = end_lsn.min(min_lsn.saturating_add((rest / RECORD_HEADER_BYTES) as u64 + 1));
    any_record(bytes, from, min_lsn, end_lsn)
}

/// Like [`next_record`], without its assumption that the records before `from` are known.
pub(crate) fn any_record(bytes: &[u8], from: usize, min_lsn: u64, end_lsn: u64) -> Option<RawRecord<'_>> {
    let rest = bytes.len().saturating_sub(from);
    let mut budget = rest.saturating_mul(8).saturating_add(1 << 20);
    for offset in from..bytes.len().saturating_sub(RECORD_HEADER_BYTES - 1) {
        let Some((len, lsn)) = frame_at(bytes, offset) else { continue };
        if lsn < min_lsn || lsn >= end_lsn || len > budget {
            continue;
        }
        if let Some(record) = record_at(bytes, offset) {
            return Some(record);
        }
        budget -= len;
    }
    None
}

/// Reads the bytes of one segment and answers the number of valid records in it, resuming after damage. For fuzzing
/// and inspection; a log's own reader also compares neighbouring segments.
pub fn scan_segment(bytes: &[u8], mut visit: impl FnMut(u64, u8, &[u8])) -> usize {
    let mut expected = match Header::decode(bytes) {
        HeaderState::Good(header) => header.first_lsn,
        HeaderState::Newer(_) | HeaderState::Damaged => 0,
    };
    let (mut offset, mut found) = (HEADER_BYTES, 0);
    while offset < bytes.len() {
        let here = record_at(bytes, offset).filter(|record| record.lsn >= expected);
        let Some(record) = here.or_else(|| next_record(bytes, offset, expected, u64::MAX)) else { break };
        visit(record.lsn, record.kind, record.payload);
        expected = record.lsn.saturating_add(1);
        offset = record.end;
        found += 1;
    }
    found
}

/// Length and number of a plausible frame.
fn frame_at(bytes: &[u8], offset: usize) -> Option<(usize, u64)> {
    let len = u32_at(bytes, offset)? as usize;
    if len > MAX_PAYLOAD_BYTES || len > bytes.len().saturating_sub(offset + RECORD_HEADER_BYTES) {
        return None;
    }
    Some((len, u64_at(bytes, offset + 8)?))
}

fn record_crc(kind: u8, lsn: u64, payload: &[u8]) -> u32 {
    let mut head = [kind; 9];
    head[1..].copy_from_slice(&lsn.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), payload)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(records: &[&[u8]]) -> Vec<u8> {
        let mut out = Header { number: 3, epoch: 1, first_lsn: 10, previous_crc: 7 }.encode().to_vec();
        for (index, payload) in records.iter().enumerate() {
            write_record(&mut out, 1, 10 + index as u64, |buf| buf.extend_from_slice(payload)).unwrap();
        }
        out
    }

    #[test]
    fn headers_round_trip_and_newer_versions_are_told_apart_from_damage() {
        let header = Header { number: 3, epoch: 9, first_lsn: 10, previous_crc: 7 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), HeaderState::Good(header));
        assert_eq!(Header::decode(&bytes[..40]), HeaderState::Damaged);
        for at in 0..HEADER_BYTES {
            let mut flipped = bytes;
            flipped[at] ^= 4;
            assert_eq!(Header::decode(&flipped), HeaderState::Damaged, "byte {at}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        let prefix = crc32c::crc32c(&newer[..12]);
        newer[12..16].copy_from_slice(&prefix.to_le_bytes());
        assert_eq!(Header::decode(&newer), HeaderState::Newer(2));
    }

    #[test]
    fn a_scan_resumes_after_a_damaged_record() {
        let mut bytes = segment(&[b"one", b"two", b"three"]);
        let mut seen = Vec::new();
        assert_eq!(scan_segment(&bytes, |lsn, _, payload| seen.push((lsn, payload.to_vec()))), 3);
        assert_eq!(seen[2], (12, b"three".to_vec()));
        bytes[HEADER_BYTES + RECORD_HEADER_BYTES + 3] ^= 1; // the length of `two`
        let mut lsns = Vec::new();
        scan_segment(&bytes, |lsn, _, _| lsns.push(lsn));
        assert_eq!(lsns, [10, 12]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_scanned_without_panicking(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            let mut after_header = segment(&[]);
            after_header.extend_from_slice(&bytes);
            scan_segment(&bytes, |_, _, _| {});
            scan_segment(&after_header, |_, _, _| {});
        }
    }
}
