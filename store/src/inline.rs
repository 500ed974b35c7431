//! The bytes of a small APPEND, kept in the entry that appended it [ζ].

use bytes::Bytes;

use crate::packing;

/// Most stored (compressed) bytes of an inline body.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of an inline body before compression: what keeps a hostile entry from unpacking into
/// more than a small buffer.
pub const INLINE_RAW_BYTES_MAX: usize = 1024 * 1024;

/// What is stored is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inline body damaged")]
pub struct InlineDamaged;

/// A small message: zstd if that is smaller, with a CRC of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    stored: Bytes,
    compressed: bool,
    raw_bytes: u32,
    crc: u32,
}

impl Inline {
    /// Packs a whole message. `None` if it does not fit: it goes to an account segment then.
    #[must_use]
    pub fn pack(raw: &[u8]) -> Option<Self> {
        if raw.len() > INLINE_RAW_BYTES_MAX {
            return None;
        }
        let packed = packing::smaller(raw, 1);
        let compressed = packed.is_some();
        let stored = packed.map_or_else(|| Bytes::copy_from_slice(raw), Bytes::from);
        if stored.len() > INLINE_BYTES_MAX {
            return None;
        }
        let crc = crc32fast::hash(&stored);
        Some(Self { stored, compressed, raw_bytes: u32::try_from(raw.len()).ok()?, crc })
    }

    /// Puts one together from its stored parts; checked by [`Self::unpack`].
    pub(crate) const fn from_parts(
        stored: Bytes,
        compressed: bool,
        raw_bytes: u32,
        crc: u32,
    ) -> Self {
        Self { stored, compressed, raw_bytes, crc }
    }

    /// The message, checked.
    /// # Errors
    /// [`InlineDamaged`]: the row is not what was written; a person must look.
    pub fn unpack(&self) -> Result<Bytes, InlineDamaged> {
        let raw_bytes = usize::try_from(self.raw_bytes).map_err(|_| InlineDamaged)?;
        if crc32fast::hash(&self.stored) != self.crc || raw_bytes > INLINE_RAW_BYTES_MAX {
            return Err(InlineDamaged);
        }
        let raw = if self.compressed {
            Bytes::from(packing::exactly(&self.stored, raw_bytes).ok_or(InlineDamaged)?)
        } else {
            self.stored.clone()
        };
        if raw.len() == raw_bytes { Ok(raw) } else { Err(InlineDamaged) }
    }

    /// The bytes as stored in the row.
    #[must_use]
    pub const fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// Whether they are compressed.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Bytes of the message.
    #[must_use]
    pub const fn raw_bytes(&self) -> u32 {
        self.raw_bytes
    }

    /// CRC-32 of the stored bytes.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn small_bodies_come_back_and_large_ones_are_refused() {
        for raw in [&b""[..], b"x", &[b'a'; 100_000]] {
            let inline = Inline::pack(raw).unwrap();
            assert_eq!(inline.unpack().unwrap(), raw);
        }
        assert!(Inline::pack(&vec![b'a'; INLINE_RAW_BYTES_MAX + 1]).is_none());
        assert!(Inline::pack(&noise(1, INLINE_BYTES_MAX)).is_some());
        assert!(Inline::pack(&noise(1, INLINE_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn damage_is_seen() {
        let mut inline = Inline::pack(b"hello hello hello hello hello hello hello").unwrap();
        inline.crc ^= 1;
        assert_eq!(inline.unpack(), Err(InlineDamaged));
    }
}
