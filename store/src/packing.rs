//! zstd for our formats: used only where it makes things smaller, unpacked only within a bound.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mail::codec::Malformed;
use zstd::bulk::{Compressor, Decompressor};

thread_local! {
    // Making a context costs more than a small message does: each thread keeps its own, one for
    // each level.
    static COMPRESSORS: RefCell<BTreeMap<i32, Compressor<'static>>> =
        const { RefCell::new(BTreeMap::new()) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The compressed bytes if they are fewer.
pub(crate) fn smaller(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    let packed = COMPRESSORS.with_borrow_mut(|kept| {
        let compressor = match kept.entry(level) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(Compressor::new(level).ok()?),
        };
        compressor.compress(raw).ok()
    });
    packed.filter(|packed| packed.len() < raw.len())
}

/// The content of a frame, if it is exactly `size` bytes.
pub(crate) fn exactly(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let raw = DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut()?.decompress(packed, size).ok()
    });
    raw.filter(|raw| raw.len() == size)
}

/// Unpacks a frame that says itself how large its content is, at most `most` bytes.
pub(crate) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Malformed> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= most);
    let size = size.ok_or(Malformed("zstd: size"))?;
    exactly(packed, size).ok_or(Malformed("zstd"))
}

/// One byte that says whether zstd follows, then the bytes.
pub(crate) fn marked(raw: &[u8], level: i32) -> Vec<u8> {
    let packed = smaller(raw, level);
    let (zstd, bytes) = packed.as_deref().map_or((0, raw), |packed| (1, packed));
    let mut out = Vec::with_capacity(bytes.len() + 1);
    out.push(zstd);
    out.extend_from_slice(bytes);
    out
}

/// Reads what [`marked`] wrote, at most `most` bytes.
pub(crate) fn unmark(bytes: &[u8], most: usize) -> Result<Vec<u8>, Malformed> {
    match bytes.split_first() {
        Some((0, raw)) if raw.len() <= most => Ok(raw.to_vec()),
        Some((1, packed)) => unpack(packed, most),
        _ => Err(Malformed("compression")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn bytes_come_back_and_bounds_hold() {
        for raw in [Vec::new(), noise(1, 5000), vec![b'x'; 5000]] {
            let bytes = marked(&raw, 3);
            assert!(bytes.len() <= raw.len() + 1);
            assert_eq!(unmark(&bytes, 5000).unwrap(), raw);
            assert!(raw.is_empty() || unmark(&bytes, 4999).is_err());
        }
        assert!(unmark(&[], 10).is_err());
        assert!(unmark(&[7, 1], 10).is_err());
    }
}
