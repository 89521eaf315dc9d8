//! Single zstd frames, with the contexts of a thread kept: making one costs more than packing a few hundred bytes.

use std::cell::RefCell;

use crate::error::CodecError;

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends `bytes` as one zstd frame to `out`.
///
/// # Errors
/// [`CodecError::Malformed`] when there is no memory for the context; `out` is unchanged then.
pub fn compress(bytes: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let fault = |why: std::io::Error| CodecError::malformed("zstd frame", why);
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some((kept, compressor)) => {
                if *kept != level {
                    compressor.set_compression_level(level).map_err(fault)?;
                    *kept = level;
                }
                compressor
            }
            None => &mut slot.insert((level, zstd::bulk::Compressor::new(level).map_err(fault)?)).1,
        };
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
        match compressor.compress_to_buffer(bytes, &mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                Ok(())
            }
            Err(why) => {
                out.truncate(start);
                Err(fault(why))
            }
        }
    })
}

/// What one zstd frame holds, at most `len_max` bytes.
///
/// # Errors
/// [`CodecError::Malformed`] for anything but a frame of at most that size.
pub fn decompress(bytes: &[u8], len_max: usize) -> Result<Vec<u8>, CodecError> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        let decompressor =
            slot.as_mut().ok_or_else(|| CodecError::malformed("zstd frame", "no memory to decode it"))?;
        decompressor.decompress(bytes, len_max).map_err(|why| CodecError::malformed("zstd frame", why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_stay_within_their_bound() {
        let text = b"label label label label label label".repeat(20);
        for level in [1, 3, 1] {
            let mut out = vec![9];
            compress(&text, level, &mut out).expect("packs");
            assert!(out[0] == 9 && out.len() < 80);
            assert_eq!(decompress(&out[1..], text.len()).expect("a frame"), text);
            assert!(decompress(&out[1..], text.len() - 1).is_err());
        }
        assert!(decompress(b"no frame", 100).is_err());
    }
}
