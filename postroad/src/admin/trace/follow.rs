//! One record in one account's log: told from the log's history, UIDs by replay.

use std::collections::BTreeSet;

use mail::{Account, RecordId, Seq};
use store::Told;
use store::change::{Change, Effects, FlagOp, MailboxChange, MailboxId};
use store::entry::Entry;
use store::state::State;

use super::{Admin, Trace, TraceStep, text};

/// Follows one record through the log of one account.
struct Follow {
    record: RecordId,
    account: String,
    /// Where it is: mailbox and UID.
    at: BTreeSet<(MailboxId, u32)>,
    steps: Vec<TraceStep>,
    unknown: Vec<String>,
    begun: bool,
    seen: Seq,
}

impl Admin {
    /// Adds what this account's log tells of the record. A log that cannot be read is told.
    pub(super) async fn follow(&self, account: Account, record: RecordId, trace: &mut Trace) {
        let name = self.account_name(account).await;
        let mut follow = Follow {
            record,
            account: name.clone(),
            at: BTreeSet::new(),
            steps: Vec::new(),
            unknown: Vec::new(),
            begun: false,
            seen: Seq(0),
        };
        let told = match self.store.account(account).await {
            Ok(log) => {
                let told = log.retell(|told| follow.see(told)).await;
                if follow.has_it() && trace.subject.is_none() && trace.message_id.is_none() {
                    (trace.subject, trace.message_id) = summary_of(&log, record).await;
                }
                told
            }
            Err(why) => Err(why),
        };
        if let Err(why) = told {
            trace.unknown.push(format!("the account {name}, whose log cannot be read: {why}"));
        }
        if follow.has_it() {
            trace.steps.append(&mut follow.steps);
            trace.unknown.append(&mut follow.unknown);
        }
    }

    /// An address of an account; its id where it is removed.
    pub(super) async fn account_name(&self, account: Account) -> String {
        let entry = self.directory().account(account.id).await.ok().flatten();
        let address = entry.and_then(|entry| entry.row.addresses.first().map(ToString::to_string));
        address.unwrap_or_else(|| account.to_string())
    }
}

/// Subject and Message-ID as the account's state has them.
async fn summary_of(log: &store::AccountLog, record: RecordId) -> (Option<String>, Option<String>) {
    let arrival = log.view(|state| {
        let mut messages = state.mailboxes().flat_map(|mailbox| mailbox.messages());
        messages.find(|message| message.record == record).map(|message| message.arrival)
    });
    let Some(arrival) = arrival else { return (None, None) };
    match log.encoded_summaries(&[arrival]).await {
        Ok(found) => match found.into_iter().next().flatten() {
            Some(summary) => text::named(&summary),
            None => (None, None),
        },
        Err(_) => (None, None),
    }
}

/// Where a state has this record.
fn places(state: &State, record: RecordId) -> BTreeSet<(MailboxId, u32)> {
    let of = |mailbox: store::state::Mailbox<'_>| {
        let id = mailbox.id();
        let messages = mailbox.messages().filter(|message| message.record == record);
        messages.map(|message| (id, message.uid.get())).collect::<Vec<_>>()
    };
    state.mailboxes().flat_map(of).collect()
}

pub(super) fn mailbox_name(state: &State, id: MailboxId) -> String {
    state.mailbox(id).map_or_else(|| format!("mailbox {}", id.0), |one| one.name().to_owned())
}

/// How flags are changed, as IMAP says it.
pub(super) fn flags_text(op: FlagOp, flags: &mail::FlagSet) -> String {
    let sign = match op {
        FlagOp::Add => "+",
        FlagOp::Remove => "-",
        FlagOp::Set => "=",
    };
    format!("{sign}{flags}")
}

impl Follow {
    /// Whether the account has, or had, anything of the record.
    fn has_it(&self) -> bool {
        !self.steps.is_empty()
    }

    fn see(&mut self, told: Told<'_>) {
        match told {
            Told::Begin(state) => self.begin(state),
            Told::Entry { entry, effects, after } => {
                self.entry(entry, effects, after);
                self.seen = entry.seq;
            }
        }
    }

    fn begin(&mut self, state: &State) {
        let at = places(state, self.record);
        let (account, since) = (&self.account, text::moment(state.time()));
        if self.begun {
            self.unknown.push(format!(
                "what happened in {account} between the changes {} and {}",
                self.seen,
                state.seq()
            ));
        } else if state.seq() > Seq(0) {
            self.unknown
                .push(format!("what happened in {account} before {since}, change {}", state.seq()));
        }
        for (mailbox, uid) in at.difference(&self.at) {
            let mut step = TraceStep::new(Some(state.time()), "was there", "at this time already");
            step.mailbox = Some(mailbox_name(state, *mailbox));
            step.uid = Some(*uid);
            step.seq = Some(state.seq().0);
            step.account = Some(account.clone());
            self.steps.push(step);
        }
        self.at = at;
        self.begun = true;
    }

    fn push(
        &mut self,
        entry: &Entry,
        after: &State,
        what: &'static str,
        (mailbox, uid): (MailboxId, u32),
        text: impl Into<String>,
    ) {
        self.steps.push(TraceStep {
            account: Some(self.account.clone()),
            mailbox: Some(mailbox_name(after, mailbox)),
            uid: Some(uid),
            seq: Some(entry.seq.0),
            ..TraceStep::new(Some(entry.time), what, text)
        });
    }

    fn here(&self, mailbox: MailboxId, uids: &mail::uidset::UidSet) -> Vec<(MailboxId, u32)> {
        let here = self.at.iter().copied();
        here.filter(|(id, uid)| *id == mailbox && uids.contains(*uid)).collect()
    }

    fn entry(&mut self, entry: &Entry, effects: &Effects, after: &State) {
        match &entry.change {
            Change::Deliver(arrivals) | Change::Append(arrivals) => {
                let what = match entry.change {
                    Change::Deliver(_) => "delivered",
                    _ => "appended",
                };
                for (arrival, to) in arrivals.iter().zip(&effects.arrived) {
                    if arrival.record != self.record {
                        continue;
                    }
                    let Some(to) = to else {
                        let text = "a second time: the account has it already";
                        self.push(entry, after, "ignored", (arrival.mailbox, 0), text);
                        continue;
                    };
                    let place = (to.mailbox, to.uid.get());
                    self.at.insert(place);
                    let text = format!("{} bytes, flags {}", arrival.size, arrival.flags);
                    self.push(entry, after, what, place, text);
                }
            }
            Change::Flags { op, flags, .. } => {
                let Some((mailbox, uids)) = &effects.flagged else { return };
                for place in self.here(*mailbox, uids) {
                    self.push(entry, after, "flags", place, flags_text(*op, flags));
                }
            }
            Change::Expunge { .. } => self.expunged(entry, effects, after, "by a client"),
            Change::Copy { from, is_move, .. } => {
                self.copied(entry, effects, after, *from, *is_move);
            }
            Change::Mailbox(change) => self.mailbox(entry, effects, after, change),
            Change::Reloc { moves, .. } if moves.iter().any(|one| one.record == self.record) => {
                let places: Vec<_> = self.at.iter().copied().collect();
                for place in places.into_iter().take(1) {
                    self.push(entry, after, "stored", place, "in a segment of the account's own");
                }
            }
            _ => {}
        }
    }

    fn expunged(&mut self, entry: &Entry, effects: &Effects, after: &State, text: &str) {
        let Some((mailbox, uids)) = &effects.expunged else { return };
        for place in self.here(*mailbox, uids) {
            self.at.remove(&place);
            self.push(entry, after, "expunged", place, text);
        }
    }

    fn copied(
        &mut self,
        entry: &Entry,
        effects: &Effects,
        after: &State,
        from: MailboxId,
        is_move: bool,
    ) {
        let Some(copied) = &effects.copied else { return };
        let what = if is_move { "moved" } else { "copied" };
        let sources = self.here(from, &copied.source);
        for place in &sources {
            let nth = copied.source.iter().position(|uid| uid == place.1);
            let Some(uid) = nth.and_then(|nth| copied.copies.iter().nth(nth)) else { continue };
            let text = format!("from {} UID {}", mailbox_name(after, from), place.1);
            self.at.insert((copied.to, uid));
            self.push(entry, after, what, (copied.to, uid), text);
        }
        if is_move {
            sources.iter().for_each(|place| {
                self.at.remove(place);
            });
        }
    }

    fn mailbox(&mut self, entry: &Entry, effects: &Effects, after: &State, change: &MailboxChange) {
        match change {
            MailboxChange::Delete { name } => {
                let gone: Vec<_> = self
                    .at
                    .iter()
                    .copied()
                    .filter(|(mailbox, _)| Some(*mailbox) == effects.deleted)
                    .collect();
                for place in gone {
                    self.at.remove(&place);
                    self.push(entry, after, "expunged", place, "with its mailbox");
                    if let Some(step) = self.steps.last_mut() {
                        step.mailbox = Some(name.clone());
                    }
                }
            }
            MailboxChange::Rename { from, .. } => {
                // RFC 9051 §6.3.6: INBOX's messages go to the new mailbox and keep their UIDs.
                if let (Some((inbox, uids)), Some(new)) =
                    (&effects.expunged, effects.created.last())
                {
                    for place in self.here(*inbox, uids) {
                        self.at.remove(&place);
                        self.at.insert((*new, place.1));
                        self.push(entry, after, "moved", (*new, place.1), "INBOX was renamed");
                    }
                }
                let here = self.at.iter().copied();
                let renamed: Vec<_> =
                    here.filter(|(mailbox, _)| effects.renamed.contains(mailbox)).collect();
                for place in renamed {
                    let text = format!("its mailbox was renamed ({from})");
                    self.push(entry, after, "mailbox", place, text);
                }
            }
            MailboxChange::Create { .. } | MailboxChange::Subscribe { .. } => {}
        }
    }
}
