//! The byte format summaries share: little-endian fixed words, LEB128 varints, zigzag for signed ones.
//!
//! A summary starts with a tag byte (which kind) and a version byte; readers refuse what they do not know. Lengths are
//! checked against the bytes that are left before anything is allocated.

use crate::error::SketchError;

/// Reads what the `put_*` functions wrote.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Position of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes `n` bytes.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], SketchError> {
        let part = self
            .at
            .checked_add(n)
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(SketchError::Truncated { at: self.at })?;
        self.at += n;
        Ok(part)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, SketchError> {
        Ok(self.take(1)?[0])
    }

    /// A varint of at most 64 bits.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`] when it is longer than ten bytes.
    pub fn varint(&mut self) -> Result<u64, SketchError> {
        let start = self.at;
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(SketchError::Damaged { at: start, what: "varint" });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A signed varint.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64, SketchError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A length that the bytes left can really hold, `item_bytes` at least for each.
    ///
    /// # Errors
    /// [`SketchError::Truncated`] when it promises more than there is.
    pub fn len(&mut self, item_bytes: usize) -> Result<usize, SketchError> {
        let at = self.at;
        let n = self.varint()?;
        if n.saturating_mul(item_bytes.max(1) as u64) > self.left() as u64 {
            return Err(SketchError::Truncated { at });
        }
        Ok(n as usize)
    }

    /// Eight bytes as a word.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, SketchError> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(word))
    }

    /// A float, bit for bit.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn f64(&mut self) -> Result<f64, SketchError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// A single float, bit for bit.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn f32(&mut self) -> Result<f32, SketchError> {
        let mut word = [0; 4];
        word.copy_from_slice(self.take(4)?);
        Ok(f32::from_le_bytes(word))
    }

    /// A length and that many bytes.
    ///
    /// # Errors
    /// [`SketchError::Truncated`].
    pub fn bytes(&mut self) -> Result<&'a [u8], SketchError> {
        let n = self.len(1)?;
        self.take(n)
    }

    /// Checks tag and version of a summary.
    ///
    /// # Errors
    /// [`SketchError::Damaged`] names `what` when either differs.
    pub fn expect(&mut self, tag: u8, version: u8, what: &'static str) -> Result<(), SketchError> {
        let at = self.at;
        if (self.u8()?, self.u8()?) == (tag, version) { Ok(()) } else { Err(SketchError::Damaged { at, what }) }
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint (zigzag).
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a float, bit for bit.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a single float, bit for bit.
pub fn put_f32(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A 64-bit hash of bytes that is the same on every machine: FNV-1a over eight-byte words and the tail, then the finaliser of
/// splitmix64 so that every output bit depends on every input bit. Not for hostile keys.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ (bytes.len() as u64).wrapping_mul(PRIME);
    let mut words = bytes.chunks_exact(8);
    for chunk in &mut words {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix((hash ^ u64::from_le_bytes(word)).wrapping_mul(PRIME));
    }
    for &byte in words.remainder() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    }
    mix(hash)
}

/// The finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_round_trip(a in any::<u64>(), b in any::<i64>(), c in any::<u64>(), text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_signed(&mut out, b);
            put_f64(&mut out, f64::from_bits(c));
            put_bytes(&mut out, &text);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.signed(), Ok(b));
            prop_assert_eq!(reader.u64(), Ok(c));
            prop_assert_eq!(reader.bytes(), Ok(&text[..]));
            prop_assert_eq!(reader.left(), 0);
            prop_assert!(reader.u8().is_err());
        }
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_allocation() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(Reader::new(&out).len(8).is_err());
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
    }
}
