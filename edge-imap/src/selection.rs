//! One session's selected mailbox: what the client was told of it. The account's state moves on
//! by itself; a session's view only when its client hears of it (RFC 9051 §5.2, §7.5.1).

mod news;
mod sets;
mod view;

use mail::flags::Keyword;
use mail::{Seq, UidSet};
use store::change::MailboxId;

pub(crate) use news::{
    ENTRY_RANGES, Listed, News, above, first_ranges, groups, new_keywords, vanished,
};
pub(crate) use view::View;

/// A selected mailbox.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) id: MailboxId,
    /// EXAMINEd.
    pub(crate) read_only: bool,
    /// The messages the client knows.
    pub(crate) view: View,
    /// The client knows the flags of those as of here.
    pub(crate) told: Seq,
    /// The client knows of the expunges up to here.
    pub(crate) told_gone: Seq,
    /// Keywords that the client was told of (FLAGS), sorted.
    pub(crate) keywords: Vec<Keyword>,
    /// `$` (RFC 5182).
    pub(crate) saved: UidSet,
}
