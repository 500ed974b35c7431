//! Where a message went, and why: every step with its time, from rows and objects. Events and log
//! files are not needed for it, so it works as long as the store does.
//!
//! What is kept how long: an ingest segment until every account has compacted its part of it and
//! every item is finished; finished items for 15 days; an account's history for the restore window.
//! What is gone is said, never passed over.

mod account;
mod find;
mod follow;
#[cfg(test)]
mod tests;
mod text;

use functions::bounce::report_id;
use mail::RecordId;
use serde::Serialize;
use store::names;
use store::rows::{ClaimState, Item, ItemKey, ItemKind};

use super::{Admin, AdminError, accounts, queue};
use find::Found;

/// Items of one record that are told at most.
const ITEMS_MAX: usize = 1_000;
/// Reports of one item that are told at most.
const REPORTS_MAX: u32 = 16;
/// Accounts whose past is read for one record at most, when its plan is gone; of a plan, too.
const ACCOUNTS_MAX: usize = 200;

/// What is known of one message, or of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The record, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Its Subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its Message-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What happened; one record: the oldest first, an account: the newest first.
    pub steps: Vec<TraceStep>,
    /// What cannot be told any more, and why: one sentence each.
    pub unknown: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TraceStep {
    /// When, in milliseconds since 1970, store time; `None`: this is how it stands now.
    pub at_ms: Option<u64>,
    /// What: `accepted`, `planned`, `queued`, `tried`, `delivered`, `appended`, `flags`, `copied`,
    /// `moved`, `expunged`, `mailbox`, `stored`, `released`, and how an item stands.
    pub what: &'static str,
    /// The record, where it is not the one that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// In which account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// In which mailbox, after the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// Its UID there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number of the change in the account's log, IMAP's modseq.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The item, for `postroad queue show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Details: one line. What other servers said is here as they said it.
    pub text: String,
}

impl TraceStep {
    fn new(at: Option<mail::Timestamp>, what: &'static str, text: impl Into<String>) -> Self {
        Self { at_ms: at.map(mail::Timestamp::millis), what, text: text.into(), ..Self::default() }
    }
}

impl Admin {
    /// Everything that is known of a record; `account` is looked into besides those that its plan
    /// names.
    /// # Errors
    /// [`AdminError::NotFound`]: no trace of it is left, or as [`AdminError`] says.
    pub async fn trace_record(
        &self,
        record: &str,
        account: Option<&str>,
    ) -> Result<Trace, AdminError> {
        let id: RecordId = record.parse().map_err(|_| {
            AdminError::invalid(
                format!("not a record id: {record}"),
                "it is the 48 hex digits after `250 2.0.0 stored as`",
            )
        })?;
        self.look().await?;
        let mut trace = Trace { record: Some(id.to_string()), ..Trace::default() };
        let mut accounts = Vec::new();
        if let Some(name) = account {
            accounts.push(accounts::find(self.directory(), name).await?.1.account());
        }
        let found = self.find_segment(id).await?;
        match &found {
            Some(found) => {
                trace.steps.push(self.accepted(found, &mut trace.unknown).await?);
                (trace.subject, trace.message_id) = text::named(&found.record().summary);
                accounts.extend(self.planned(found, &mut trace).await?);
            }
            None => trace.unknown.push(self.why_no_segment(id).await?),
        }
        let items = self.store.items().of_record(id, ITEMS_MAX).await?;
        for (key, item, _) in &items {
            if key.kind == ItemKind::Local {
                accounts.extend(local_account(&key.destination));
            }
            trace.steps.extend(item_steps(key, item));
        }
        if found.is_none() && account.is_none() {
            accounts.extend(self.searched(&mut trace.unknown).await?);
        }
        accounts.sort_unstable();
        accounts.dedup();
        if accounts.len() > ACCOUNTS_MAX {
            trace.unknown.push(format!(
                "{} more accounts were not looked into: name one with --account",
                accounts.len() - ACCOUNTS_MAX
            ));
            accounts.truncate(ACCOUNTS_MAX);
        }
        for account in accounts {
            self.follow(account, id, &mut trace).await;
        }
        for (key, item, _) in &items {
            self.reports(key, item, &mut trace).await?;
        }
        if trace.steps.is_empty() {
            return Err(AdminError::NotFound { what: "record", name: id.to_string() });
        }
        // How things stand now comes last; what happened in one moment stays as it was found.
        trace.steps.sort_by_key(|step| match step.what {
            "accepted" | "made" => (0, 0),
            "planned" => (1, 0),
            _ => step.at_ms.map_or((3, 0), |at| (2, at)),
        });
        Ok(trace)
    }

    /// What the sender was told about an item (RFC 3464), and where those reports went.
    async fn reports(
        &self,
        key: &ItemKey,
        item: &Item,
        trace: &mut Trace,
    ) -> Result<(), AdminError> {
        for number in 0..item.reports.min(REPORTS_MAX) {
            let id = report_id(key, number);
            let before = trace.steps.len();
            match self.store.segment_index(&names::made(id)).await? {
                Some(index) => {
                    for record in &index.records {
                        let to = record.envelope.iter().flat_map(|one| &one.recipients);
                        let to: Vec<_> = to.map(|to| format!("<{}>", to.path.text())).collect();
                        let text = format!("report {id} to {}", to.join(" "));
                        trace.steps.push(TraceStep::new(Some(record.received), "reported", text));
                        for to in record.envelope.iter().flat_map(|one| &one.recipients) {
                            let to = self.directory().expand(to.path.address()).await?;
                            for account in to.accounts {
                                self.follow(account, id, trace).await;
                            }
                        }
                    }
                }
                None => trace.unknown.push(format!("the report {id}: it is filed, or gone")),
            }
            for (key, item, _) in self.store.items().of_record(id, ITEMS_MAX).await? {
                trace.steps.extend(item_steps(&key, &item));
            }
            for step in trace.steps.iter_mut().skip(before) {
                step.record = Some(id.to_string());
            }
        }
        Ok(())
    }

    /// The claim's plan: what the segment becomes.
    async fn planned(
        &self,
        found: &Found,
        trace: &mut Trace,
    ) -> Result<Vec<mail::Account>, AdminError> {
        let Some((writer, number)) = found.ingest else { return Ok(Vec::new()) };
        let Some((claim, _)) = self.store.claims().get(writer, number).await? else {
            trace.steps.push(TraceStep::new(None, "waits", "nobody has begun to deliver it"));
            return Ok(Vec::new());
        };
        let at = u32::try_from(found.at).unwrap_or(u32::MAX);
        let ours = claim.plan.accounts.iter();
        let ours = ours.filter(|one| one.mail.iter().any(|(record, _)| *record == at));
        let mut accounts: Vec<_> = ours.map(|one| one.account).collect();
        let record = found.record().location.id;
        let items: Vec<_> = claim.plan.items.iter().filter(|one| one.key.id == record).collect();
        let state = match claim.state {
            ClaimState::Open => "begun",
            ClaimState::Done => "done",
        };
        let mut text = format!("{state}: {} accounts", accounts.len());
        for item in &items {
            text.push_str(&format!(", item {}", queue::name(&item.key)));
            let pages = self.store.claims().pages(writer, number, &item.key).await?;
            for page in pages.into_iter().flatten() {
                accounts.extend(page.accounts.iter().map(|one| one.account));
            }
        }
        trace.steps.push(TraceStep::new(None, "planned", text));
        Ok(accounts)
    }
}

/// The account that a local item is for: id and epoch.
fn local_account(destination: &str) -> Option<mail::Account> {
    let (id, epoch) = destination.split_once('.')?;
    Some(mail::Account { id: id.parse().ok()?, epoch: mail::Epoch(epoch.parse().ok()?) })
}

/// What an item tells: when it was made, each try in the other side's words, how it stands.
fn item_steps(key: &ItemKey, item: &Item) -> Vec<TraceStep> {
    let id = queue::name(key);
    let to: Vec<_> = item.recipients.iter().map(|one| one.path.as_str()).collect();
    let text = format!("for {}: {}", key.destination, to.join(" "));
    let mut steps = vec![TraceStep::new(Some(item.created), "queued", text)];
    for tried in &item.history {
        let text = format!("{}: {}", tried.via, tried.words);
        steps.push(TraceStep::new(Some(tried.at), "tried", text));
    }
    let mut text = String::new();
    for one in &item.recipients {
        let state = queue::recipient_state(one.state);
        text.push_str(&format!("{}{} {state}", if text.is_empty() { "" } else { ", " }, one.path));
    }
    if !item.state.is_finished() {
        text.push_str(&format!("; {} tries, the next at {}", item.tries, text::moment(item.due)));
    }
    steps.push(TraceStep::new(None, queue::state_name(item.state), text));
    steps.iter_mut().for_each(|step| step.item = Some(id.clone()));
    steps
}
