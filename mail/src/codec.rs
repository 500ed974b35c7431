//! Small bounded reader and writers of the bytes that all stored formats are made of: varints
//! (LEB128), length-prefixed byte strings, options and lists.
//!
//! Reading is total: every function answers [`Malformed`] instead of panicking, and no length read
//! from input is ever allocated before the input is known to hold that many bytes.

/// Stored bytes are not what this format writes. The caller treats them as damaged: never guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Appends `value` as a varint: 1 byte below 128, at most 10.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends `value` as its length (varint) and its bytes.
pub fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_varint(out, len64(value));
    out.extend_from_slice(value);
}

/// Appends `value` as [`put_bytes`] does.
pub fn put_str(out: &mut Vec<u8>, value: &str) {
    put_bytes(out, value.as_bytes());
}

/// Appends an option: 0 for `None`, else the length plus one and the bytes.
pub fn put_option(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.push(0),
        Some(bytes) => {
            put_varint(out, len64(bytes).saturating_add(1));
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a signed number so that small magnitudes stay small (zigzag).
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// The length of `bytes` as the `u64` that formats store.
#[must_use]
pub const fn len64(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

const fn low_byte(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// Reads what the `put_` functions wrote, from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    /// # Errors
    /// [`Malformed`] at the end of input.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("end"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next varint.
    /// # Errors
    /// [`Malformed`] at the end of input, or if it does not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("varint"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("varint"))
    }

    /// The next varint, which must fit 32 bits.
    /// # Errors
    /// [`Malformed`] if it does not, or at the end of input.
    pub fn varint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("number"))
    }

    /// A number written by [`put_signed`].
    /// # Errors
    /// As [`Self::varint`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A count of things that each take at least one more byte; `most` is the format's bound.
    /// # Errors
    /// [`Malformed`] if it is over `most` or over the bytes that are left.
    pub fn count(&mut self, most: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed("count"))?;
        if count > most || count > self.rest.len() {
            return Err(Malformed("count"));
        }
        Ok(count)
    }

    /// Exactly `length` bytes.
    /// # Errors
    /// [`Malformed`] if fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("length"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Exactly `N` bytes as an array.
    /// # Errors
    /// [`Malformed`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("length"))
    }

    /// A byte string of at most `most` bytes, written by [`put_bytes`].
    /// # Errors
    /// [`Malformed`] if it is longer, or if the input is shorter.
    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed("length"))?;
        if length > most {
            return Err(Malformed("length"));
        }
        self.take(length)
    }

    /// A UTF-8 string of at most `most` bytes, written by [`put_str`].
    /// # Errors
    /// As [`Self::bytes`], and if it is not UTF-8.
    pub fn str(&mut self, most: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(most)?).map_err(|_| Malformed("text"))
    }

    /// An option written by [`put_option`], of at most `most` bytes.
    /// # Errors
    /// As [`Self::bytes`].
    pub fn option(&mut self, most: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let length = self.varint()?;
        let Some(length) = length.checked_sub(1) else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Malformed("length"))?;
        if length > most {
            return Err(Malformed("length"));
        }
        self.take(length).map(Some)
    }

    /// That nothing is left, so that no byte of a stored thing is silently ignored.
    /// # Errors
    /// [`Malformed`] if something is left.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("length: bytes left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_are_short() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let bits = 64 - value.leading_zeros().min(63);
            assert_eq!(out.len(), usize::try_from(bits.div_ceil(7)).unwrap());
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(Reader::new(&out).signed(), Ok(value));
        }
    }

    #[test]
    fn strings_and_options_survive() {
        let mut out = Vec::new();
        put_str(&mut out, "é");
        put_option(&mut out, None);
        put_option(&mut out, Some(b""));
        put_option(&mut out, Some(b"x"));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.str(2), Ok("é"));
        assert_eq!(reader.option(9), Ok(None));
        assert_eq!(reader.option(9), Ok(Some(&b""[..])));
        assert_eq!(reader.option(0), Err(Malformed("length")));
    }

    #[test]
    fn nothing_is_read_past_the_end_and_no_length_is_believed() {
        assert!(Reader::new(&[0x80]).varint().is_err());
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).varint32().is_err());
        assert!(Reader::new(&[5, 1]).bytes(10).is_err());
        assert!(Reader::new(&[200, 1, 1]).count(1000).is_err());
        assert!(Reader::new(&[1, 0xff]).str(10).is_err());
        assert!(Reader::new(&[]).array::<4>().is_err());
    }
}
