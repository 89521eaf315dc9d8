//! Values: constant, decimal, float or raw, whichever is shortest.

use std::cell::RefCell;

use crate::block::{self, Order, Packing};
use crate::error::CodecError;
use crate::packed::{self, PACKED};
use crate::timestamps::get_count;
use crate::{MAX_SAMPLES, decimal, varint};

const EMPTY: u8 = 0;
const CONSTANT: u8 = 1;
const DECIMAL_VARINTS: u8 = 2;
const DECIMAL_ZSTD: u8 = 3;
const DECIMAL_PCO: u8 = 4;
const FLOAT_PCO: u8 = 5;
const RAW: u8 = 6;

thread_local! {
    static MANTISSAS: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Appends a blob of `values` to `out`. Every bit survives: NaN payloads, −0 and infinities too.
///
/// # Panics
/// With more than [`MAX_SAMPLES`] items: callers cut chunks far below, and a longer blob could not be decoded again.
pub fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    assert!(values.len() <= MAX_SAMPLES, "a chunk has at most {MAX_SAMPLES} values, not {}", values.len());
    let Some(first) = values.first() else {
        out.push(EMPTY);
        return;
    };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        varint::put_u64(values.len() as u64, out);
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    match decimal::scale(values) {
        Some(run) => encode_decimal(&run, out),
        None => encode_floats(values, out),
    }
}

fn encode_decimal(run: &decimal::Decimal, out: &mut Vec<u8>) {
    let (packing, bytes) = block::pack(&run.mantissas, Order::First);
    out.push(match packing {
        Packing::Varints => DECIMAL_VARINTS,
        Packing::Zstd => DECIMAL_ZSTD,
        Packing::Pco => DECIMAL_PCO,
    });
    varint::put_u64(run.mantissas.len() as u64, out);
    out.push(run.exponent);
    varint::put_u64(run.exceptions.len() as u64, out);
    let mut last = 0;
    for &(position, value) in &run.exceptions {
        varint::put_u64((position - last) as u64, out);
        out.extend_from_slice(&value.to_le_bytes());
        last = position;
    }
    out.extend_from_slice(&bytes);
}

fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    let packed = block::pco_pack(values).filter(|bytes| bytes.len() < values.len() * 8);
    out.push(if packed.is_some() { FLOAT_PCO } else { RAW });
    varint::put_u64(values.len() as u64, out);
    match packed {
        Some(bytes) => out.extend_from_slice(&bytes),
        None => values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes())),
    }
}

/// Appends the values of a blob to `out`; on an error `out` is unchanged.
///
/// # Errors
/// [`CodecError`] when `bytes` are not a blob of [`encode_values`].
pub fn decode_values(bytes: &[u8], out: &mut Vec<f64>) -> Result<(), CodecError> {
    let start = out.len();
    let result = decode(bytes, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode(bytes: &[u8], out: &mut Vec<f64>) -> Result<(), CodecError> {
    let tag = *bytes.first().ok_or(CodecError::Empty)?;
    if tag == EMPTY {
        return if bytes.len() == 1 { Ok(()) } else { Err(CodecError::Trailing(bytes.len() - 1)) };
    }
    if tag == PACKED {
        return packed::decode_packed(bytes, &mut Vec::new(), out);
    }
    if tag > RAW {
        return Err(CodecError::UnknownTag(tag));
    }
    let mut at = 1;
    let n = get_count(bytes, &mut at)?;
    match tag {
        CONSTANT => decode_constant(bytes, at, n, out),
        DECIMAL_VARINTS => decode_decimal(Packing::Varints, bytes, at, n, out),
        DECIMAL_ZSTD => decode_decimal(Packing::Zstd, bytes, at, n, out),
        DECIMAL_PCO => decode_decimal(Packing::Pco, bytes, at, n, out),
        FLOAT_PCO => block::pco_unpack(&bytes[at..], n, out),
        _ => decode_raw(&bytes[at..], n, out),
    }
}

fn decode_constant(bytes: &[u8], mut at: usize, n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let value = get_f64(bytes, &mut at)?;
    if at != bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - at));
    }
    out.resize(out.len() + n, value);
    Ok(())
}

fn decode_raw(bytes: &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    if bytes.len() != n * 8 {
        return Err(CodecError::malformed("raw values", format!("{} bytes for {n} values", bytes.len())));
    }
    let mut at = 0;
    for _ in 0..n {
        out.push(get_f64(bytes, &mut at)?);
    }
    Ok(())
}

fn decode_decimal(
    packing: Packing,
    bytes: &[u8],
    mut at: usize,
    n: usize,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let exponent = *bytes.get(at).ok_or(CodecError::Truncated { len: bytes.len(), what: "the exponent" })?;
    at += 1;
    let exceptions_at = at;
    let start = out.len();
    // Exceptions stand before the mantissas: walk over them once, and apply them when the values are there.
    walk_exceptions(bytes, &mut at, n, |_, _| ())?;
    MANTISSAS.with_borrow_mut(|mantissas| {
        mantissas.clear();
        block::unpack(packing, &bytes[at..], n, Order::First, mantissas)?;
        decimal::unscale(exponent, mantissas, out)
            .ok_or_else(|| CodecError::malformed("exponent", format!("{exponent} is more than 22")))
    })?;
    at = exceptions_at;
    walk_exceptions(bytes, &mut at, n, |position, value| out[start + position] = value)
}

/// Reads the list of exceptions; every position it hands to `each` is below `n`.
fn walk_exceptions(bytes: &[u8], at: &mut usize, n: usize, mut each: impl FnMut(usize, f64)) -> Result<(), CodecError> {
    let count = varint::get_u64(bytes, at)?;
    if count > n as u64 {
        return Err(CodecError::malformed("exceptions", format!("{count} for {n} values")));
    }
    let mut position = 0_u64;
    for _ in 0..count {
        position = position.saturating_add(varint::get_u64(bytes, at)?);
        if position >= n as u64 {
            return Err(CodecError::malformed("exceptions", format!("position {position} of {n} values")));
        }
        each(position as usize, get_f64(bytes, at)?);
    }
    Ok(())
}

pub(crate) fn get_f64(bytes: &[u8], at: &mut usize) -> Result<f64, CodecError> {
    let end = at.saturating_add(8);
    let slot = bytes.get(*at..end).and_then(|eight| <[u8; 8]>::try_from(eight).ok());
    *at = end;
    slot.map(f64::from_le_bytes).ok_or(CodecError::Truncated { len: bytes.len(), what: "a value" })
}

#[cfg(test)]
mod tests;
