//! COPY, MOVE (RFC 6851) and EXPUNGE: one entry each, so that a MOVE is there or not, whole.

use mail::UidSet;
use mail::flags::SystemFlags;
use net::Out;
use proto::imap::Answer;
use proto::imap::command::{Copy, Set};
use proto::imap::response::{Code, Response};
use store::change::{Change, Copied};
use store::state::{Mailbox, Message, State};
use store::{ChangeError, Changed};

use crate::alter::keywords_fit;
use crate::announce::{Client, Own};
use crate::names::canonical;
use crate::replies::{Refusal, Stop};
use crate::selection::{ENTRY_RANGES, above, first_ranges};
use crate::session::Session;

impl Session {
    pub(crate) async fn copy(
        &mut self,
        copy: &Copy,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let is_move = copy.and_expunge;
        let selected = if is_move { self.writable()? } else { self.selected()? };
        if !copy.uid && selected.view.lacks(&copy.set) {
            return Err(Refusal::BadSet.into());
        }
        let uids = selected.view.messages(&copy.set, copy.uid, &selected.saved);
        let name = canonical(&copy.mailbox).map_err(|_| Refusal::TryCreate)?;
        let quota = self.quota().await?;
        let from = selected.id;
        let mut missing = false;
        let decide = |state: &State| {
            let source = state.mailbox(from).ok_or(Refusal::Deleted)?;
            let target = state.by_name(&name).ok_or(Refusal::TryCreate)?;
            let (mut there, mut bytes) = (UidSet::new(), 0);
            for message in source.in_set(&uids) {
                there.insert(message.uid.get());
                bytes += message.size;
                keywords_fit(target, message.flags)?;
            }
            missing = there.len() < uids.len();
            // RFC 9051 §6.4.7: COPY is all or nothing.
            if missing && !copy.uid {
                return Err(Refusal::ExpungeIssued);
            }
            if there.is_empty() {
                return Err(Refusal::Nothing);
            }
            if !is_move {
                quota.room(state, there.len(), bytes)?;
            }
            uids_left(target, there.len())?;
            Ok(Change::Copy { from, to: target.id(), uids: there, is_move })
        };
        let changed = match log.change(decide).await {
            Ok(changed) => changed,
            Err(ChangeError::Refused(Refusal::Nothing)) => {
                return Ok(Answer::Ok(None, "nothing to copy".into()));
            }
            Err(error) => return Err(error.into()),
        };
        self.teach(from, &changed);
        let code = copy_uid(&changed);
        if !is_move {
            return Ok(Answer::Ok(code, "COPY done".into()));
        }
        // RFC 6851 §4.3: COPYUID comes before the EXPUNGEs, untagged.
        let mut bytes = Vec::new();
        Response::Ok(code, "moved".into()).encode(client.style, &mut bytes);
        out.write(&bytes).await?;
        self.announce(true, Own::default(), client, out).await?;
        let code = client.qresync.then_some(Code::HighestModSeq(changed.seq.0));
        Ok(Answer::Ok(code, "MOVE done".into()))
    }

    /// EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).
    pub(crate) async fn expunge(
        &mut self,
        uids: Option<&Set>,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let selected = self.writable()?;
        let uids = uids.map(|set| selected.view.messages(set, true, &selected.saved));
        let changed = self.remove_deleted(uids.as_ref()).await?;
        self.announce(true, Own::default(), client, out).await?;
        // RFC 7162 §3.2.7: how far the client has come with it.
        let code = changed.filter(|_| client.qresync).map(|it| Code::HighestModSeq(it.seq.0));
        Ok(Answer::Ok(code, "EXPUNGE done".into()))
    }

    /// Removes what is \Deleted, of `uids` only if given. `None`: there was nothing.
    pub(crate) async fn remove_deleted(
        &self,
        uids: Option<&UidSet>,
    ) -> Result<Option<Changed>, Stop> {
        let (id, log) = (self.selected()?.id, self.log()?);
        let (mut last, mut after) = (None, 0);
        // As many entries as it takes, from the first UID to the last, so that it ends.
        loop {
            // Decided again after a conflict: what was decided before counts only once it is done.
            let mut until = after;
            let decide = |state: &State| {
                let mailbox = state.mailbox(id).ok_or(Refusal::Nothing)?;
                let gone = first_ranges(&above(&deleted(mailbox, uids), after), ENTRY_RANGES);
                until = gone.last().ok_or(Refusal::Nothing)?;
                Ok(Change::Expunge { mailbox: id, uids: gone })
            };
            match log.change(decide).await {
                Ok(changed) => {
                    last = Some(changed);
                    after = until;
                }
                Err(ChangeError::Refused(Refusal::Nothing)) => return Ok(last),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What is `\Deleted`, of `uids` only if given.
fn deleted(mailbox: Mailbox<'_>, uids: Option<&UidSet>) -> UidSet {
    if mailbox.deleted() == 0 {
        return UidSet::new();
    }
    let deleted = |message: &Message<'_>| message.flags.system.contains(SystemFlags::DELETED);
    let all = mailbox.messages().filter(deleted).map(|message| message.uid.get());
    all.filter(|uid| uids.is_none_or(|uids| uids.contains(*uid))).collect()
}

/// COPYUID tells the UIDs of the copies (RFC 4315 §3).
fn copy_uid(changed: &Changed) -> Option<Code> {
    let Copied { uid_validity, source, copies, .. } = changed.effects.copied.as_ref()?;
    let (from, to) = (source.ranges().collect(), copies.ranges().collect());
    Some(Code::CopyUid { validity: *uid_validity, from, to })
}

/// Whether so many more messages get a UID (I3: they are never used again).
pub(crate) fn uids_left(mailbox: Mailbox<'_>, more: u64) -> Result<(), Refusal> {
    if u64::from(mailbox.uid_next().get()) + more > u64::from(u32::MAX) {
        return Err(Refusal::Limit("the mailbox has given all its UIDs"));
    }
    Ok(())
}
