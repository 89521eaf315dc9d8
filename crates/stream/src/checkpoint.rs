//! The state of all standing queries as bytes.
//!
//! ```text
//!   "FTSTREAM" version 0 counters n { name fingerprint len state } … hash of all before (8 bytes)
//! ```
//!
//! The 0 was a log position once; what must be pushed again follows from the states (see `Streams::needs`). Equal states make
//! equal bytes. A stream whose definition changed begins empty; the others go on.

use sketch::wire::{Reader, hash_bytes, put_bytes, put_varint};

use crate::error::StreamError;
use crate::spec::StreamSpec;
use crate::standing::Standing;
use crate::streams::{StreamLimits, StreamStats, Streams};

const MAGIC: &[u8; 8] = b"FTSTREAM";
const VERSION: u8 = 1;

impl Streams {
    /// Everything needed to go on as if nothing had happened.
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put_varint(&mut out, 0);
        counters(&self.stats).into_iter().for_each(|counter| put_varint(&mut out, counter));
        put_varint(&mut out, self.standing.len() as u64);
        let mut state = Vec::new();
        for standing in &self.standing {
            put_bytes(&mut out, standing.spec.name.as_bytes());
            out.extend_from_slice(&standing.spec.fingerprint().to_le_bytes());
            state.clear();
            standing.encode(&mut state);
            put_bytes(&mut out, &state);
        }
        let hash = hash_bytes(&out);
        out.extend_from_slice(&hash.to_le_bytes());
        out
    }

    /// Goes on from a checkpoint: results are the same, bit for bit, as without the interruption. Streams unknown to the
    /// checkpoint, or defined otherwise by now, begin empty and are listed in [`Streams::restarted`].
    ///
    /// # Errors
    /// [`StreamError::Checkpoint`] when the bytes are cut off, damaged or from a newer version; those of [`Streams::new`].
    pub fn restore(specs: Vec<StreamSpec>, limits: StreamLimits, bytes: &[u8]) -> Result<Self, StreamError> {
        let mut streams = Self::new(specs, limits)?;
        let mut reader = Reader::new(checked(bytes)?);
        reader.varint()?;
        read_counters(&mut reader, &mut streams.stats)?;
        let mut found = vec![false; streams.standing.len()];
        for _ in 0..reader.len(10)? {
            let name = reader.bytes()?;
            let (fingerprint, state) = (reader.u64()?, reader.bytes()?);
            let at = streams.standing.iter().position(|standing| {
                standing.spec.name.as_bytes() == name && standing.spec.fingerprint() == fingerprint
            });
            if let Some(at) = at {
                let spec = streams.standing[at].spec.clone();
                streams.standing[at] = Standing::decode(&mut Reader::new(state), spec)?;
                found[at] = true;
            }
        }
        streams.restarted =
            streams.standing.iter().zip(found).filter(|(_, known)| !known).map(|(s, _)| s.spec.name.clone()).collect();
        streams.settle();
        Ok(streams)
    }
}

/// The bytes between the version and the hash.
fn checked(bytes: &[u8]) -> Result<&[u8], StreamError> {
    let damaged = |why: &str| StreamError::Checkpoint(why.to_owned());
    let (body, hash) = bytes.split_last_chunk::<8>().ok_or_else(|| damaged("shorter than its header"))?;
    let rest = body.strip_prefix(MAGIC).ok_or_else(|| damaged("does not begin with FTSTREAM"))?;
    if hash_bytes(body) != u64::from_le_bytes(*hash) {
        return Err(damaged("its checksum differs, the bytes are damaged"));
    }
    match rest.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(StreamError::Checkpoint(format!("version {version}, this program reads {VERSION}"))),
        None => Err(damaged("shorter than its header")),
    }
}

fn counters(stats: &StreamStats) -> [u64; 8] {
    [
        stats.rows,
        stats.late,
        stats.ahead,
        stats.repeats,
        stats.not_finite,
        stats.refused_rows,
        stats.refused_series,
        stats.emitted,
    ]
}

fn read_counters(reader: &mut Reader<'_>, stats: &mut StreamStats) -> Result<(), StreamError> {
    stats.rows = reader.varint()?;
    stats.late = reader.varint()?;
    stats.ahead = reader.varint()?;
    stats.repeats = reader.varint()?;
    stats.not_finite = reader.varint()?;
    stats.refused_rows = reader.varint()?;
    stats.refused_series = reader.varint()?;
    stats.emitted = reader.varint()?;
    Ok(())
}
