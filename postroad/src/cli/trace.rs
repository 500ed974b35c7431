//! `postroad trace`.

use std::time::Duration;

use clap::Args;

use super::print;
use super::verbs::{moment, time};
use crate::admin::{Admin, Trace, TraceStep};
use crate::failure::Failure;

/// Where a message went.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The record: what the 250 named, 48 hex digits
    #[arg(required_unless_present = "account", conflicts_with_all = ["message_id", "since", "limit"])]
    record: Option<String>,
    /// What happened in this account, the newest first; with a record: look here for it too
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// The messages with this Message-ID that the account got or sent
    #[arg(long, value_name = "ID", requires = "account")]
    message_id: Option<String>,
    /// Nothing older than this, like 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = time, requires = "account",
        conflicts_with = "message_id")]
    since: Option<Duration>,
    /// At most so many steps
    #[arg(long, default_value_t = 100, requires = "account", conflicts_with = "message_id")]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl TraceArgs {
    pub(super) async fn run(self, admin: &Admin) -> Result<(), Failure> {
        let account = self.account.as_deref();
        let traces = match (self.record.as_deref(), account, self.message_id.as_deref()) {
            (Some(record), account, _) => vec![admin.trace_record(record, account).await?],
            (None, Some(account), Some(id)) => admin.trace_message(account, id).await?,
            (None, account, _) => {
                let account = account.unwrap_or_default();
                vec![admin.trace_account(account, self.since, self.limit).await?]
            }
        };
        if self.json {
            return print::json(&traces);
        }
        traces.iter().try_for_each(show)
    }
}

fn show(trace: &Trace) -> Result<(), Failure> {
    let head =
        [("record", &trace.record), ("subject", &trace.subject), ("message-id", &trace.message_id)];
    let head: Vec<_> =
        head.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    if !head.is_empty() {
        print::fields(&head)?;
    }
    let row = |step: &TraceStep| {
        let at = step.at_ms.map_or_else(|| "now".to_owned(), moment);
        let place = [
            step.account.clone(),
            step.mailbox.clone(),
            step.uid.filter(|uid| *uid > 0).map(|uid| format!("UID {uid}")),
        ];
        let place: Vec<_> = place.into_iter().flatten().collect();
        let mut text = step.text.clone();
        if let Some(record) = &step.record {
            text = format!("{record} {text}");
        }
        if let Some(item) = step.item.as_ref().filter(|_| step.at_ms.is_none()) {
            text = format!("{text} ({item})");
        }
        let at = if step.what == "planned" { String::new() } else { at };
        [at, step.what.to_owned(), place.join(" "), text]
    };
    print::table(["TIME", "STEP", "WHERE", "WHAT"], trace.steps.iter().map(row))?;
    trace.unknown.iter().try_for_each(|one| print::line(&format!("not known any more: {one}")))
}
