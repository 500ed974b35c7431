//! What waits, and whether somebody works on it.

use std::time::Duration;

use engine::Consistency;
use mail::Timestamp;
use store::rows::{DuePlace, ITEM_SHARDS, Item, ItemKey, ItemKind, ItemState};

use super::{Admin, AdminError, Check, ok, warning};

/// Items whose due row is looked for at most.
const LOOKED_FOR_MAX: u64 = 2_000;
/// Items read at once.
const PAGE: usize = 256;
/// An item that is due for longer than this is nobody's work.
const LATE: Duration = Duration::from_secs(30 * 60);
/// Rows may be dated so much later than now: several clocks, or a little step.
const AHEAD: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Backlog {
    waiting: u64,
    remote: u64,
    late: u64,
    late_remote: u64,
    looked_for: u64,
    undue: Vec<ItemKey>,
    newest: Timestamp,
}

impl Admin {
    /// Items that nobody works on, that lost their due row, and rows from the future.
    pub(super) async fn backlog(&self) -> Result<Vec<Check>, AdminError> {
        let now = self.engines().index.now();
        let mut backlog = Backlog::default();
        for shard in 0..ITEM_SHARDS {
            let Ok(shard) = u8::try_from(shard) else { break };
            let mut after = None;
            loop {
                let page = self.store.items().page(shard, after.as_ref(), PAGE).await?;
                let Some((last, ..)) = page.last() else { break };
                after = Some(last.clone());
                for (key, item, _) in page {
                    if !item.state.is_finished() {
                        self.weigh(&key, &item, now, &mut backlog).await?;
                    }
                }
            }
        }
        Ok(vec![of_work(&backlog), of_due_rows(&backlog), self.clock(&backlog, now).await?])
    }

    async fn weigh(
        &self,
        key: &ItemKey,
        item: &Item,
        now: Timestamp,
        backlog: &mut Backlog,
    ) -> Result<(), AdminError> {
        let remote = u64::from(key.kind == ItemKind::Remote);
        let late = u64::from(item.state != ItemState::Held && now.since(item.due) > LATE);
        backlog.waiting += 1;
        backlog.remote += remote;
        backlog.late += late;
        backlog.late_remote += late & remote;
        backlog.newest = backlog.newest.max(item.created);
        if backlog.looked_for >= LOOKED_FOR_MAX {
            return Ok(());
        }
        backlog.looked_for += 1;
        let places = [Some(DuePlace::of(key, item.state)), DuePlace::own(&key.destination)];
        for place in places.into_iter().flatten() {
            let row = place.key(item.due, key);
            if self.engines().index.get(&row, Consistency::Strong).await?.is_some() {
                return Ok(());
            }
        }
        // It may have gone on, or ended, since it was read.
        let again = self.store.items().get(key).await?;
        if again.is_some_and(|(again, _)| again == *item) {
            backlog.undue.push(key.clone());
        }
        Ok(())
    }

    /// Rows that are dated later than now: the clock was set back, or another's is ahead. Nothing
    /// is ordered by it (I10), but what is due waits longer.
    async fn clock(&self, backlog: &Backlog, now: Timestamp) -> Result<Check, AdminError> {
        const NAME: &str = "clock";
        let mut newest = backlog.newest;
        let mut after = None;
        loop {
            let page = self.store.writers().page(after).await?;
            let Some((last, ..)) = page.last() else { break };
            after = Some(*last);
            newest = page.iter().fold(newest, |newest, (_, row, _)| newest.max(row.started));
        }
        let ahead = newest.since(now);
        if ahead > AHEAD {
            let found = format!("there are rows from {} seconds ahead of now", ahead.as_secs());
            return Ok(warning(NAME, found, "set the clock of each machine by NTP"));
        }
        Ok(ok(NAME, "no row is from the future"))
    }
}

fn of_work(backlog: &Backlog) -> Check {
    const NAME: &str = "backlog";
    let Backlog { waiting, remote, late, late_remote, .. } = backlog;
    let found = format!("{waiting} items, {remote} of them to other servers");
    if *late == 0 {
        return ok(NAME, found);
    }
    let found = format!("{found}; {late} ({late_remote}) were due half an hour ago");
    warning(NAME, found, "see that a process has the roles deliver and relay, and `queue count`")
}

fn of_due_rows(backlog: &Backlog) -> Check {
    const NAME: &str = "due rows";
    match backlog.undue.first() {
        None => ok(NAME, format!("each of {} items looked at has one", backlog.looked_for)),
        Some(first) => {
            let name = super::super::queue::name(first);
            let found = format!("{} items have none, such as {name}", backlog.undue.len());
            warning(NAME, found, "`maintain` gives them one within a day; `queue retry` does now")
        }
    }
}
