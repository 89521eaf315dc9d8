//! Bodies that came compressed by an HTTP content encoding, unpacked within a bound.
//!
//! These formats do not say how long the result is, so unpacking stops one byte beyond the limit and is then an error: a
//! body cut silently would be a second fault. Memory grows with what has been unpacked, never with what was announced.

use std::borrow::Cow;
use std::io::Read;

use crate::error::IngestError;
use crate::limits::Limits;
use crate::outcome::shorten;

/// Largest window of a zstd frame as a power of two: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// RFC 1952, of one or more members.
    Gzip,
    /// RFC 1950 (zlib), which HTTP calls deflate.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl ContentEncoding {
    /// By the header `Content-Encoding`; absent is [`ContentEncoding::Identity`].
    ///
    /// # Errors
    /// [`IngestError::UnknownEncoding`] for any other word, also for two encodings one upon the other.
    pub fn of(header: Option<&str>) -> Result<Self, IngestError> {
        let word = header.unwrap_or("").trim();
        match word.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(IngestError::UnknownEncoding { found: shorten(word) }),
        }
    }

    /// The header's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

/// The plain bytes of `body`, at most [`Limits::decoded_bytes`].
///
/// # Errors
/// [`IngestError::BodyTooLarge`], [`IngestError::Bomb`] when it unpacks to more than the limit, [`IngestError::Packed`]
/// when it is not what the header says.
pub fn inflate<'b>(encoding: ContentEncoding, body: &'b [u8], limits: &Limits) -> Result<Cow<'b, [u8]>, IngestError> {
    if body.len() > limits.body_bytes {
        return Err(IngestError::BodyTooLarge { bytes: body.len() as u64, limit: limits.body_bytes as u64 });
    }
    let fault = |err: std::io::Error| IngestError::Packed { encoding: encoding.as_str(), why: err.to_string() };
    let plain = match encoding {
        ContentEncoding::Identity => {
            let (bytes, limit) = (body.len() as u64, limits.decoded_bytes as u64);
            return if bytes > limit { Err(IngestError::BodyTooLarge { bytes, limit }) } else { Ok(body.into()) };
        }
        ContentEncoding::Gzip => read(flate2::bufread::MultiGzDecoder::new(body), limits),
        ContentEncoding::Deflate => read(flate2::bufread::ZlibDecoder::new(body), limits),
        ContentEncoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(fault)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(fault)?;
            read(decoder, limits)
        }
    };
    let plain = plain.map_err(fault)?;
    if plain.len() > limits.decoded_bytes {
        return Err(IngestError::Bomb { limit: limits.decoded_bytes as u64 });
    }
    Ok(plain.into())
}

fn read(packed: impl Read, limits: &Limits) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    packed.take(limits.decoded_bytes as u64 + 1).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match encoding {
            ContentEncoding::Identity => plain.to_vec(),
            ContentEncoding::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
                out.write_all(plain).expect("memory");
                out.finish().expect("memory")
            }
            ContentEncoding::Deflate => {
                let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
                out.write_all(plain).expect("memory");
                out.finish().expect("memory")
            }
            ContentEncoding::Zstd => zstd::stream::encode_all(plain, 1).expect("memory"),
        }
    }

    const ALL: [&str; 4] = ["identity", "gzip", "deflate", "zstd"];

    #[test]
    fn what_was_packed_comes_back_and_the_limit_is_exact() {
        let limits = Limits { decoded_bytes: 1000, ..Limits::default() };
        for word in ALL {
            let encoding = ContentEncoding::of(Some(word)).expect("known");
            let body = packed(encoding, &[7; 1000]);
            assert_eq!(inflate(encoding, &body, &limits).expect("fits").as_ref(), [7; 1000], "{word}");
            let body = packed(encoding, &[7; 1001]);
            assert_eq!(inflate(encoding, &body, &limits).expect_err("one more").status(), 413, "{word}");
        }
        assert_eq!(ContentEncoding::of(None), Ok(ContentEncoding::Identity));
        for word in ["br", "gzip, gzip", "snappy"] {
            assert_eq!(ContentEncoding::of(Some(word)).expect_err("not read").status(), 415, "{word}");
        }
    }

    #[test]
    fn bombs_and_damage_are_told_apart() {
        let limits = Limits { decoded_bytes: 1 << 20, ..Limits::default() };
        let zeros = vec![0; 64 << 20];
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd] {
            let bomb = packed(encoding, &zeros);
            assert_eq!(inflate(encoding, &bomb, &limits), Err(IngestError::Bomb { limit: 1 << 20 }), "{encoding:?}");
            let body = packed(encoding, b"some text that is long enough to be cut in the middle");
            let cut = inflate(encoding, &body[..body.len() / 2], &limits).expect_err("cut");
            assert_eq!(cut.status(), 400, "{encoding:?}: {cut}");
            assert_eq!(inflate(encoding, b"plain", &limits).expect_err("not packed").status(), 400, "{encoding:?}");
        }
    }

    #[test]
    fn a_window_beyond_eight_mebibytes_is_refused() {
        let mut out = zstd::stream::Encoder::new(Vec::new(), 1).expect("memory");
        out.window_log(27).expect("a window that zstd knows");
        out.long_distance_matching(true).expect("known");
        out.write_all(&[1; 100]).expect("memory");
        let body = out.finish().expect("memory");
        assert_eq!(inflate(ContentEncoding::Zstd, &body, &Limits::default()).expect_err("wide").status(), 400);
    }
}
