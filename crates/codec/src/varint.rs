//! LEB128 integers and zigzag signs, as in Protocol Buffers: seven bits a byte, least significant first.

use crate::error::CodecError;

/// Most bytes of one varint.
pub const MAX_LEN: usize = 10;

/// Appends `value`, 1 to 10 bytes.
pub fn put_u64(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a varint at `*at` and moves `*at` behind it.
///
/// # Errors
/// [`CodecError::Truncated`] at the end of `bytes`, [`CodecError::Malformed`] beyond 64 bits. `*at` is unchanged then.
#[inline]
pub fn get_u64(bytes: &[u8], at: &mut usize) -> Result<u64, CodecError> {
    let rest = bytes.get(*at..).unwrap_or(&[]);
    if let Some(&first) = rest.first()
        && first < 0x80
    {
        *at += 1;
        return Ok(u64::from(first));
    }
    get_long(rest, bytes.len(), at)
}

fn get_long(rest: &[u8], len: usize, at: &mut usize) -> Result<u64, CodecError> {
    let mut value = 0_u64;
    for (i, &byte) in rest.iter().take(MAX_LEN).enumerate() {
        // The tenth byte has room for the 64th bit only.
        if i == MAX_LEN - 1 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *at += i + 1;
            return Ok(value);
        }
    }
    if rest.len() < MAX_LEN {
        return Err(CodecError::Truncated { len, what: "a varint" });
    }
    Err(CodecError::malformed("varint", "more than 64 bits"))
}

/// Appends a signed value: small magnitudes of both signs are short.
pub fn put_i64(value: i64, out: &mut Vec<u8>) {
    put_u64(zigzag(value), out);
}

/// Reads what [`put_i64`] wrote.
///
/// # Errors
/// As [`get_u64`].
#[inline]
pub fn get_i64(bytes: &[u8], at: &mut usize) -> Result<i64, CodecError> {
    get_u64(bytes, at).map(unzigzag)
}

/// 0, −1, 1, −2, … ↦ 0, 1, 2, 3, …
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tenth_byte_holds_one_bit() {
        let mut bytes = vec![0xff; 9];
        bytes.push(1);
        assert_eq!(get_u64(&bytes, &mut 0), Ok(u64::MAX));
        bytes[9] = 2;
        assert!(matches!(get_u64(&bytes, &mut 0), Err(CodecError::Malformed { .. })));
        assert!(matches!(get_u64(&bytes[..9], &mut 0), Err(CodecError::Truncated { .. })));
        assert!(matches!(get_u64(&[], &mut 5), Err(CodecError::Truncated { .. })));
    }

    proptest! {
        #[test]
        fn integers_round_trip(signed: i64, shift in 0_u32..64) {
            let signed = signed >> shift;
            let mut bytes = Vec::new();
            put_i64(signed, &mut bytes);
            put_u64(signed as u64, &mut bytes);
            let mut at = 0;
            prop_assert_eq!(get_i64(&bytes, &mut at), Ok(signed));
            prop_assert_eq!(get_u64(&bytes, &mut at), Ok(signed as u64));
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let mut at = 0;
            while get_u64(&bytes, &mut at).is_ok() {}
            prop_assert!(at <= bytes.len());
        }
    }
}
