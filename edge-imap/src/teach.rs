//! What people put into Junk or take out of it is told to whoever teaches the spam filter.

use mail::Uid;
use store::Changed;
use store::change::{Copied, MailboxId, SpecialUse};

use crate::service::Taught;
use crate::session::Session;

/// Messages of one command that are told.
const TOLD_MAX: usize = 100;

impl Session {
    /// Tells of copies and moves from or to Junk. What goes from Junk to Trash was no mistake.
    /// Never waits, and never fails.
    pub(crate) fn teach(&self, from: MailboxId, changed: &Changed) {
        let (Some(teacher), Ok(log)) = (&self.shared.options.taught, self.log()) else { return };
        let Some(Copied { to, copies, .. }) = changed.effects.copied.as_ref() else { return };
        let (from, into) = log.view(|state| {
            let used = |id| state.mailbox(id).and_then(|mailbox| mailbox.special_use());
            (used(from), used(*to))
        });
        let spam = match (from == Some(SpecialUse::Junk), into) {
            (false, Some(SpecialUse::Junk)) => true,
            (true, Some(SpecialUse::Junk | SpecialUse::Trash)) | (false, _) => return,
            (true, _) => false,
        };
        let uids = copies.ranges().flatten();
        for uid in uids.take(TOLD_MAX).filter_map(Uid::new) {
            let taught = Taught { log: log.clone(), mailbox: *to, uid, spam };
            if teacher.try_send(taught).is_err() {
                tracing::debug!("too much to teach the spam filter at once");
                return;
            }
        }
    }
}
