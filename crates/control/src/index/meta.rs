//! What an index must look like at the record it stands at.

use crate::kind::Kind;

/// Hash over all records of the log in order: `h = blake3(h ‖ record)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain(pub(crate) [u8; 32]);

/// The summary of an index's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    pub(crate) applied_lsn: u64,
    pub(crate) chain: Chain,
    sum: u128,
    counts: [u64; Kind::ALL.len() + 1],
}

impl Chain {
    pub(crate) fn after(self, record: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(record);
        Self(*hasher.finalize().as_bytes())
    }
}

impl Meta {
    /// An empty index standing at a record.
    pub(crate) fn empty_at(applied_lsn: u64, chain: Chain) -> Self {
        Self { applied_lsn, chain, ..Self::default() }
    }

    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_add(row_hash(key, value));
        if let Some(count) = key.first().and_then(|&kind| self.counts.get_mut(usize::from(kind))) {
            *count += 1;
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_sub(row_hash(key, value));
        if let Some(count) = key.first().and_then(|&kind| self.counts.get_mut(usize::from(kind))) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn count(&self, kind: u8) -> u64 {
        self.counts.get(usize::from(kind)).copied().unwrap_or(0)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether the rows are the same, whatever record they stand at.
    pub(crate) fn same_rows(&self, other: &Self) -> bool {
        self.sum == other.sum && self.counts == other.counts
    }

    /// Record number, chain, sum, counts, then a CRC-32C of all that.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENCODED_BYTES);
        out.extend_from_slice(&self.applied_lsn.to_le_bytes());
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(&self.sum.to_le_bytes());
        for count in self.counts {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if bytes.len() != ENCODED_BYTES || u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return None;
        }
        let (applied_lsn, body) = body.split_first_chunk::<8>()?;
        let (chain, body) = body.split_first_chunk::<32>()?;
        let (sum, body) = body.split_first_chunk::<16>()?;
        let mut counts = [0; Kind::ALL.len() + 1];
        for (count, bytes) in counts.iter_mut().zip(body.chunks_exact(8)) {
            *count = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        let (applied_lsn, sum) = (u64::from_le_bytes(*applied_lsn), u128::from_le_bytes(*sum));
        Some(Self { applied_lsn, chain: Chain(*chain), sum, counts })
    }
}

/// Size of an encoded summary.
pub(crate) const ENCODED_BYTES: usize = 8 + 32 + 16 + 8 * (Kind::ALL.len() + 1) + 4;

fn row_hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().as_bytes().first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}
