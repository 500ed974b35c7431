//! FETCH and UID FETCH (RFC 9051 §6.4.5): lists from the account's state and from summaries, and
//! reads of a body only the bytes that are asked for.
//!
//! Messages are looked at in groups of at most 256, so that a FETCH of a million holds a few
//! hundred KiB; bodies go through in pieces of at most 256 KiB.

mod envelope;
mod fields;
mod line;
mod plan;
pub(crate) mod reading;
pub(crate) mod section;
mod structure;
pub(crate) mod summaries;

use mail::flags::{FlagSet, SystemFlags};
use mail::summary::Summary;
use mail::{Seq, Uid, UidSet};
use net::Out;
use proto::imap::Answer;
use proto::imap::command::{Fetch, FetchItem, Set};
use store::change::{Change, FlagOp};
use store::state::{Mailbox, Message, State};
use store::{AccountLog, ChangeError, LogError};

use crate::announce::{Client, Own, tell_vanished};
use crate::fetch::line::{Unwritten, Writer};
use crate::fetch::plan::Plan;
use crate::fetch::reading::Reading;
use crate::replies::{Refusal, Stop};
use crate::selection::{self, ENTRY_RANGES, Listed, Selected, above, first_ranges, groups};
use crate::session::Session;

/// Messages looked at at once.
pub(crate) const GROUP: u32 = 256;

/// What went wrong with some messages, told once all others are written.
#[derive(Debug, Default)]
struct Missed {
    expunged: bool,
    unknown_cte: bool,
    unread: Option<LogError>,
}

impl Session {
    /// Carries out a FETCH.
    pub(crate) async fn fetch(
        &mut self,
        fetch: &Fetch,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let selected = self.selected()?;
        if !fetch.uid && selected.view.lacks(&fetch.set) {
            return Err(Refusal::BadSet.into());
        }
        let plan = Plan::new(fetch);
        let mut uids = selected.view.messages(&fetch.set, fetch.uid, &selected.saved);
        if let Some(since) = fetch.changed_since.filter(|_| fetch.vanished) {
            vanished(&log, selected, &fetch.set, since, client, out).await?;
        }
        if let Some(since) = fetch.changed_since {
            uids = changed_since(&log, selected, &uids, Seq(since));
        }
        let (entries, made_seen) = self.make_seen(&log, &plan, &uids).await?;
        let selected = self.selected()?;
        let mut missed = Missed::default();
        let mut writer = Writer::new(out, client.style);
        for group in groups(&uids, GROUP) {
            let whole = Group { log: &log, selected, plan: &plan, made_seen: &made_seen, client };
            whole.write(&group, &mut writer, &mut missed).await?;
            if matches!(missed.unread, Some(LogError::Unavailable(_))) {
                // The store is away: the other messages would only wait for it in vain.
                break;
            }
        }
        writer.flush().await?;
        let own = Own { told: &entries, ..Own::default() };
        self.announce(fetch.uid, own, client, out).await?;
        missed.answer(fetch.uid)
    }

    /// Sets \Seen on the messages that are about to be read (RFC 9051 §6.4.5), in as few entries as
    /// hold them; returns those and which got it. Reading goes on where that cannot be done now.
    async fn make_seen(
        &mut self,
        log: &AccountLog,
        plan: &Plan,
        uids: &UidSet,
    ) -> Result<(Vec<Seq>, UidSet), Stop> {
        let selected = self.selected()?;
        let (mut entries, mut made_seen, mut after) = (Vec::new(), UidSet::new(), 0);
        if !plan.sets_seen || selected.read_only {
            return Ok((entries, made_seen));
        }
        let mailbox = selected.id;
        loop {
            // Decided again after a conflict: what was decided before counts only once it is done.
            let mut until = after;
            let decide = |state: &State| {
                let unseen = state.mailbox(mailbox).map(|mailbox| unseen(mailbox, uids));
                let unseen = above(&unseen.unwrap_or_default(), after);
                let uids = first_ranges(&unseen, ENTRY_RANGES);
                until = uids.last().ok_or(Nothing)?;
                let flags = FlagSet::system(SystemFlags::SEEN);
                Ok(Change::Flags { mailbox, uids, op: FlagOp::Add, flags })
            };
            match log.change(decide).await {
                Ok(changed) => {
                    after = until;
                    entries.push(changed.seq);
                    let flagged = changed.effects.flagged.map(|(_, uids)| uids);
                    made_seen = made_seen.union(&flagged.unwrap_or_default());
                }
                Err(ChangeError::Refused(Nothing)) => return Ok((entries, made_seen)),
                Err(ChangeError::Log(error)) => {
                    tracing::warn!(%error, "messages are read without being marked so");
                    return Ok((entries, made_seen));
                }
            }
        }
    }
}

/// Those of `uids` that are not \Seen.
fn unseen(mailbox: Mailbox<'_>, uids: &UidSet) -> UidSet {
    let seen = |message: &Message<'_>| message.flags.system.contains(SystemFlags::SEEN);
    let unseen = mailbox.in_set(uids).filter(|message| !seen(message));
    unseen.map(|message| message.uid.get()).collect()
}

/// There is nothing to change.
struct Nothing;

/// A FETCH under way.
struct Group<'a> {
    log: &'a AccountLog,
    selected: &'a Selected,
    plan: &'a Plan,
    made_seen: &'a UidSet,
    client: Client,
}

impl Group<'_> {
    async fn write(
        &self,
        uids: &UidSet,
        writer: &mut Writer<'_, '_>,
        missed: &mut Missed,
    ) -> Result<(), Stop> {
        let id = self.selected.id;
        let listed = self.log.view(|state| self.selected.view.listed(state, id, uids));
        missed.expunged |= (listed.len() as u64) < uids.len();
        let encoded = if self.plan.summary {
            summaries::encoded(self.log, &listed).await?
        } else {
            vec![None; listed.len()]
        };
        for (listed, encoded) in listed.iter().zip(encoded) {
            let mut summary = summaries::decoded(listed, encoded);
            let reading =
                Reading { log: self.log, mailbox: id, uid: listed.uid, size: listed.size };
            let written = match self.complete(&reading, &mut summary).await {
                Ok(()) => {
                    let summary = summary.as_ref();
                    let message = line::Message { listed, reading, summary };
                    writer.message(&self.items(listed), message).await
                }
                Err(why) => Err(why),
            };
            match written {
                Ok(()) => {}
                Err(Unwritten::Gone) => return Err(Stop::Gone),
                Err(Unwritten::Expunged) => missed.expunged = true,
                Err(Unwritten::UnknownCte) => missed.unknown_cte = true,
                Err(Unwritten::Unread(error)) => {
                    tracing::warn!(%error, uid = %listed.uid, "a message cannot be read");
                    let away = matches!(error, LogError::Unavailable(_));
                    missed.unread = Some(error);
                    if away {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a summary that was cut whole where it is needed so [Q], and one that is missing.
    async fn complete(
        &self,
        reading: &Reading<'_>,
        summary: &mut Option<Summary>,
    ) -> Result<(), Unwritten> {
        match summary {
            Some(cut) if cut.cut && self.plan.uncut => {
                *cut = reading.scan(reading.size.saturating_sub(cut.size)).await?;
            }
            None if self.plan.summary => *summary = Some(reading.scan(0).await?),
            _ => {}
        }
        Ok(())
    }

    /// The items for one message: with the flags that reading it has changed.
    fn items(&self, listed: &Listed) -> Vec<FetchItem> {
        let mut items = self.plan.items.clone();
        if self.made_seen.contains(listed.uid.get()) {
            if !items.contains(&FetchItem::Flags) {
                items.push(FetchItem::Flags);
            }
            // RFC 7162 §3.2.4: with what changed goes its modseq.
            if self.client.condstore && !items.contains(&FetchItem::ModSeq) {
                items.push(FetchItem::ModSeq);
            }
        }
        items
    }
}

/// VANISHED (EARLIER): which of the messages asked for are gone since (RFC 7162 §3.2.6).
async fn vanished(
    log: &AccountLog,
    selected: &Selected,
    set: &Set,
    since: u64,
    client: Client,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    let asked = match set.resolve(selected.view.last_uid().map_or(0, Uid::get)) {
        None => selected.saved.clone(),
        Some(ranges) => UidSet::from_ranges(ranges.iter().map(|r| (*r.start(), *r.end()))),
    };
    let gone = log.view(|state| {
        let mailbox = state.mailbox(selected.id);
        mailbox.map(|mailbox| selection::vanished(mailbox, Seq(since), &asked)).unwrap_or_default()
    });
    // What the client still believes to be there is told as gone now, not here.
    let gone = gone.difference(&selected.view.all());
    let mut bytes = Vec::new();
    tell_vanished(&gone, true, client, &mut bytes);
    out.write(&bytes).await?;
    Ok(())
}

/// Those of `uids` that changed after `since` (RFC 7162 §3.1.4.1).
fn changed_since(log: &AccountLog, selected: &Selected, uids: &UidSet, since: Seq) -> UidSet {
    log.view(|state| {
        let changed = state.mailbox(selected.id).into_iter().flat_map(|m| m.changed_since(since));
        let all: UidSet = changed.map(|message| message.uid.get()).collect();
        all.intersection(uids)
    })
}

impl Missed {
    fn answer(self, by_uid: bool) -> Result<Answer, Stop> {
        if let Some(error) = self.unread {
            return match error {
                // The session lives on: only these messages cannot be read.
                LogError::Unavailable(_) => Err(Refusal::Unreadable.into()),
                error => Err(error.into()),
            };
        }
        if self.unknown_cte {
            return Err(Refusal::UnknownCte.into());
        }
        // RFC 9051 §6.4.9: UIDs that are not there are no error.
        if self.expunged && !by_uid {
            return Err(Refusal::ExpungeIssued.into());
        }
        Ok(Answer::Ok(None, "FETCH done".into()))
    }
}
