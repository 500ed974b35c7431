//! Whose message an item carries: what an account sent is found by its Message-ID as long as its
//! items are kept, which is longer than its segment.

use aws_lc_rs::digest::{SHA256, digest};
use mail::Address;
use mail::header::unfold;
use mail::summary::{FieldName, Summary};

use crate::segment::IndexRecord;

/// A Message-ID as it is compared: without brackets and white space.
#[must_use]
pub fn bare_message_id(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text).trim()
}

/// What stands in the items of a message that `sender` sent with this Message-ID, with brackets or
/// without: 64 bits of a hash, never 0. The sender's `+detail` makes no difference. Two messages may
/// have the same one: look at what is found.
#[must_use]
pub fn origin(sender: &Address, message_id: &str) -> u64 {
    let plain = sender.without_detail();
    let text = format!("{}\n{}", plain.as_ref().unwrap_or(sender), bare_message_id(message_id));
    let hash = digest(&SHA256, text.as_bytes());
    let first = hash.as_ref().iter().take(8);
    first.fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).max(1)
}

/// The same of a record; `None` if it has no sender or no Message-ID.
#[must_use]
pub fn origin_of(record: &IndexRecord) -> Option<u64> {
    let sender = record.envelope.as_ref()?.sender.as_ref()?;
    let summary = Summary::decode(&record.summary).ok()?;
    let value = unfold(summary.field(FieldName::MessageId)?.value()).into_owned();
    Some(origin(sender.address(), &String::from_utf8_lossy(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_detail_make_no_difference_and_all_else_does() {
        let ana = Address::parse("ana@example.org").unwrap();
        let shop = Address::parse("ana+shop@example.org").unwrap();
        let bob = Address::parse("bob@example.org").unwrap();
        let known = origin(&ana, "<1@x.test>");
        // It is stored: it stays what it is.
        assert_eq!(known, KNOWN);
        assert_eq!(origin(&shop, " 1@x.test "), known);
        assert_ne!(origin(&bob, "<1@x.test>"), known);
        assert_ne!(origin(&ana, "<2@x.test>"), known);
    }

    const KNOWN: u64 = 0xbc60_9076_350f_0e84;
}
