//! What goes into a log: payloads that turn themselves into numbered records.

use crate::error::LogError;
use crate::format;

/// Sequence numbers of the records of one payload, both ends inside. A payload without records has `last < first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lsns {
    /// Number of its first record.
    pub first: u64,
    /// Number of its last record.
    pub last: u64,
}

/// Something that can be logged. Encoding happens in the writer thread, because what has to be written can depend on
/// what the current segment already holds.
pub trait Payload: Send + 'static {
    /// What the current segment knows so far, for instance which series were already described. Made anew for each
    /// segment, so that every segment can be read alone.
    type Segment: Default + Send;

    /// Writes this payload's records, in order. Called again with a fresh `segment` when the first write fails, so it
    /// must not consume anything.
    fn encode(&self, segment: &mut Self::Segment, out: &mut RecordWriter<'_>);

    /// Size in memory, for the bound of the queue and the size of a commit.
    fn bytes(&self) -> usize;
}

/// Called in the writer thread for every durable payload, in order of sequence numbers.
pub type Apply<P> = Box<dyn FnMut(&P, Lsns) + Send>;

/// Answers one [`crate::Log::submit`]: the payload comes back with its last sequence number, or with the reason.
pub type Done<P> = Box<dyn FnOnce(P, Result<u64, LogError>) + Send>;

/// Runs alone in the writer thread with the last applied sequence number.
pub type Exclusive = Box<dyn FnOnce(u64) + Send>;

/// Takes the records of one payload and numbers them.
pub struct RecordWriter<'a> {
    out: &'a mut Vec<u8>,
    next_lsn: u64,
    last_crc: u32,
    too_large: Option<usize>,
}

impl<'a> RecordWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, next_lsn: u64) -> Self {
        Self { out, next_lsn, last_crc: 0, too_large: None }
    }

    /// Writes one record of `kind`; `fill` appends the payload to the buffer it gets (and touches nothing before).
    /// Returns the record's sequence number.
    ///
    /// A payload above [`crate::MAX_PAYLOAD_BYTES`] refuses the whole submission with [`LogError::RecordTooLarge`].
    pub fn record(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let lsn = self.next_lsn;
        match format::write_record(self.out, kind, lsn, fill) {
            Ok(crc) => self.last_crc = crc,
            Err(bytes) => self.too_large = Some(bytes),
        }
        self.next_lsn += 1;
        lsn
    }

    /// The number the next record will get.
    pub fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// The number after the last record and its checksum, or the refusal.
    pub(crate) fn finish(self) -> Result<(u64, u32), LogError> {
        match self.too_large {
            Some(bytes) => Err(LogError::RecordTooLarge { bytes, max: format::MAX_PAYLOAD_BYTES }),
            None => Ok((self.next_lsn, self.last_crc)),
        }
    }
}
