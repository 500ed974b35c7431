//! Keeps the logs that somebody watches up to date with what other processes append [y].
//!
//! Wake-ups name accounts; a lost one is made good by reading every watched log now and then.

use std::sync::Arc;

use engine::{Event, Subscription};
use futures_util::{FutureExt, StreamExt, stream};
use mail::{AccountId, Instant};

use crate::account::AccountLog;
use crate::accounts::Accounts;
use crate::context::Context;
use crate::hints::Hints;
use crate::rows;

/// Logs read side by side.
const READING_MAX: usize = 16;

/// Wake-ups taken together.
const TOGETHER_MAX: usize = 1024;

/// Runs for as long as the process does.
pub(crate) async fn run(
    cx: Arc<Context>,
    accounts: Arc<Accounts>,
    hints: Arc<Hints>,
    mut events: Box<dyn Subscription>,
) {
    let clock = cx.engines.clock.clone();
    let mut reread = clock.instant().after(cx.options.timing.reread);
    let every = cx.options.hint_rows;
    let next_hints = |now: Instant| every.map_or(Instant::NEVER, |every| now.after(every));
    let mut look = next_hints(clock.instant());
    loop {
        let logs = tokio::select! {
            biased;
            event = events.next() => match named(event, &mut events) {
                Some(ids) if ids.is_empty() => continue,
                Some(ids) => accounts.of(&ids),
                None => accounts.all(),
            },
            () = clock.sleep_until(look) => {
                look = next_hints(clock.instant());
                hinted(&hints, &accounts).await
            }
            () = clock.sleep_until(reread) => {
                reread = clock.instant().after(cx.options.timing.reread);
                accounts.all()
            }
        };
        read(logs).await;
    }
}

/// The accounts that this event and those behind it name; `None`: some were lost, look at all.
fn named(first: Option<Event>, events: &mut Box<dyn Subscription>) -> Option<Vec<AccountId>> {
    let mut ids = Vec::new();
    let mut next = Some(first);
    while let Some(event) = next {
        match event {
            Some(Event::Accounts(named)) => ids.extend_from_slice(&named),
            Some(_) => {}
            None => return None,
        }
        next = if ids.len() < TOGETHER_MAX { events.next().now_or_never() } else { None };
    }
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

/// Tells what this process changed; the logs that others changed.
async fn hinted(hints: &Hints, accounts: &Accounts) -> Vec<Arc<AccountLog>> {
    if let Err(error) = hints.write().await {
        tracing::debug!(%error, "hints are lost");
    }
    match hints.read().await {
        Ok(changed) => {
            let mut logs = accounts.all();
            logs.retain(|log| changed.contains(&rows::account_hash(log.account())));
            logs
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read hints");
            Vec::new()
        }
    }
}

async fn read(logs: Vec<Arc<AccountLog>>) {
    let watched = logs.into_iter().filter(|log| log.is_watched());
    stream::iter(watched)
        .for_each_concurrent(READING_MAX, |log| async move {
            if let Err(error) = log.fresh().await {
                // Whoever asks for it strongly is told.
                tracing::debug!(account = %log.account(), %error, "cannot follow a log");
            }
        })
        .await;
}
