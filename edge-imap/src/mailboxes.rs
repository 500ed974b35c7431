//! The tree of mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, STATUS, NAMESPACE
//! (RFC 9051 §6.3). Each change is decided on the newest state, again after every conflict.

use mail::flags::SystemFlags;
use net::Out;
use proto::imap::Answer;
use proto::imap::command::{List, ListSelect, MailboxName, SpecialUse, StatusItem};
use proto::imap::response::{Attribute, Listed, Response};
use store::change::{self, Change, MailboxChange};
use store::state::{MAILBOXES_MAX, Mailbox, Message, State};

use crate::announce::Client;
use crate::list::{Known, Shown, Tree};
use crate::names::{Patterns, canonical, creatable};
use crate::replies::{Refusal, Stop};
use crate::session::Session;

/// Most names that may be subscribed to.
const SUBSCRIPTIONS_MAX: usize = MAILBOXES_MAX;

impl Session {
    async fn change_tree(
        &self,
        decide: impl FnMut(&State) -> Result<Change, Refusal>,
        text: &'static str,
    ) -> Result<Answer, Stop> {
        self.log()?.change(decide).await?;
        Ok(Answer::Ok(None, text.into()))
    }

    pub(crate) async fn create(
        &mut self,
        mailbox: &MailboxName,
        special_use: &[SpecialUse],
    ) -> Result<Answer, Stop> {
        let name = creatable(mailbox)?;
        let special_use = match special_use {
            [] => None,
            [one] => Some(stored_use(*one).ok_or(Refusal::SpecialUse)?),
            // RFC 6154 §3: a mailbox here is for one thing.
            _ => return Err(Refusal::SpecialUse.into()),
        };
        let decide = |state: &State| {
            if state.by_name(&name).is_some() {
                return Err(Refusal::AlreadyExists);
            }
            if special_use.is_some_and(|special_use| state.by_use(special_use).is_some()) {
                return Err(Refusal::SpecialUse);
            }
            let missing = parents(&name).filter(|parent| state.by_name(parent).is_none()).count();
            room_for(state, missing + 1)?;
            Ok(Change::Mailbox(MailboxChange::Create { name: name.clone(), special_use }))
        };
        self.change_tree(decide, "CREATE done").await
    }

    pub(crate) async fn delete(&mut self, mailbox: &MailboxName) -> Result<Answer, Stop> {
        let name = canonical(mailbox)?;
        let decide = |state: &State| {
            // RFC 9051 §6.3.5.
            if name == "INBOX" {
                return Err(Refusal::Inbox);
            }
            if state.by_name(&name).is_none() {
                return Err(Refusal::NoMailbox);
            }
            Ok(Change::Mailbox(MailboxChange::Delete { name: name.clone() }))
        };
        self.change_tree(decide, "DELETE done").await
    }

    pub(crate) async fn rename(
        &mut self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<Answer, Stop> {
        let (from, to) = (canonical(from)?, creatable(to)?);
        let decide = |state: &State| {
            let exists = |name: &str| state.by_name(name).is_some() || state.has_children(name);
            if state.by_name(&from).is_none() {
                return Err(Refusal::NoMailbox);
            }
            if exists(&to) {
                return Err(Refusal::AlreadyExists);
            }
            if to.strip_prefix(&*from).is_some_and(|rest| rest.starts_with('/')) && from != "INBOX"
            {
                return Err(Refusal::Name("a mailbox cannot be moved into itself"));
            }
            let grown = to.len().saturating_sub(from.len());
            let below = format!("{from}/");
            let mut children = state.by_names().filter(|child| child.name().starts_with(&below));
            if from != "INBOX" && children.any(|c| c.name().len() + grown > MailboxName::BYTES_MAX)
            {
                return Err(Refusal::Limit("a mailbox name has at most 1,000 bytes"));
            }
            let missing = parents(&to).filter(|parent| state.by_name(parent).is_none()).count();
            room_for(state, missing + usize::from(from == "INBOX"))?;
            let (from, to) = (from.clone(), to.clone());
            Ok(Change::Mailbox(MailboxChange::Rename { from, to }))
        };
        self.change_tree(decide, "RENAME done").await
    }

    pub(crate) async fn subscribe(
        &mut self,
        mailbox: &MailboxName,
        on: bool,
    ) -> Result<Answer, Stop> {
        let name = canonical(mailbox)?;
        let decide = |state: &State| {
            // RFC 9051 §6.3.7 lets a server check that the mailbox exists; it may go later.
            if on && state.by_name(&name).is_none() && !state.has_children(&name) {
                return Err(Refusal::NoMailbox);
            }
            if on && state.subscriptions().len() >= SUBSCRIPTIONS_MAX {
                return Err(Refusal::Limit("at most 10,000 names can be subscribed to"));
            }
            if state.is_subscribed(&name) == on {
                return Err(Refusal::Nothing);
            }
            Ok(Change::Mailbox(MailboxChange::Subscribe { name: name.clone(), on }))
        };
        self.change_tree(decide, "subscription changed").await
    }

    pub(crate) async fn list(
        &mut self,
        list: &List,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let done = Answer::Ok(None, "LIST done".into());
        let mut bytes = Vec::new();
        if list.patterns.iter().all(String::is_empty) && !list.extended {
            // RFC 9051 §6.3.9: the separator, and the root of the names.
            let attributes = &[Attribute::NoSelect];
            let listed = Listed { attributes, name: "", child_subscribed: false };
            Response::List(listed).encode(client.style, &mut bytes);
            out.write(&bytes).await?;
            return Ok(done);
        }
        let log = self.log()?;
        log.fresh().await?;
        log.begin().await?;
        let patterns = Patterns::new(&list.reference, &list.patterns)?;
        let limit = self.shared.options.core.append_limit;
        log.view(|state| {
            let tree = Tree::new(known(state));
            for shown in tree.list(&|name| patterns.match_name(name), list.select) {
                put(&shown, list, client, &mut bytes);
                let mailbox = state.by_name(shown.name);
                if let (Some(mailbox), false) = (mailbox, list.told.status.is_empty()) {
                    // RFC 5819 §2: STATUS follows the mailbox's LIST.
                    status_of(mailbox, &list.told.status, limit, client, &mut bytes);
                }
            }
        });
        out.write(&bytes).await?;
        Ok(done)
    }

    pub(crate) async fn lsub(
        &mut self,
        reference: &str,
        pattern: &str,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let patterns = Patterns::new(reference, &[pattern.to_owned()])?;
        let mut bytes = Vec::new();
        log.view(|state| {
            let tree = Tree::new(known(state));
            for shown in tree.lsub(&|name| patterns.match_name(name)) {
                // RFC 3501 §6.3.9: what only has something subscribed below is \Noselect.
                let gone = shown.subscribed_below && !shown.subscribed || !shown.exists;
                let attributes: &[_] = if gone { &[Attribute::NoSelect] } else { &[] };
                let listed = Listed { attributes, name: shown.name, child_subscribed: false };
                Response::Lsub(listed).encode(client.style, &mut bytes);
            }
        });
        out.write(&bytes).await?;
        Ok(Answer::Ok(None, "LSUB done".into()))
    }

    pub(crate) async fn status(
        &mut self,
        mailbox: &MailboxName,
        items: &[StatusItem],
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let name = canonical(mailbox)?;
        let log = self.log()?;
        // [X]: a client decides by it whether to come in.
        log.fresh().await?;
        log.begin().await?;
        let limit = self.shared.options.core.append_limit;
        let mut bytes = Vec::new();
        let found = log.view(|state| {
            let mailbox = state.by_name(&name)?;
            status_of(mailbox, items, limit, client, &mut bytes);
            Some(())
        });
        found.ok_or(Refusal::NoMailbox)?;
        out.write(&bytes).await?;
        Ok(Answer::Ok(None, "STATUS done".into()))
    }

    pub(crate) async fn namespace(
        &mut self,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let mut bytes = Vec::new();
        Response::Namespace.encode(client.style, &mut bytes);
        out.write(&bytes).await?;
        Ok(Answer::Ok(None, "NAMESPACE done".into()))
    }
}

/// The names above `name`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').filter_map(|(at, _)| name.get(..at))
}

fn room_for(state: &State, more: usize) -> Result<(), Refusal> {
    if state.mailboxes().len() + more > MAILBOXES_MAX {
        return Err(Refusal::Limit("an account has at most 10,000 mailboxes"));
    }
    Ok(())
}

/// The store's special use; `None` for those that no mailbox can have (RFC 6154 §2).
const fn stored_use(special_use: SpecialUse) -> Option<change::SpecialUse> {
    match special_use {
        SpecialUse::Archive => Some(change::SpecialUse::Archive),
        SpecialUse::Drafts => Some(change::SpecialUse::Drafts),
        SpecialUse::Junk => Some(change::SpecialUse::Junk),
        SpecialUse::Sent => Some(change::SpecialUse::Sent),
        SpecialUse::Trash => Some(change::SpecialUse::Trash),
        SpecialUse::All | SpecialUse::Flagged => None,
    }
}

const fn shown_use(special_use: change::SpecialUse) -> SpecialUse {
    match special_use {
        change::SpecialUse::Archive => SpecialUse::Archive,
        change::SpecialUse::Drafts => SpecialUse::Drafts,
        change::SpecialUse::Junk => SpecialUse::Junk,
        change::SpecialUse::Sent => SpecialUse::Sent,
        change::SpecialUse::Trash => SpecialUse::Trash,
    }
}

/// Mailboxes and subscriptions, as LIST wants to know them.
fn known(state: &State) -> impl Iterator<Item = Known<'_>> {
    let mailboxes = state.by_names().map(|mailbox| Known {
        name: mailbox.name(),
        special_use: mailbox.special_use().map(shown_use),
        subscribed: mailbox.subscribed(),
        exists: true,
    });
    let gone = state.subscriptions().filter(|name| state.by_name(name).is_none());
    let gone = gone.map(|name| Known { name, special_use: None, subscribed: true, exists: false });
    mailboxes.chain(gone)
}

/// One line of LIST.
fn put(shown: &Shown<'_>, list: &List, client: Client, bytes: &mut Vec<u8>) {
    let mut attributes = Vec::new();
    if !shown.exists {
        // RFC 9051 §7.3.1: \NonExistent implies \Noselect; old clients know only the second.
        attributes.push(Attribute::NonExistent);
        if !client.style.rev2 {
            attributes.push(Attribute::NoSelect);
        }
    }
    // RFC 3348 §3: cheap here, so told unasked.
    attributes.push(if shown.has_children {
        Attribute::HasChildren
    } else {
        Attribute::HasNoChildren
    });
    let ListSelect { subscribed, .. } = list.select;
    if shown.subscribed && (subscribed || list.told.subscribed) {
        attributes.push(Attribute::Subscribed);
    }
    attributes.extend(shown.special_use.map(Attribute::Use));
    let listed = Listed {
        attributes: &attributes,
        name: shown.name,
        child_subscribed: shown.subscribed_below && list.extended,
    };
    Response::List(listed).encode(client.style, bytes);
}

/// Bytes of what is \Deleted.
fn deleted_bytes(mailbox: Mailbox<'_>) -> u64 {
    if mailbox.deleted() == 0 {
        return 0;
    }
    let deleted = |message: &Message<'_>| message.flags.system.contains(SystemFlags::DELETED);
    mailbox.messages().filter(deleted).map(|message| message.size).sum()
}

fn status_of(
    mailbox: Mailbox<'_>,
    items: &[StatusItem],
    append_limit: u64,
    client: Client,
    bytes: &mut Vec<u8>,
) {
    let value = |item: &StatusItem| match item {
        StatusItem::Messages => mailbox.exists() as u64,
        StatusItem::Recent => 0,
        StatusItem::UidNext => u64::from(mailbox.uid_next().get()),
        StatusItem::UidValidity => u64::from(mailbox.uid_validity().get()),
        StatusItem::Unseen => mailbox.unseen(),
        StatusItem::Deleted => mailbox.deleted(),
        StatusItem::DeletedStorage => deleted_bytes(mailbox).div_ceil(1024),
        StatusItem::Size => mailbox.bytes(),
        StatusItem::HighestModSeq => mailbox.highest_modseq().0,
        StatusItem::AppendLimit => append_limit,
    };
    let items: Vec<_> = items.iter().map(|item| (*item, value(item))).collect();
    Response::Status { mailbox: mailbox.name(), items: &items }.encode(client.style, bytes);
}
