//! QUOTA (RFC 9208): one quota root for the account. Totals are in every entry of the log, so
//! what is decided by them is exact [R].

use net::Out;
use proto::imap::Answer;
use proto::imap::command::MailboxName;
use proto::imap::response::{Resource, Response};
use store::directory::Entry;
use store::state::State;

use crate::announce::Client;
use crate::names::canonical;
use crate::replies::{Refusal, Stop};
use crate::service::Options;
use crate::session::Session;

/// Name of the quota root.
const ROOT: &str = "account";

/// What an account may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) bytes: Option<u64>,
    pub(crate) messages: Option<u64>,
}

impl Quota {
    /// That of an account, as its row or else the configuration says.
    pub(crate) fn of(entry: &Entry, options: &Options) -> Self {
        let row = &entry.row;
        Self { bytes: row.quota_bytes.or(options.quota_bytes), messages: row.quota_messages }
    }

    /// Refuses what goes over it: `messages` more with `bytes`. Decided on the state that the
    /// entry is for, so that of many at once only those get in that fit (G3).
    pub(crate) fn room(self, state: &State, messages: u64, bytes: u64) -> Result<(), Refusal> {
        let totals = state.totals();
        let over = |used: u64, more: u64, limit: Option<u64>| {
            limit.is_some_and(|limit| used.saturating_add(more) > limit)
        };
        if over(totals.bytes, bytes, self.bytes) || over(totals.messages, messages, self.messages) {
            return Err(Refusal::OverQuota);
        }
        Ok(())
    }
}

impl Session {
    /// The account's quota as the directory has it now (at most a second old).
    pub(crate) async fn quota(&self) -> Result<Quota, Stop> {
        let login = self.login.as_ref().ok_or(Stop::Gone)?;
        match self.shared.store.directory().account(login.log.account().id).await {
            Ok(Some(entry)) => Ok(Quota::of(&entry, &self.shared.options)),
            // A directory that does not answer stops nobody: what it said last holds.
            Ok(None) | Err(_) => Ok(login.quota),
        }
    }

    async fn tell_quota(&self, client: Client, bytes: &mut Vec<u8>) -> Result<(), Stop> {
        let log = self.log()?;
        log.fresh().await?;
        let totals = log.view(State::totals);
        let quota = self.quota().await?;
        let mut resources = Vec::new();
        if let Some(limit) = quota.bytes {
            // RFC 9208 §5.1: in units of 1,024 octets.
            let used = totals.bytes.div_ceil(1024);
            resources.push(Resource::Storage { used, limit: limit.div_ceil(1024) });
        }
        if let Some(limit) = quota.messages {
            resources.push(Resource::Message { used: totals.messages, limit });
        }
        Response::Quota { root: ROOT, resources: &resources }.encode(client.style, bytes);
        Ok(())
    }

    pub(crate) async fn get_quota(
        &mut self,
        root: &str,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        if root != ROOT {
            return Err(Refusal::QuotaRoot.into());
        }
        let mut bytes = Vec::new();
        self.tell_quota(client, &mut bytes).await?;
        out.write(&bytes).await?;
        Ok(Answer::Ok(None, "GETQUOTA done".into()))
    }

    pub(crate) async fn get_quota_root(
        &mut self,
        mailbox: &MailboxName,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let name = canonical(mailbox)?;
        self.log()?.view(|state| state.by_name(&name).map(|_| ())).ok_or(Refusal::NoMailbox)?;
        let mut bytes = Vec::new();
        let root = Response::QuotaRoot { mailbox: &name, roots: &[ROOT] };
        root.encode(client.style, &mut bytes);
        self.tell_quota(client, &mut bytes).await?;
        out.write(&bytes).await?;
        Ok(Answer::Ok(None, "GETQUOTAROOT done".into()))
    }
}
