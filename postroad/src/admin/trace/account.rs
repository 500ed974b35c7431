//! What happened in one account lately, and the records with a Message-ID.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use mail::{Address, RecordId, Seq, Timestamp, Uid};
use store::change::{Arrival, Assigned, Change, Effects, MailboxChange, MailboxId};
use store::directory::Entry as DirectoryEntry;
use store::entry::Entry;
use store::state::State;
use store::{AccountLog, Told, names};

use super::follow::{flags_text, mailbox_name};
use super::{Admin, AdminError, Trace, TraceStep, accounts, text};

/// Most steps of an account that are told at once.
pub(crate) const STEPS_MAX: usize = 10_000;
/// Most records of one Message-ID that are traced.
const RECORDS_MAX: usize = 20;
/// Most segments that are looked through for what an account sent.
const SEGMENTS_MAX: usize = 2_000;
/// Summaries read at once.
const PAGE: usize = 256;

impl Admin {
    /// What happened in an account, the newest first: at most `limit` steps (10,000 at most), none
    /// older than `since`.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn trace_account(
        &self,
        account: &str,
        since: Option<Duration>,
        limit: usize,
    ) -> Result<Trace, AdminError> {
        let (address, entry) = accounts::find(self.look().await?, account).await?;
        let log = self.store.account(entry.account()).await?;
        let now = self.store.engines().index.now();
        let since = since.map(|since| {
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            Timestamp(now.millis().saturating_sub(millis))
        });
        let limit = limit.clamp(1, STEPS_MAX);
        let (mut steps, mut left, mut known) = (VecDeque::new(), 0_u64, Seq(0));
        let mut known_from = None;
        log.retell(|told| match told {
            Told::Begin(state) => {
                known = state.seq();
                known_from = Some(state.time());
            }
            Told::Entry { entry, effects, after } => {
                if since.is_some_and(|since| entry.time < since) {
                    return;
                }
                for step in describe(entry, effects, after) {
                    if steps.len() >= limit {
                        steps.pop_front();
                        left += 1;
                    }
                    steps.push_back(step);
                }
            }
        })
        .await?;
        let mut unknown = Vec::new();
        if left > 0 {
            unknown.push(format!("{left} older steps were left out: see --limit"));
        }
        if let Some(from) = known_from.filter(|_| known > Seq(0))
            && since.is_none_or(|since| since < from)
        {
            let from = text::moment(from);
            unknown.push(format!("what happened in {address} before {from}, change {known}"));
        }
        Ok(Trace { steps: steps.into_iter().rev().collect(), unknown, ..Trace::default() })
    }

    /// What is known of each record with this Message-ID that came into this account, or that it
    /// sent: at most 20. What was sent outside is found while its items are kept (15 days after
    /// they are finished), what was sent within while its segment is there.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn trace_message(
        &self,
        account: &str,
        message_id: &str,
    ) -> Result<Vec<Trace>, AdminError> {
        let wanted = store::bare_message_id(message_id).to_owned();
        let (_, entry) = accounts::find(self.look().await?, account).await?;
        let log = self.store.account(entry.account()).await?;
        let is_it = |summary: &[u8]| {
            let (_, id) = text::named(summary);
            id.is_some_and(|id| store::bare_message_id(&id) == wanted)
        };
        let (mut records, mut started_later) = (BTreeSet::new(), false);
        log.retell(|told| match told {
            Told::Begin(state) => started_later |= state.seq() > Seq(0),
            Told::Entry { entry, .. } => {
                if let Change::Deliver(arrivals) | Change::Append(arrivals) = &entry.change {
                    let found = arrivals.iter().filter(|arrival| is_it(&arrival.summary));
                    records.extend(found.map(|arrival| arrival.record));
                }
            }
        })
        .await?;
        if started_later {
            records.extend(there_now(&log, is_it).await?);
        }
        records.extend(self.sent(&entry, is_it).await?);
        let own = entry.row.addresses.iter();
        let origins: Vec<u64> = own.map(|address| store::origin(address, &wanted)).collect();
        let items = self.store.items().of_origins(&origins, RECORDS_MAX).await?;
        records.extend(items.into_iter().map(|key| key.id));
        if records.is_empty() {
            return Err(AdminError::NotFound { what: "message", name: message_id.to_owned() });
        }
        let mut traces = Vec::new();
        for record in records.into_iter().take(RECORDS_MAX) {
            traces.push(self.trace_record(&record.to_string(), Some(account)).await?);
        }
        Ok(traces)
    }

    /// Records in ingest segments whose envelope sender is an address of this account.
    async fn sent(
        &self,
        account: &DirectoryEntry,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<RecordId>, AdminError> {
        let addresses: Vec<&Address> = account.row.addresses.iter().collect();
        let (mut found, mut after, mut read) = (Vec::new(), None, 0);
        loop {
            let objects = &self.store.engines().objects;
            let page = objects.list("ingest/", after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.key.clone());
            for object in &page {
                if names::parse_ingest(&object.key).is_none() {
                    continue;
                }
                let Some(index) = self.store.segment_index(&object.key).await? else { continue };
                for record in &index.records {
                    let sender = record.envelope.as_ref().and_then(|one| one.sender.as_ref());
                    if sender.is_some_and(|sender| addresses.contains(&sender.address()))
                        && is_it(&record.summary)
                    {
                        found.push(record.location.id);
                    }
                }
            }
            read += page.len();
            if read >= SEGMENTS_MAX || found.len() >= RECORDS_MAX {
                return Ok(found);
            }
        }
    }
}

/// Records in the account's mailboxes whose summary is the one.
async fn there_now(
    log: &AccountLog,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<Vec<RecordId>, AdminError> {
    let mailboxes: Vec<MailboxId> =
        log.view(|state| state.mailboxes().map(|mailbox| mailbox.id()).collect());
    let mut found = Vec::new();
    for mailbox in mailboxes {
        let mut from = 0;
        loop {
            let page: Vec<(Uid, u32, RecordId)> = log.view(|state| {
                let Some(mailbox) = state.mailbox(mailbox) else { return Vec::new() };
                let behind = (from..).map_while(|at| mailbox.at(at)).take(PAGE);
                behind.map(|one| (one.uid, one.arrival, one.record)).collect()
            });
            from += page.len();
            if page.is_empty() {
                break;
            }
            let arrivals: Vec<u32> = page.iter().map(|(_, arrival, _)| *arrival).collect();
            let summaries = log.encoded_summaries(&arrivals).await?;
            for ((.., record), summary) in page.iter().zip(summaries) {
                if summary.is_some_and(|summary| is_it(&summary)) {
                    found.push(*record);
                }
            }
        }
    }
    Ok(found)
}

/// One entry for people; what only upkeep does is left out.
fn describe(entry: &Entry, effects: &Effects, after: &State) -> Vec<TraceStep> {
    let step = |what, mailbox: Option<MailboxId>, text: String| TraceStep {
        mailbox: mailbox.map(|mailbox| mailbox_name(after, mailbox)),
        seq: Some(entry.seq.0),
        ..TraceStep::new(Some(entry.time), what, text)
    };
    match &entry.change {
        Change::Deliver(arrivals) | Change::Append(arrivals) => {
            let delivered = matches!(entry.change, Change::Deliver(_));
            let what = if delivered { "delivered" } else { "appended" };
            let all = arrivals.iter().zip(&effects.arrived);
            all.map(|(arrival, to)| arrived(step(what, None, String::new()), arrival, *to, after))
                .collect()
        }
        Change::Flags { op, flags, .. } => match &effects.flagged {
            Some((mailbox, uids)) if !uids.is_empty() => {
                let text = format!("UID {uids}: {}", flags_text(*op, flags));
                vec![step("flags", Some(*mailbox), text)]
            }
            _ => Vec::new(),
        },
        Change::Expunge { .. } => match &effects.expunged {
            Some((mailbox, uids)) if !uids.is_empty() => {
                vec![step("expunged", Some(*mailbox), format!("UID {uids}"))]
            }
            _ => Vec::new(),
        },
        Change::Copy { from, is_move, .. } => match &effects.copied {
            Some(copied) => {
                let what = if *is_move { "moved" } else { "copied" };
                let from = mailbox_name(after, *from);
                let text = format!("{from} UID {} as UID {}", copied.source, copied.copies);
                vec![step(what, Some(copied.to), text)]
            }
            None => Vec::new(),
        },
        Change::Mailbox(change) => vec![step("mailbox", None, mailbox_text(change))],
        Change::Effect(_) => vec![step("rule", None, "a rule did something once".to_owned())],
        Change::Fence { region, epoch } => {
            vec![step("closed", None, format!("goes on in region {region}, epoch {epoch}"))]
        }
        Change::Void { seq, reason } => {
            let reason = text::one_line(reason);
            vec![step("repaired", None, format!("change {seq} was voided: {reason}"))]
        }
        Change::Open { .. }
        | Change::Reloc { .. }
        | Change::Release { .. }
        | Change::Drop { .. } => Vec::new(),
    }
}

fn arrived(
    mut step: TraceStep,
    arrival: &Arrival,
    to: Option<Assigned>,
    after: &State,
) -> TraceStep {
    let (subject, id) = text::named(&arrival.summary);
    step.mailbox = Some(mailbox_name(after, to.map_or(arrival.mailbox, |to| to.mailbox)));
    step.uid = to.map(|to| to.uid.get());
    step.record = Some(arrival.record.to_string());
    step.text = format!(
        "{} bytes, {}, \"{}\"",
        arrival.size,
        id.as_deref().unwrap_or("no Message-ID"),
        subject.as_deref().unwrap_or_default()
    );
    if to.is_none() {
        step.what = "ignored";
    }
    step
}

fn mailbox_text(change: &MailboxChange) -> String {
    match change {
        MailboxChange::Create { name, .. } => format!("created {name}"),
        MailboxChange::Rename { from, to } => format!("renamed {from} to {to}"),
        MailboxChange::Delete { name } => format!("deleted {name}"),
        MailboxChange::Subscribe { name, on: true } => format!("subscribed to {name}"),
        MailboxChange::Subscribe { name, on: false } => format!("unsubscribed from {name}"),
    }
}
