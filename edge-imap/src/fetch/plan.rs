//! What a FETCH needs to know of each message before it can be written.

use proto::imap::command::{Fetch, FetchItem, Section};

/// The items of a FETCH, and what they need.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the client's order; UID and MODSEQ are there where they must be told unasked.
    pub(crate) items: Vec<FetchItem>,
    /// The summary is needed.
    pub(crate) summary: bool,
    /// A summary that was cut is not enough: fields or structure are needed.
    pub(crate) uncut: bool,
    /// Reading it sets \Seen.
    pub(crate) sets_seen: bool,
}

impl Plan {
    pub(crate) fn new(fetch: &Fetch) -> Self {
        let mut items = fetch.items.clone();
        // RFC 9051 §6.4.9: UID FETCH tells the UID in any case.
        if fetch.uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        // RFC 7162 §3.1.4.1: CHANGEDSINCE has MODSEQ told.
        if fetch.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        let summary = items.iter().any(needs_summary);
        let uncut = items.iter().any(needs_uncut);
        let sets_seen = items.iter().any(FetchItem::sets_seen);
        Self { items, summary, uncut, sets_seen }
    }
}

fn needs_summary(item: &FetchItem) -> bool {
    match item {
        FetchItem::Flags
        | FetchItem::InternalDate
        | FetchItem::Size
        | FetchItem::Uid
        | FetchItem::ModSeq
        | FetchItem::Rfc822 => false,
        FetchItem::Section { section, .. } => *section != Section::default(),
        FetchItem::Binary { part, .. } | FetchItem::BinarySize { part } => !part.is_empty(),
        FetchItem::Envelope
        | FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Rfc822Header
        | FetchItem::Rfc822Text => true,
    }
}

/// The header's length is right in every summary; what is in it and the structure are not.
fn needs_uncut(item: &FetchItem) -> bool {
    match item {
        // Of the message's own header the fields that are not listed are read: `Layout::find`.
        FetchItem::Section { section, .. } => !section.part.is_empty(),
        FetchItem::Rfc822Header | FetchItem::Rfc822Text => false,
        item => needs_summary(item),
    }
}
