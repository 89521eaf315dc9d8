//! Changes, and the record of the log that holds those of one call.

use serde::Serialize;

use crate::error::ControlError;
use crate::kind::Kind;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Largest value in bytes of JSON: 16 MiB.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Most changes in one call.
pub const CHANGES_MAX: usize = 10_000;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One change of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces an entry.
    Put {
        /// Its kind.
        kind: Kind,
        /// Its key.
        key: String,
        /// Its value: JSON text.
        value: Vec<u8>,
    },
    /// Removes an entry; a missing one is fine.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its key.
        key: String,
    },
}

/// A change as it stands in a record and in the index: `key` starts with the kind's number, `value` with its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawChange<'a> {
    pub(crate) key: &'a [u8],
    /// `None` deletes.
    pub(crate) value: Option<&'a [u8]>,
}

impl Change {
    /// A put of `value` as JSON.
    ///
    /// # Errors
    /// [`ControlError::Json`] if it cannot be written as JSON.
    pub fn put<T: Serialize + ?Sized>(kind: Kind, key: &str, value: &T) -> Result<Self, ControlError> {
        let value = serde_json::to_vec(value).map_err(|source| ControlError::Json {
            kind: kind.name(),
            key: key.to_owned(),
            source,
        })?;
        Ok(Self::Put { kind, key: key.to_owned(), value })
    }

    /// A deletion.
    pub fn delete(kind: Kind, key: &str) -> Self {
        Self::Delete { kind, key: key.to_owned() }
    }

    /// What it changes.
    pub fn target(&self) -> (Kind, &str) {
        match self {
            Self::Put { kind, key, .. } | Self::Delete { kind, key } => (*kind, key),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ControlError> {
        let (kind, key) = self.target();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(ControlError::KeyLength { bytes: key.len(), max: KEY_BYTES_MAX });
        }
        match self {
            Self::Put { value, .. } if value.len() > VALUE_BYTES_MAX => Err(ControlError::ValueTooLarge {
                kind: kind.name(),
                key: key.to_owned(),
                bytes: value.len(),
                max: VALUE_BYTES_MAX,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let value = match self {
            Self::Put { value, .. } => value.len(),
            Self::Delete { .. } => 0,
        };
        self.target().1.len() + value + 16
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, key) = self.target();
        let key = index_key(kind, key);
        out.push(if matches!(self, Self::Put { .. }) { PUT } else { DELETE });
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&key);
        if let Self::Put { value, .. } = self {
            out.extend_from_slice(&(value.len() as u32 + 4).to_le_bytes());
            out.extend_from_slice(&checksum(&key, value).to_le_bytes());
            out.extend_from_slice(value);
        }
    }
}

/// The changes of one record, or `None` if its bytes make no sense.
pub(crate) fn decode_record(mut bytes: &[u8]) -> Option<Vec<RawChange<'_>>> {
    let mut changes = Vec::new();
    while let Some((&op, rest)) = bytes.split_first() {
        let (key, rest) = take_block(rest)?;
        Kind::from_number(*key.first()?)?;
        let (value, rest) = match op {
            PUT => {
                let (value, rest) = take_block(rest)?;
                checked_value(key, value)?;
                (Some(value), rest)
            }
            DELETE => (None, rest),
            _ => return None,
        };
        changes.push(RawChange { key, value });
        bytes = rest;
    }
    Some(changes)
}

/// Key in the index: kind, then key.
pub(crate) fn index_key(kind: Kind, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(kind.number());
    out.extend_from_slice(key.as_bytes());
    out
}

/// The JSON of a stored value, if its checksum fits it and its key.
pub(crate) fn checked_value<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, json) = stored.split_at_checked(4)?;
    (u32::from_le_bytes(crc.try_into().ok()?) == checksum(key, json)).then_some(json)
}

fn checksum(key: &[u8], json: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), json)
}

fn take_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_at_checked(4)?;
    rest.split_at_checked(u32::from_le_bytes(len.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_round_trip(items in proptest::collection::vec((1_u8..13, "[a-z/]{1,20}", any::<Option<u64>>()), 0..20)) {
            let changes: Vec<Change> = items.iter().map(|(number, key, value)| {
                let kind = Kind::from_number(*number).unwrap();
                value.map_or_else(|| Change::delete(kind, key), |v| Change::put(kind, key, &v).unwrap())
            }).collect();
            let mut bytes = Vec::new();
            changes.iter().for_each(|change| change.encode(&mut bytes));
            let decoded = decode_record(&bytes).unwrap();
            prop_assert_eq!(decoded.len(), changes.len());
            for (raw, change) in decoded.iter().zip(&changes) {
                let (kind, key) = change.target();
                prop_assert_eq!(raw.key.to_vec(), index_key(kind, key));
                let json = raw.value.map(|value| checked_value(raw.key, value).unwrap().to_vec());
                let expected = if let Change::Put { value, .. } = change { Some(value.clone()) } else { None };
                prop_assert_eq!(json, expected);
            }
        }

        #[test]
        fn any_bytes_are_decoded_without_panicking(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_record(&bytes);
        }
    }
}
