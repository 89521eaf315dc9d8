//! Protobuf's wire format, read without copying.
//!
//! ```text
//!   message := (key payload)*        key = field number << 3 | wire type, a varint
//!   payload := varint | 8 bytes | length bytes | 4 bytes       wire types 0, 1, 2, 5
//! ```
//!
//! Groups (wire types 3 and 4) are refused: no message of ours has them and skipping them needs a stack. Faults carry the
//! offset from the start of the outermost message. Source: protobuf.dev, "Encoding".

/// Largest field number of protobuf.
const FIELD_MAX: u64 = (1 << 29) - 1;

/// A cursor over one message; `base` is where the message starts in the outermost one.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

/// The payload of a field.
#[derive(Debug, Clone)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(Reader<'a>),
    Fixed32,
}

/// Bytes that are not protobuf, or a field of the wrong type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0 }
    }

    /// All bytes of this message.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// A fault at the cursor.
    pub(crate) fn fault(&self, what: &'static str) -> WireError {
        WireError { offset: self.base + self.at, what }
    }

    /// The next field, or `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, WireError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > FIELD_MAX {
            return Err(self.fault("field number outside 1…536870911"));
        }
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => Payload::Bytes(self.message()?),
            5 => self.skip(4).map(|()| Payload::Fixed32)?,
            3 | 4 => return Err(self.fault("groups are not accepted")),
            _ => return Err(self.fault("unknown wire type")),
        };
        Ok(Some((number as u32, payload)))
    }

    /// The next field's number and bytes if it is the usual kind (one byte of key, one of length), else `None` and nothing
    /// is consumed: then [`Reader::field`] knows what it is. Nearly all fields of a write request are of this kind.
    #[inline]
    pub(crate) fn short(&mut self) -> Option<(u8, Self)> {
        let &[key, len, ref rest @ ..] = self.bytes.get(self.at..)? else { return None };
        if key & 0x87 != 2 || key < 8 || len >= 0x80 {
            return None;
        }
        let bytes = rest.get(..usize::from(len))?;
        let start = self.at + 2;
        self.at = start + bytes.len();
        Some((key >> 3, Self { bytes, at: 0, base: self.base + start }))
    }

    /// The next field that holds bytes; fields of other kinds before it are passed over.
    #[inline]
    pub(crate) fn bytes_field(&mut self) -> Result<Option<(u32, Self)>, WireError> {
        if let Some((number, bytes)) = self.short() {
            return Ok(Some((u32::from(number), bytes)));
        }
        loop {
            match self.field()? {
                None => return Ok(None),
                Some((number, Payload::Bytes(bytes))) => return Ok(Some((number, bytes))),
                Some(_) => {}
            }
        }
    }

    /// The next varint, of a packed field.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        if let Some(&byte) = self.bytes.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for i in 0..10 {
            let Some(&byte) = self.bytes.get(self.at + i) else {
                return Err(self.fault("varint is cut off"));
            };
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.fault("varint is longer than 64 bits"))
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(chunk) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.fault("8-byte number is cut off")),
        }
    }

    #[inline]
    fn message(&mut self) -> Result<Self, WireError> {
        let len = self.varint()?;
        let left = self.bytes.len() - self.at;
        if len > left as u64 {
            return Err(self.fault("length points behind the end of the message"));
        }
        let start = self.at;
        self.at += len as usize;
        Ok(Self { bytes: &self.bytes[start..self.at], at: 0, base: self.base + start })
    }

    fn skip(&mut self, n_bytes: usize) -> Result<(), WireError> {
        if self.bytes.len() - self.at < n_bytes {
            return Err(self.fault("4-byte number is cut off"));
        }
        self.at += n_bytes;
        Ok(())
    }
}

/// A varint of at most eight bytes that fills `bytes`; `None` for anything else.
#[inline]
pub(crate) fn whole_varint(bytes: &[u8]) -> Option<u64> {
    let (&last, before) = bytes.split_last()?;
    if before.len() > 7 || last >= 0x80 {
        return None;
    }
    let mut value = u64::from(last);
    for &byte in before.iter().rev() {
        if byte < 0x80 {
            return None;
        }
        value = value << 7 | u64::from(byte & 0x7f);
    }
    Some(value)
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] writes for `value`.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends field `number` with `bytes`.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(bytes: &[u8]) -> Result<Option<(u32, Payload<'_>)>, WireError> {
        Reader::new(bytes).field()
    }

    #[test]
    fn faults_say_where_and_what() {
        for (bytes, offset, what) in [
            (&[0x08][..], 1, "varint is cut off"),
            (&[0x00, 1], 1, "field number outside 1…536870911"),
            (&[0x0b], 1, "groups are not accepted"),
            (&[0x0e], 1, "unknown wire type"),
            (&[0x0a, 5, b'x'], 2, "length points behind the end of the message"),
            (&[0x09, 1, 2, 3], 1, "8-byte number is cut off"),
            (&[0x0d, 1], 1, "4-byte number is cut off"),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], 1, "varint is longer than 64 bits"),
        ] {
            assert_eq!(first(bytes).expect_err("malformed"), WireError { offset, what }, "{bytes:?}");
        }
    }

    #[test]
    fn nested_faults_count_from_the_outer_start() {
        let bytes = [0x10, 7, 0x0a, 2, 0x08, 0x80];
        let mut outer = Reader::new(&bytes);
        outer.field().expect("varint field");
        let Ok(Some((1, Payload::Bytes(mut inner)))) = outer.field() else { panic!("nested field") };
        assert_eq!(inner.field().expect_err("cut off").offset, 5);
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let mut bytes = vec![0x08];
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), 1 + varint_len(value));
            prop_assert_eq!(whole_varint(&bytes[1..]), (bytes.len() < 10).then_some(value));
            let back = matches!(first(&bytes), Ok(Some((1, Payload::Varint(got)))) if got == value);
            prop_assert!(back);
        }

        #[test]
        fn short_fields_are_those_that_the_full_reader_reads(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let (mut short, mut full) = (Reader::new(&bytes), Reader::new(&bytes));
            match short.short() {
                None => prop_assert_eq!(short.at, 0),
                Some((number, field)) => {
                    let Ok(Some((expected, Payload::Bytes(inner)))) = full.field() else { panic!("short read more") };
                    prop_assert_eq!((u32::from(number), field.bytes, field.base), (expected, inner.bytes, inner.base));
                    prop_assert_eq!(short.at, full.at);
                }
            }
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut fields = 0;
            while let Ok(Some(_)) = reader.field() {
                fields += 1;
            }
            prop_assert!(fields <= bytes.len());
        }
    }
}
