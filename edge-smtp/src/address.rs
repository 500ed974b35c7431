//! Which addresses mail is taken for, and which an account may send as.

use mail::srs::{self, NotReversed};
use mail::{Address, Recipient};
use proto::smtp::{Reply, Role};
use store::directory::{Entry, Expanded, Resolution};

use crate::policy::Listed;
use crate::replies;
use crate::session::Caller;

impl Caller {
    /// RCPT TO: is there somebody of ours who gets it, with room for it, and may this client bring
    /// it?
    pub(crate) async fn recipient(&mut self, recipient: &Recipient) -> Result<(), Reply> {
        let address = recipient.path.address();
        let answer = match self.welcome(address) {
            Ok(()) => match self.stands_for(address).await {
                Ok(None) => self.deliverable(address).await,
                Ok(Some(original)) => {
                    let leads = self.leads_back(&original).await;
                    self.returns.insert(address.clone(), original.into());
                    leads
                }
                Err(refused) => Err(refused),
            },
            refused => refused,
        };
        let answer = answer.and_then(|()| self.patient(address));
        let result = match &answer {
            Ok(()) => "accepted",
            Err(reply) if reply.is_permanent() => "refused",
            Err(_) => "later",
        };
        metrics::counter!("postroad_smtp_recipients_total", "result" => result).increment(1);
        answer
    }

    /// Who is listed is refused, but not when writing to postmaster about it (RFC 5321 §4.5.1).
    fn welcome(&self, address: &Address) -> Result<(), Reply> {
        let excepted = matches!(address.local(), "postmaster" | "abuse");
        match self.listed.as_ref().and_then(Listed::refusal) {
            Some(reply) if !excepted => Err(reply),
            _ => Ok(()),
        }
    }

    /// Greylisting: comes after the recipient is known to exist, so that nobody waits in vain.
    fn patient(&self, address: &Address) -> Result<(), Reply> {
        let (Role::Mx, Some(greylist)) = (self.role(), &self.shared.options.greylist) else {
            return Ok(());
        };
        match greylist.wait(self.peer.address, self.sender.as_ref(), address) {
            None => Ok(()),
            Some(wait) => Err(replies::come_again(wait)),
        }
    }

    /// The sender whom an address of ours stands for, made when we forwarded (SRS): a report comes
    /// back by it. Only one that we made, and not too long ago, so that nobody has anything relayed
    /// by it (I9); and only from the null sender, for nobody writes to it.
    async fn stands_for(&self, address: &Address) -> Result<Option<Address>, Reply> {
        let (Role::Mx, Some(key)) = (self.role(), &self.shared.options.returns) else {
            return Ok(None);
        };
        let today = srs::day(self.shared.store.engines().index.now());
        let original = match srs::reverse(address, today, &|bytes| key(bytes)) {
            Err(NotReversed::Ordinary) => return Ok(None),
            other => other,
        };
        let domain = self.shared.store.directory().domain(address.domain()).await;
        if domain.map_err(|error| replies::no_directory(&error))?.is_none() {
            return Ok(None);
        }
        match original {
            Ok(_) if self.sender.is_some() => Err(replies::reports_only()),
            Ok(original) => Ok(Some(original)),
            Err(NotReversed::Expired) => Err(replies::no_longer()),
            Err(NotReversed::Forged | NotReversed::Ordinary) => Err(replies::no_such_user()),
        }
    }

    /// Whether a report can go on to the sender whom it is for.
    async fn leads_back(&self, original: &Address) -> Result<(), Reply> {
        let resolution = self.shared.store.directory().resolve(original).await;
        match resolution.map_err(|error| replies::no_directory(&error))? {
            Resolution::NotOurDomain
                if !self.shared.options.leaving.leads_to(original.domain()) =>
            {
                Err(replies::no_way_back())
            }
            Resolution::NoSuchUser => Err(replies::no_such_user()),
            _ => Ok(()),
        }
    }

    async fn deliverable(&self, address: &Address) -> Result<(), Reply> {
        let directory = self.shared.store.directory();
        let resolution = directory.resolve(address).await;
        match resolution.map_err(|error| replies::no_directory(&error))? {
            Resolution::Account(entry) => self.has_room(&entry).await,
            Resolution::NoSuchUser => Err(replies::no_such_user()),
            // C3, I9: a stranger's mail goes to our own only.
            Resolution::NotOurDomain if self.role() == Role::Mx => Err(replies::no_relay()),
            Resolution::NotOurDomain => {
                let leads = self.shared.options.leaving.leads_to(address.domain());
                if leads { Ok(()) } else { Err(replies::not_outside()) }
            }
            Resolution::Alias(_) | Resolution::Group(_) => {
                let expanded = directory.expand(address).await;
                self.expanded(&expanded.map_err(|error| replies::no_directory(&error))?).await
            }
        }
    }

    /// An alias or a group takes mail if somebody of ours gets it, or somebody it is sent on to. One that leads to one account
    /// is full when that is; where there are several, the others shall not wait for it.
    async fn expanded(&self, expanded: &Expanded) -> Result<(), Reply> {
        let Expanded { accounts, elsewhere, outside, .. } = expanded;
        let mut ours = accounts.iter();
        let leaving = &self.shared.options.leaving;
        // Somebody else's server may get it: an admin said so, no stranger (I9).
        let leads = outside.iter().any(|target| leaving.leads_to(target.domain()));
        match (ours.next(), ours.next(), elsewhere.is_empty() && !leads) {
            (None, None, true) => Err(replies::no_such_user()),
            (Some(only), None, true) => {
                let found = self.shared.store.directory().account(only.id).await;
                match found.map_err(|error| replies::no_directory(&error))? {
                    Some(entry) => self.has_room(&entry).await,
                    None => Err(replies::no_such_user()),
                }
            }
            _ => Ok(()),
        }
    }

    /// 452 for a full account, so that the sender keeps the message. Not exact: what is accepted is
    /// delivered though quota filled meanwhile [R]. One strong read, where there is a quota.
    async fn has_room(&self, entry: &Entry) -> Result<(), Reply> {
        let bytes_max = entry.row.quota_bytes.or(self.shared.options.quota_bytes);
        let messages_max = entry.row.quota_messages;
        let here = entry.row.home == self.shared.store.options().region;
        if !here || (bytes_max.is_none() && messages_max.is_none()) {
            return Ok(());
        }
        let log = self.shared.store.account(entry.account()).await;
        let log = log.map_err(|error| replies::no_account(&error))?;
        log.fresh().await.map_err(|error| replies::no_account(&error))?;
        let totals = log.view(|state| state.totals());
        let bytes = totals.bytes.saturating_add(self.declared.max(1));
        let full = bytes_max.is_some_and(|max| bytes > max)
            || messages_max.is_some_and(|max| totals.messages >= max);
        if full { Err(replies::mailbox_full()) } else { Ok(()) }
    }

    /// MAIL FROM of a submission.
    pub(crate) async fn own_address(&self, account: &Entry, sender: &Address) -> Result<(), Reply> {
        let allowed = self.shared.store.directory().may_send_as(account, sender).await;
        match allowed.map_err(|error| replies::no_directory(&error))? {
            true => Ok(()),
            false => Err(replies::not_your_sender()),
        }
    }
}
