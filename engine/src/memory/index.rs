//! Rows of a world.

use std::fmt;
use std::ops::Bound;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use mail::Timestamp;

use super::call::Process;
use crate::condition::{check_key, check_range};
use crate::counters::Call;
use crate::{Consistency, Expect, Index, Key, Op, Order, Range, ReadError, Row, WriteError};

/// A key as the trace shows it.
struct Shown<'a>(&'a Key);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.0.partition.escape_ascii(), self.0.sort.escape_ascii())
    }
}

fn shown(op: &Op) -> String {
    let expect = match op.expect() {
        Expect::Absent => "absent".into(),
        Expect::Version(version) => format!("v{}", version.0),
        Expect::Any => String::from("any"),
    };
    let key = Shown(op.key());
    match op {
        Op::Put { row, .. } => {
            format!("index.put {key} v{} {} if {expect}", row.version.0, row.value.len())
        }
        Op::Delete { .. } => format!("index.delete {key} if {expect}"),
        Op::Check { .. } => format!("index.check {key} if {expect}"),
    }
}

impl Process {
    async fn operate(&self, op: Op) -> Result<(), WriteError> {
        if !matches!(op, Op::Check { .. }) {
            self.counters.call(Call::IndexWrite);
        }
        let (what, world) = (shown(&op), self.world.clone());
        self.write(what, move |state| {
            let now = Timestamp(world.wall_ms(state));
            state.operate(&op, now)
        })
        .await
    }
}

impl Process {
    fn coin(&self) -> bool {
        self.world.state().dice.chance(500)
    }

    /// Whether an operation of unknown outcome was carried out.
    fn took_effect(&self, op: &Op) -> bool {
        let mut state = self.world.state();
        let now = Timestamp(self.world.wall_ms(&state));
        match op {
            Op::Put { key, row, .. } => state
                .row(key, false)
                .is_some_and(|there| (there.version, there.nonce) == (row.version, row.nonce)),
            Op::Delete { key, .. } => state.row(key, false).is_none(),
            Op::Check { .. } => state.operate(op, now).is_ok(),
        }
    }
}

#[async_trait]
impl Index for Process {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Row>, ReadError> {
        self.counters.call(Call::IndexRead);
        check_key(key)?;
        let eventual = consistency == Consistency::Eventual;
        self.read(
            format!("index.get {} {consistency:?}", Shown(key)),
            |state, stale| Ok(state.row(key, stale && eventual)),
            |found| found.as_ref().map_or("none".into(), |row| format!("v{}", row.version.0)),
        )
        .await
    }

    async fn put_if(&self, key: &Key, row: Row, expect: Expect) -> Result<(), WriteError> {
        self.operate(Op::Put { key: key.clone(), row, expect }).await
    }

    async fn delete_if(&self, key: &Key, expect: Expect) -> Result<(), WriteError> {
        self.operate(Op::Delete { key: key.clone(), expect }).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<(Bytes, Row)>, ReadError> {
        self.counters.call(Call::IndexRead);
        check_range(range)?;
        let text =
            |bound: &Option<Bytes>| bound.as_deref().unwrap_or(b"").escape_ascii().to_string();
        let what = format!(
            "index.range {}|{}..{} {:?} limit {}",
            range.partition.escape_ascii(),
            text(&range.from),
            text(&range.to),
            range.order,
            range.limit
        );
        let (from, to) = (range.from.clone().unwrap_or_default(), range.to.clone());
        let eventual = range.consistency == Consistency::Eventual;
        self.read(
            what,
            |state, stale| {
                if to.as_ref().is_some_and(|to| *to <= from) {
                    return Ok(Vec::new());
                }
                let first = Key { partition: range.partition.clone(), sort: from };
                let within = |(key, _): &(&Key, &Row)| {
                    key.partition == range.partition && to.as_ref().is_none_or(|to| key.sort < *to)
                };
                let rows = state
                    .rows
                    .range::<Key, _>((Bound::Included(&first), Bound::Unbounded))
                    .take_while(within)
                    .filter_map(|(key, _)| {
                        Some((key.sort.clone(), state.row(key, stale && eventual)?))
                    });
                Ok(match range.order {
                    Order::Forward => rows.take(range.limit).collect::<Vec<_>>(),
                    Order::Backward => {
                        let mut rows: Vec<_> = rows.collect();
                        rows.reverse();
                        rows.truncate(range.limit);
                        rows
                    }
                })
            },
            |found| found.len().to_string(),
        )
        .await
    }

    async fn batch(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>> {
        futures_util::future::join_all(ops.into_iter().map(|op| self.operate(op))).await
    }

    async fn ordered(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>> {
        let mut answers = Vec::with_capacity(ops.len());
        let mut ops = ops.into_iter();
        let mut landed = false;
        for op in ops.by_ref() {
            let answer = self.operate(op.clone()).await;
            landed = matches!(answer, Err(WriteError::Unknown(_))) && self.took_effect(&op);
            let failed = answer.is_err();
            answers.push(answer);
            if failed {
                break;
            }
        }
        // An engine that commits them together has carried out the rest too, if this one landed:
        // never a later one without those before it (promise 8).
        if landed && self.coin() {
            for op in ops {
                if self.operate(op).await.is_err() {
                    break;
                }
            }
        }
        answers
    }

    fn now(&self) -> Timestamp {
        let state = self.world.state();
        let now = self.world.wall_ms(&state);
        // I10: whatever the wall clock does, a process is never told an earlier time than before.
        Timestamp(self.told_ms.fetch_max(now, Ordering::Relaxed).max(now))
    }
}
