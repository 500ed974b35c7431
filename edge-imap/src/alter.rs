//! STORE (RFC 9051 §6.4.6), conditional too (RFC 7162 §3.1.3).

use mail::flags::{FlagSet, KEYWORDS_MAX};
use mail::{Seq, Uid, UidSet};
use net::Out;
use proto::imap::Answer;
use proto::imap::command::{Store, StoreHow};
use proto::imap::response::Code;
use store::ChangeError;
use store::change::{Change, FlagOp};
use store::state::{Mailbox, State};

use crate::announce::{Client, Own};
use crate::flags;
use crate::replies::{Refusal, Stop};
use crate::selection::{ENTRY_RANGES, above, first_ranges};
use crate::session::Session;

impl Session {
    pub(crate) async fn store(
        &mut self,
        store: &Store,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let selected = self.writable()?;
        if !store.uid && selected.view.lacks(&store.set) {
            return Err(Refusal::BadSet.into());
        }
        let uids = selected.view.messages(&store.set, store.uid, &selected.saved);
        let flags = flags::taken(&store.flags)?;
        let op = match store.how {
            StoreHow::Replace => FlagOp::Set,
            StoreHow::Add => FlagOp::Add,
            StoreHow::Remove => FlagOp::Remove,
        };
        let id = selected.id;
        log.view(|state| state.mailbox(id).map(|_| ())).ok_or(Refusal::Deleted)?;
        let (mut outcome, mut entries) = (Outcome::default(), Vec::new());
        let mut rest = uids;
        while !rest.is_empty() {
            let mut part = Outcome::default();
            let decide = |state: &State| {
                let mailbox = state.mailbox(id).ok_or(Refusal::Deleted)?;
                if op != FlagOp::Remove {
                    keywords_fit(mailbox, &flags)?;
                }
                part = Outcome::of(mailbox, &rest, store.unchanged_since.map(Seq));
                if part.passed.is_empty() {
                    return Err(Refusal::Nothing);
                }
                let (uids, flags) = (part.named.clone(), flags.clone());
                Ok(Change::Flags { mailbox: id, uids, op, flags })
            };
            match log.change(decide).await {
                Ok(changed) => entries.push(changed.seq),
                Err(ChangeError::Refused(Refusal::Nothing)) => {}
                Err(error) => return Err(error.into()),
            }
            rest = above(&rest, part.upto);
            outcome.join(part);
        }
        let show = (!store.silent).then_some(&outcome.passed);
        let silent = if store.silent { &*entries } else { &[] };
        let own = Own { show, silent, told: &[] };
        // RFC 9051 §7.5.1: expunges wait if messages were counted by number.
        self.announce(store.uid, own, client, out).await?;
        let Outcome { modified, missing, .. } = outcome;
        if !modified.is_empty() {
            let modified = if store.uid { modified } else { self.numbers(&modified)? };
            let code = Code::Modified(modified.ranges().collect());
            return Ok(Answer::Ok(Some(code), "some were changed by others and are left".into()));
        }
        if missing && !store.uid {
            return Err(Refusal::ExpungeIssued.into());
        }
        Ok(Answer::Ok(None, "STORE done".into()))
    }

    /// Sequence numbers of these messages.
    fn numbers(&self, uids: &UidSet) -> Result<UidSet, Stop> {
        let view = &self.selected()?.view;
        let msn = |uid: u32| Uid::new(uid).and_then(|uid| view.msn(uid));
        Ok(uids.iter().filter_map(msn).map(|msn| msn.get()).collect())
    }
}

/// Which messages a STORE changes, as many of them as one entry names.
#[derive(Debug, Default)]
struct Outcome {
    /// These.
    passed: UidSet,
    /// How the entry names them: with UIDs between them that no message has, so in fewer ranges.
    named: UidSet,
    /// These were changed after the modseq that the client knows.
    modified: UidSet,
    /// Some are gone.
    missing: bool,
    /// What is above this UID is for the next entry.
    upto: u32,
}

impl Outcome {
    fn of(mailbox: Mailbox<'_>, uids: &UidSet, unchanged_since: Option<Seq>) -> Self {
        let (mut passed, mut modified) = (UidSet::new(), UidSet::new());
        for message in mailbox.in_set(uids) {
            // RFC 7162 §3.1.3: left alone if its modseq is greater.
            let changed = unchanged_since.is_some_and(|since| message.modseq > since);
            let into = if changed { &mut modified } else { &mut passed };
            into.insert(message.uid.get());
        }
        let all = uids.difference(&modified);
        let named = first_ranges(&all, ENTRY_RANGES);
        let upto = if named == all { u32::MAX } else { named.last().unwrap_or(u32::MAX) };
        let below = UidSet::from_ranges([(1, upto)]);
        let (passed, modified) = (passed.intersection(&below), modified.intersection(&below));
        let missing = passed.len() + modified.len() < uids.intersection(&below).len();
        Self { passed, named, modified, missing, upto }
    }

    fn join(&mut self, part: Self) {
        self.passed = self.passed.union(&part.passed);
        self.modified = self.modified.union(&part.modified);
        self.missing |= part.missing;
    }
}

/// Whether the mailbox can learn the keywords of `flags`.
pub(crate) fn keywords_fit(mailbox: Mailbox<'_>, flags: &FlagSet) -> Result<(), Refusal> {
    let known = |keyword: &_| mailbox.keywords().any(|known| known == keyword);
    let new = flags.keywords().iter().filter(|keyword| !known(keyword)).count();
    if new > 0 && mailbox.keywords().len() + new > KEYWORDS_MAX {
        return Err(Refusal::Limit("a mailbox has at most 1,000 keywords"));
    }
    Ok(())
}
