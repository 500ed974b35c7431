//! Logs of accounts: the pointer, the ring, what entries name, and the account's objects.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::{Key, ObjectKey, Row, Version};
use mail::{Account, Seq};
use store::change::{Arrival, ArrivalPlace, Change};
use store::entry::{Decoded, Entry};
use store::names;
use store::place::SegmentRef;
use store::rows::{Pointer, RING};

use super::States;

/// One account's.
#[derive(Default)]
pub(super) struct Log {
    pointer: Option<(Version, Pointer)>,
    /// The last entry.
    head: u64,
    /// Keys of what *release* and *drop* named, ever.
    gone: BTreeSet<ObjectKey>,
    /// Segments that *release* named, ever.
    released: BTreeSet<SegmentRef>,
    /// The account's objects that are there.
    objects: BTreeMap<ObjectKey, Bytes>,
}

impl Log {
    pub(super) fn has_let_go(&self, segment: SegmentRef) -> bool {
        self.released.contains(&segment)
    }
}

impl States {
    pub(super) fn see_log(&mut self, key: &Key, now: Option<&Row>) {
        let Some(account) = self.account_of_log(key) else {
            return self.wrong("a log of nobody");
        };
        let Some(row) = now else {
            return self.wrong(format!("[A, x] a row of the log of {account} goes"));
        };
        if key.sort[..] == [0] {
            self.see_pointer(account, row);
        } else {
            self.see_entry(account, key, row);
        }
    }

    fn log(&mut self, account: Account) -> &mut Log {
        self.logs.entry(account).or_default()
    }

    /// It moves by one version at a time, never back, to a checkpoint that is there [I].
    fn see_pointer(&mut self, account: Account, row: &Row) {
        let Some(now) = self.read::<Pointer>(row) else { return };
        let log = self.log(account);
        let (head, before) = (log.head, log.pointer.replace((row.version, now.clone())));
        let root = now.checkpoint.map(|at| names::checkpoint(account, at.seq, at.nonce));
        let there = root.is_none_or(|root| log.objects.contains_key(&root));
        self.counts(before.as_ref().map(|(version, _)| *version), row.version, &account);
        self.rule(there, || format!("[I] I5: the checkpoint of {now:?} is not there"));
        let (was, first) =
            before.map_or((Seq(0), now.first), |(_, before)| (before.checkpointed(), before.first));
        let kept = was <= now.checkpointed() && first == now.first;
        self.rule(kept && now.checkpointed().0 <= head, || {
            format!("[I] the pointer of {account} goes from {was} to {now:?}; the log is at {head}")
        });
    }

    /// I2: the next one, in its slot, over the one 128 before it, which is in a checkpoint [A]; it
    /// names what is there and was not let go [D, F, G].
    fn see_entry(&mut self, account: Account, key: &Key, row: &Row) {
        let log = self.log(account);
        let (seq, before) = (row.version.0, log.head);
        let checkpointed = log.pointer.as_ref().map_or(Seq(0), |(_, at)| at.checkpointed());
        log.head = before.max(seq);
        self.rule(seq == before + 1, || format!("I2: entry {seq} of {account} after {before}"));
        self.rule(store::rows::entry_key(account, Seq(seq)) == *key, || {
            format!("I2: entry {seq} of {account} is not in its slot")
        });
        self.rule(seq <= checkpointed.0 + RING, || {
            format!(
                "[A] entry {seq} of {account} over one that is in no checkpoint: {checkpointed}"
            )
        });
        match self.entry(account, &row.value) {
            Some(entry) => {
                self.rule(entry.seq == Seq(seq), || format!("I2: entry {seq} says {}", entry.seq));
                self.names(account, &entry);
            }
            None => self.wrong(format!("entry {seq} of {account} cannot be read")),
        }
    }

    fn entry(&mut self, account: Account, row: &Bytes) -> Option<Entry> {
        match Entry::decode(row).ok()? {
            Decoded::Whole(entry) => Some(entry),
            Decoded::Pending(pending) => {
                let key = names::entry(account, pending.object());
                let body = self.log(account).objects.get(&key)?.clone();
                pending.finish(&body).ok()
            }
        }
    }

    fn names(&mut self, account: Account, entry: &Entry) {
        let slots = |arrivals: &[Arrival]| {
            let places = arrivals.iter().filter_map(|arrival| match &arrival.place {
                ArrivalPlace::Slot(slot) => Some(slot.segment),
                ArrivalPlace::Inline(_) => None,
            });
            places.collect::<BTreeSet<_>>()
        };
        let (named, released) = match &entry.change {
            Change::Deliver(arrivals) | Change::Append(arrivals) => (slots(arrivals), &[][..]),
            Change::Reloc { moves, released } => {
                (moves.iter().map(|one| one.to.segment).collect(), &released[..])
            }
            Change::Release { segments } => (BTreeSet::new(), &segments[..]),
            Change::Drop { objects } => {
                let keys = objects.iter().map(|object| match object {
                    store::change::AccountObject::Segment(nonce) => {
                        names::account_segment(account, *nonce)
                    }
                    store::change::AccountObject::EntryBody(nonce) => names::entry(account, *nonce),
                });
                let keys: Vec<ObjectKey> = keys.collect();
                self.log(account).gone.extend(keys);
                (BTreeSet::new(), &[][..])
            }
            _ => (BTreeSet::new(), &[][..]),
        };
        let seq = entry.seq;
        for segment in named {
            let key = names::segment(account, segment);
            let log = self.log(account);
            let there = log.objects.contains_key(&key);
            let gone = log.gone.contains(&key) || log.released.contains(&segment);
            let there = match segment {
                SegmentRef::Ingest { writer, number } => {
                    self.segments.get(&(writer, number)) == Some(&None)
                }
                _ => there,
            };
            self.rule(!gone, || format!("[D, F, G] entry {seq} of {account} names {key}, let go"));
            self.rule(there, || format!("I5: entry {seq} of {account} names {key}, not there"));
        }
        self.log(account).released.extend(released);
    }

    /// What an entry or the pointer names is there; it goes only after it was let go [F, G, I].
    pub(super) fn see_account_object(&mut self, key: &ObjectKey, now: Option<&Bytes>) {
        let Some(account) = self.account_of(key) else { return };
        let log = self.log(account);
        if let Some(object) = now {
            log.objects.insert(key.clone(), object.clone());
            return;
        }
        let was = log.objects.remove(key);
        let pointer = log.pointer.as_ref().and_then(|(_, pointer)| pointer.checkpoint);
        let root = pointer.map(|at| names::checkpoint(account, at.seq, at.nonce));
        let dropped = log.gone.contains(key);
        let is_named = |kind: &str| key.as_str().contains(kind);
        let free = match was {
            None => true,
            Some(_) if is_named("/s/") || is_named("/e/") => dropped,
            Some(_) => root.as_ref() != Some(key),
        };
        self.rule(free, || format!("[G, I] I5: {key} goes and was not let go"));
    }
}
