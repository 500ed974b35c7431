//! Events as bytes between processes: a version byte, then events, each a kind byte and what
//! belongs to it. Numbers are big-endian.

use std::sync::Arc;

use mail::AccountId;

use crate::{Event, ObjectKey};

/// Longest datagram.
pub(super) const DATAGRAM_BYTES_MAX: usize = 32 << 10;

/// Accounts named in one event, at most.
const ACCOUNTS_MAX: usize = 1_024;

const VERSION: u8 = 1;
const LOST: u8 = 0;
const OBJECT: u8 = 1;
const ACCOUNTS: u8 = 2;
const DIRECTORY: u8 = 3;
const ITEMS: u8 = 4;

/// A datagram being filled.
pub(super) struct Datagram(Vec<u8>);

impl Datagram {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    /// Adds an event; `false`: it does not fit.
    pub(super) fn push(&mut self, event: &Event) -> bool {
        let before = self.0.len();
        match event {
            Event::Object(key) => {
                self.0.push(OBJECT);
                self.count(key.as_str().len());
                self.0.extend_from_slice(key.as_str().as_bytes());
            }
            Event::Accounts(accounts) => {
                for some in accounts.chunks(ACCOUNTS_MAX) {
                    self.0.push(ACCOUNTS);
                    self.count(some.len());
                    some.iter().for_each(|account| self.0.extend_from_slice(&account.0));
                }
            }
            Event::Directory => self.0.push(DIRECTORY),
            Event::Items => self.0.push(ITEMS),
        }
        let fits = self.0.len() <= DATAGRAM_BYTES_MAX;
        if !fits && before == 1 {
            // Alone too large: more accounts than anybody should look at one by one.
            self.0.truncate(before);
            self.0.push(LOST);
            return true;
        }
        if !fits {
            self.0.truncate(before);
        }
        fits
    }

    fn count(&mut self, n: usize) {
        // Keys have at most 512 bytes, chunks 1,024 accounts.
        self.0.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Tells a peer that it has lost events.
pub(super) const fn all_lost() -> [u8; 2] {
    [VERSION, LOST]
}

/// The events of a datagram; `false` if some of it was not understood, or says that events were
/// lost.
pub(super) fn decode(datagram: &[u8]) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    let Some((&VERSION, mut rest)) = datagram.split_first() else { return (events, false) };
    while !rest.is_empty() {
        let Some((event, after)) = decode_one(rest) else { return (events, false) };
        events.push(event);
        rest = after;
    }
    (events, true)
}

fn decode_one(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        DIRECTORY => Some((Event::Directory, rest)),
        ITEMS => Some((Event::Items, rest)),
        OBJECT => {
            let (n, rest) = decode_count(rest)?;
            let (name, rest) = rest.split_at_checked(n)?;
            let key = ObjectKey::new(std::str::from_utf8(name).ok()?)?;
            Some((Event::Object(key), rest))
        }
        ACCOUNTS => {
            let (n, rest) = decode_count(rest)?;
            let (ids, rest) = rest.split_at_checked(n.checked_mul(16)?)?;
            let (ids, _) = ids.as_chunks::<16>();
            let accounts: Arc<[AccountId]> = ids.iter().map(|id| AccountId(*id)).collect();
            Some((Event::Accounts(accounts), rest))
        }
        _ => None,
    }
}

fn decode_count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (n, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*n)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_were_written_and_a_cut_datagram_is_noticed() {
        let accounts: Arc<[AccountId]> = (0..3).map(|n| AccountId([n; 16])).collect();
        let key = ObjectKey::new("ingest/00/01").unwrap();
        let events =
            [Event::Object(key), Event::Accounts(accounts), Event::Directory, Event::Items];
        let mut datagram = Datagram::new();
        assert!(events.iter().all(|event| datagram.push(event)));
        assert_eq!(decode(datagram.bytes()), (events.to_vec(), true));
        for cut in 0..datagram.bytes().len() {
            let (some, _) = decode(&datagram.bytes()[..cut]);
            assert_eq!(some[..], events[..some.len()]);
        }
        assert_eq!(decode(&[9, DIRECTORY]), (vec![], false));
        assert_eq!(decode(&[VERSION, ITEMS, 77]), (vec![Event::Items], false));
        assert_eq!(decode(&all_lost()), (vec![], false));
    }

    #[test]
    fn a_full_datagram_says_so_and_one_event_that_never_fits_becomes_a_loss() {
        let mut datagram = Datagram::new();
        let key = Event::Object(ObjectKey::new("a".repeat(200)).unwrap());
        let pushed = (0..1_000).take_while(|_| datagram.push(&key)).count();
        assert_eq!(pushed, (DATAGRAM_BYTES_MAX - 1) / 203);
        assert_eq!(decode(datagram.bytes()).0.len(), pushed);
        let many: Arc<[AccountId]> = (0..5_000).map(|_| AccountId([1; 16])).collect();
        assert!(!datagram.push(&Event::Accounts(many.clone())));
        let mut empty = Datagram::new();
        assert!(empty.push(&Event::Accounts(many)));
        assert_eq!(decode(empty.bytes()), (vec![], false));
    }
}
