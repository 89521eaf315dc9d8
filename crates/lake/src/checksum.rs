//! crc32c of blocks, and checksums as text.
//!
//! Parquet's own writer stores no page checksums, so a data file carries one crc32c for every [`BLOCK_BYTES`] of its row
//! data in the footer, and the commit carries one of the footer. A read of one page checks the two or three blocks around
//! it (about 2 µs); nothing depends on how Parquet lays out pages.

/// Row data is checked in blocks of this size; the last one may be shorter.
pub(crate) const BLOCK_BYTES: u64 = 16 * 1024;

/// One checksum a block of `data`.
pub(crate) fn blocks(data: &[u8]) -> Vec<u32> {
    data.chunks(BLOCK_BYTES as usize).map(crc32c::crc32c).collect()
}

/// Eight lower-case hexadecimal digits each, without separator.
pub(crate) fn to_hex(checksums: &[u32]) -> String {
    use std::fmt::Write as _;
    checksums.iter().fold(String::with_capacity(checksums.len() * 8), |mut text, crc| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{crc:08x}");
        text
    })
}

/// Inverse of [`to_hex`]; `None` for any other text.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u32>> {
    if !text.len().is_multiple_of(8) || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    (0..text.len()).step_by(8).map(|at| u32::from_str_radix(&text[at..at + 8], 16).ok()).collect()
}

const SEAL: &str = "\"ft_crc\":\"";

/// Appends `"ft_crc":"xxxxxxxx"`, `closing` and a line end to JSON that ends with a comma, so that every byte is covered:
/// those before by the checksum, those of the seal by being compared exactly.
pub(crate) fn seal(mut json: String, closing: &str) -> String {
    let crc = crc32c::crc32c(json.as_bytes());
    json.push_str(&format!("{SEAL}{crc:08x}\"{closing}\n"));
    json
}

/// Whether `bytes` end with their seal.
pub(crate) fn is_sealed(bytes: &[u8], closing: &str) -> bool {
    let Some(at) = bytes.len().checked_sub(SEAL.len() + 8 + 1 + closing.len() + 1) else { return false };
    let (body, tail) = bytes.split_at(at);
    tail == format!("{SEAL}{:08x}\"{closing}\n", crc32c::crc32c(body)).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_text() {
        let checksums = [0, 1, u32::MAX, 0xdead_beef];
        assert_eq!(from_hex(&to_hex(&checksums)).as_deref(), Some(&checksums[..]));
        for text in ["1234567", "0000000G", "DEADBEEF", "é234567"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn every_flipped_bit_breaks_the_seal() {
        let sealed = seal("{\"a\":1,".to_owned(), "}");
        assert!(is_sealed(sealed.as_bytes(), "}"));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sealed(&bytes, "}"), "bit {bit}");
        }
        assert!(!is_sealed(&sealed.as_bytes()[..sealed.len() - 1], "}"));
        assert!(!is_sealed(b"", "}"));
    }
}
