//! One snappy block into a reused buffer, its declared length checked before the buffer grows.

use crate::error::IngestError;
use crate::limits::Limits;

/// A snappy block never unpacks to more than this many bytes for each of its own: the densest element is a copy of 64
/// bytes in 3.
const EXPANSION_MAX: u64 = 22;

/// Unpacks `body` into the front of `buffer` and returns that part. The buffer grows to at most
/// [`Limits::decoded_bytes`] and is kept for the next request.
///
/// `snap`'s own convenience allocates whatever the header declares, up to 4 GiB for a body of 40 bytes; here the header
/// is held against the limit, and against what the body can hold at all, first.
pub(crate) fn unpack<'b>(body: &[u8], limits: &Limits, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], IngestError> {
    if body.is_empty() {
        return Err(IngestError::EmptyBody);
    }
    let bytes = body.len() as u64;
    if body.len() > limits.body_bytes {
        return Err(IngestError::BodyTooLarge { bytes, limit: limits.body_bytes as u64 });
    }
    let declared = declared_len(body, limits)?;
    if declared as u64 > bytes.saturating_mul(EXPANSION_MAX) {
        let why = format!("it declares {declared} bytes, more than so short a block can hold");
        return Err(IngestError::Snappy { bytes, why });
    }
    if buffer.len() < declared {
        buffer.resize(declared, 0);
    }
    let written = snap::raw::Decoder::new()
        .decompress(body, &mut buffer[..declared])
        .map_err(|error| IngestError::Snappy { bytes, why: error.to_string() })?;
    Ok(&buffer[..written])
}

fn declared_len(body: &[u8], limits: &Limits) -> Result<usize, IngestError> {
    let limit = limits.decoded_bytes as u64;
    match snap::raw::decompress_len(body) {
        Ok(declared) if declared as u64 > limit => Err(IngestError::DecodedTooLarge { bytes: declared as u64, limit }),
        Ok(declared) => Ok(declared),
        Err(snap::Error::TooBig { given, .. }) => Err(IngestError::DecodedTooLarge { bytes: given, limit }),
        Err(error) => Err(IngestError::Snappy { bytes: body.len() as u64, why: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_varint;

    fn bomb(declared: u64) -> Vec<u8> {
        let mut body = Vec::new();
        put_varint(&mut body, declared);
        body.resize(40, 0);
        body
    }

    #[test]
    fn a_bomb_is_refused_before_the_buffer_grows() {
        let (limits, mut buffer) = (Limits::default(), Vec::new());
        let error = unpack(&bomb(2_500_000_000), &limits, &mut buffer).expect_err("2.5 GB");
        assert_eq!(error, IngestError::DecodedTooLarge { bytes: 2_500_000_000, limit: 32 << 20 });
        let error = unpack(&bomb(1 << 34), &limits, &mut buffer).expect_err("16 GiB");
        assert_eq!(error.status(), 413);
        let error = unpack(&bomb(30 << 20), &limits, &mut buffer).expect_err("30 MiB in 40 bytes");
        assert_eq!(error.status(), 400);
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn limits_are_exact() {
        let limits = Limits { decoded_bytes: 100, ..Limits::default() };
        let pack = |n: usize| snap::raw::Encoder::new().compress_vec(&vec![7; n]).expect("small");
        let mut buffer = Vec::new();
        assert_eq!(unpack(&pack(100), &limits, &mut buffer), Ok(&[7; 100][..]));
        assert_eq!(unpack(&pack(101), &limits, &mut buffer).expect_err("over").status(), 413);
        let limits = Limits { body_bytes: 4, ..limits };
        let error = unpack(&[0; 5], &limits, &mut buffer).expect_err("over");
        assert_eq!(error, IngestError::BodyTooLarge { bytes: 5, limit: 4 });
    }

    #[test]
    fn the_densest_block_is_within_the_expansion_bound() {
        let packed = snap::raw::Encoder::new().compress_vec(&vec![0; 16 << 20]).expect("small");
        assert!((16 << 20) < packed.len() as u64 * EXPANSION_MAX);
    }
}
