//! The tree of mailboxes: names, their limits, and what create, rename and delete do. Rules of
//! entry version 1; they never change for it [V].

use mail::{Epoch, Seq};

use super::State;
use super::check::Unreplayable;
use super::mailbox::MailboxData;
use super::messages::Messages;
use crate::change::{Effects, MailboxId, SpecialUse};

/// Most mailboxes of an account, and most subscriptions.
pub const MAILBOXES_MAX: usize = 10_000;

/// Longest name in all, in bytes.
pub const NAME_BYTES_MAX: usize = 1_000;

/// Longest level of a name, in bytes.
pub const NAME_LEVEL_BYTES_MAX: usize = 255;

/// Most keywords a mailbox may know.
pub const KEYWORDS_MAX: usize = mail::flags::KEYWORDS_MAX;

const INBOX: &str = "INBOX";

/// Bits of a UIDVALIDITY that count within an epoch: a million mailboxes made.
const VALIDITY_BITS: u32 = 20;

/// The first UIDVALIDITY of an epoch: each epoch of an account has a range for itself (I3, z).
pub(super) fn first_validity(epoch: Epoch) -> u32 {
    ((epoch.0 % (1 << (32 - VALIDITY_BITS))) << VALIDITY_BITS) + 1
}

/// One past the last UIDVALIDITY of the range that `validity` is in; 0 if that is 2^32.
fn validity_end(epoch: Epoch) -> u64 {
    u64::from(first_validity(epoch) - 1) + (1 << VALIDITY_BITS)
}

/// Makes the mailboxes that exist from the start, with their uses (RFC 6154 §2).
pub(super) fn create_first(state: &mut State) {
    let uses = [
        (INBOX, None),
        ("Sent", Some(SpecialUse::Sent)),
        ("Drafts", Some(SpecialUse::Drafts)),
        ("Trash", Some(SpecialUse::Trash)),
        ("Junk", Some(SpecialUse::Junk)),
        ("Archive", Some(SpecialUse::Archive)),
    ];
    for (name, special_use) in uses {
        let id = add(state, name);
        if let Some(mailbox) = state.mailboxes.get_mut(&id) {
            mailbox.special_use = special_use;
        }
        state.subscriptions.insert(name.to_owned());
    }
    assert!(state.names.get(INBOX) == Some(&MailboxId::INBOX), "INBOX is made first");
}

/// Adds a mailbox whose name was checked.
fn add(state: &mut State, name: &str) -> MailboxId {
    let id = MailboxId(state.next_mailbox);
    let data = MailboxData::new(id, name.to_owned(), state.next_validity, state.seq);
    state.next_mailbox += 1;
    state.next_validity = state.next_validity.wrapping_add(1);
    state.mailboxes.insert(id, data);
    state.names.insert(name.to_owned(), id);
    id
}

/// Whether a canonical name may be that of a mailbox. Which letters are allowed is the edge's
/// matter (`mail::mailbox`); here is what keeps the tree bounded and INBOX one.
fn check_name(name: &str) -> Result<(), Unreplayable> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Unreplayable::Limit("bytes of a mailbox name"));
    }
    if name.split('/').any(|level| level.len() > NAME_LEVEL_BYTES_MAX) {
        return Err(Unreplayable::Limit("bytes of a level of a mailbox name"));
    }
    let first = name.split('/').next().unwrap_or_default();
    let wrong_inbox = first.eq_ignore_ascii_case(INBOX) && first != INBOX;
    if wrong_inbox || name.split('/').any(str::is_empty) {
        return Err(Unreplayable::Name);
    }
    Ok(())
}

/// The parents of a name that do not exist, outermost first.
fn missing_parents(state: &State, name: &str) -> Vec<String> {
    name.match_indices('/')
        .filter_map(|(at, _)| name.get(..at))
        .filter(|parent| !state.names.contains_key(*parent))
        .map(str::to_owned)
        .collect()
}

/// Whether `more` mailboxes may be made.
fn check_room(state: &State, more: usize) -> Result<(), Unreplayable> {
    if state.mailboxes.len() + more > MAILBOXES_MAX {
        return Err(Unreplayable::Limit("mailboxes"));
    }
    let next = u64::from(state.next_validity.wrapping_sub(1)) + 1;
    if next + more as u64 > validity_end(state.account.epoch) {
        return Err(Unreplayable::Limit("mailboxes ever made"));
    }
    Ok(())
}

pub(super) fn check_create(
    state: &State,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<(), Unreplayable> {
    check_name(name)?;
    if state.names.contains_key(name) {
        return Err(Unreplayable::NameTaken);
    }
    if special_use.is_some_and(|special_use| state.by_use(special_use).is_some()) {
        return Err(Unreplayable::UseTaken);
    }
    check_room(state, missing_parents(state, name).len() + 1)
}

pub(super) fn create(
    state: &mut State,
    name: &str,
    special_use: Option<SpecialUse>,
    effects: &mut Effects,
) {
    for parent in missing_parents(state, name) {
        effects.created.push(add(state, &parent));
    }
    let id = add(state, name);
    if let Some(mailbox) = state.mailboxes.get_mut(&id) {
        mailbox.special_use = special_use;
    }
    effects.created.push(id);
}

/// The mailboxes below a name: (name, id), sorted.
fn below(state: &State, name: &str) -> Vec<(String, MailboxId)> {
    let prefix = format!("{name}/");
    state
        .names
        .range(prefix.clone()..)
        .take_while(|(name, _)| name.starts_with(&prefix))
        .map(|(name, id)| (name.clone(), *id))
        .collect()
}

pub(super) fn check_rename(state: &State, from: &str, to: &str) -> Result<(), Unreplayable> {
    check_name(to)?;
    if !state.names.contains_key(from) {
        return Err(Unreplayable::NoName);
    }
    if state.names.contains_key(to) {
        return Err(Unreplayable::NameTaken);
    }
    let parents = missing_parents(state, to);
    if from == INBOX {
        return check_room(state, parents.len() + 1);
    }
    if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
        return Err(Unreplayable::Name);
    }
    for (name, _) in below(state, from) {
        let new = format!("{to}{}", name.get(from.len()..).unwrap_or_default());
        check_name(&new)?;
        if state.names.contains_key(&new) {
            return Err(Unreplayable::NameTaken);
        }
    }
    check_room(state, parents.len())
}

pub(super) fn rename(state: &mut State, from: &str, to: &str, effects: &mut Effects) {
    for parent in missing_parents(state, to) {
        effects.created.push(add(state, &parent));
    }
    if from == INBOX {
        return rename_inbox(state, to, effects);
    }
    let mut moved = below(state, from);
    moved.extend(state.names.get(from).map(|id| (from.to_owned(), *id)));
    moved.sort_by_key(|(_, id)| *id);
    for (old, id) in moved {
        let new = format!("{to}{}", old.get(from.len()..).unwrap_or_default());
        state.names.remove(&old);
        if let Some(mailbox) = state.mailboxes.get_mut(&id) {
            mailbox.name.clone_from(&new);
        }
        state.names.insert(new, id);
        effects.renamed.push(id);
    }
}

/// RFC 9051 §6.3.6: renaming INBOX moves all messages to a new mailbox and leaves INBOX empty; its
/// children stay where they are. In the new mailbox they keep their UIDs under its own
/// UIDVALIDITY.
fn rename_inbox(state: &mut State, to: &str, effects: &mut Effects) {
    let id = add(state, to);
    let seq = state.seq;
    let Some(inbox) = state.mailboxes.get_mut(&MailboxId::INBOX) else { return };
    let empty = MailboxData {
        created: inbox.created,
        uid_next: inbox.uid_next,
        highest_modseq: if inbox.messages.len() == 0 { inbox.highest_modseq } else { seq },
        keywords: inbox.keywords.clone(),
        ..MailboxData::new(MailboxId::INBOX, INBOX.to_owned(), inbox.uid_validity, inbox.created)
    };
    let full = std::mem::replace(inbox, empty);
    let uids = uids_of(&full.messages);
    if let Some(mailbox) = state.mailboxes.get_mut(&id) {
        let (name, uid_validity) = (mailbox.name.clone(), mailbox.uid_validity);
        *mailbox = MailboxData {
            id,
            name,
            uid_validity,
            created: seq,
            highest_modseq: seq,
            special_use: None,
            ..full
        };
    }
    state.vanished.push(seq, MailboxId::INBOX, uids.clone());
    effects.created.push(id);
    effects.expunged = Some((MailboxId::INBOX, uids));
}

pub(super) fn uids_of(messages: &Messages) -> mail::uidset::UidSet {
    let mut uids = mail::uidset::UidSet::new();
    messages.iter().for_each(|row| uids.insert(row.uid));
    uids
}

pub(super) fn check_delete(state: &State, name: &str) -> Result<MailboxId, Unreplayable> {
    let id = *state.names.get(name).ok_or(Unreplayable::NoName)?;
    // RFC 9051 §6.3.5: it is an error to delete INBOX.
    if id == MailboxId::INBOX { Err(Unreplayable::Name) } else { Ok(id) }
}

pub(super) fn check_subscribe(state: &State, name: &str, on: bool) -> Result<(), Unreplayable> {
    check_name(name)?;
    if on && !state.subscriptions.contains(name) && state.subscriptions.len() >= MAILBOXES_MAX {
        return Err(Unreplayable::Limit("subscriptions"));
    }
    Ok(())
}

/// Highest modseq of a mailbox after an entry that changed something in it.
pub(super) fn touch(state: &mut State, id: MailboxId, seq: Seq) {
    if let Some(mailbox) = state.mailboxes.get_mut(&id) {
        mailbox.highest_modseq = seq;
    }
}
