//! Steps 4 to 7: claims, watermark check and entries, in one ordered batch where that goes
//! through, each by itself where not.

use std::collections::BTreeMap;

use engine::{Expect, Op, Version, WriteError};
use futures_util::{StreamExt, stream};
use mail::WriterId;
use store::rows::{self, ClaimState, WriterRow};
use store::{DeliverError, Delivered, LogError};

use super::work::{Work, stays};
use super::{Deliver, Finished};
use crate::handler::Outcome;
use crate::reports::learn;

/// Segments looked at side by side.
const PREPARING_MAX: usize = 16;

/// Tries to learn whether a claim was put.
const CLAIM_TRIES_MAX: u32 = 6;

/// How one claim of a batch ended.
enum Claimed {
    Won,
    Lost,
    Unknown,
}

impl Deliver {
    /// Delivers segments; one outcome each, in order.
    pub(super) async fn deliver(&self, segments: Vec<(WriterId, u64)>) -> Vec<Outcome> {
        let prepared: Vec<_> = stream::iter(segments)
            .map(|(writer, number)| self.prepare(writer, number))
            .buffered(PREPARING_MAX)
            .collect()
            .await;
        let (mut works, mut outcomes) = (Vec::new(), Vec::new());
        for one in prepared {
            match one {
                Ok(work) => {
                    works.push(work);
                    outcomes.push(None);
                }
                Err(outcome) => outcomes.push(Some(outcome)),
            }
        }
        let mut ran = self.run(works).await.into_iter();
        outcomes
            .into_iter()
            .map(|outcome| outcome.or_else(|| ran.next()).unwrap_or(Outcome::Done))
            .collect()
    }

    async fn run(&self, works: Vec<Work>) -> Vec<Outcome> {
        if works.is_empty() {
            return Vec::new();
        }
        let checks = match self.watermark_checks(&works).await {
            Ok(checks) => checks,
            Err(error) => {
                return works.iter().map(|_| self.later(error.to_string())).collect();
            }
        };
        let (finished, mut before) = self.take_finished();
        let done = before.len();
        before.extend(works.iter().map(|work| work.op.clone()));
        // [E]: after the claims. The row's version is that of a watermark below every number here.
        before.extend(checks);
        let deliveries: Vec<_> = works.iter().flat_map(Work::deliveries).collect();
        let (answers, delivered) = self.store.append_all(before.clone(), &deliveries).await;
        if answers.len() == before.len() && answers.iter().all(Result::is_ok) {
            return self.settle(works, delivered).await;
        }
        drop(deliveries);
        self.settle_finished(finished, &answers);
        let mut claims = answers.into_iter().skip(done);
        let mut outcomes = Vec::with_capacity(works.len());
        for work in works {
            let answer = claims.next();
            outcomes.push(self.one_by_one(work, answer).await);
        }
        outcomes
    }

    /// One check of the writer's row per writer. Segments at or below the watermark are left to
    /// [`Self::passed`], which the failing check leads to.
    async fn watermark_checks(&self, works: &[Work]) -> Result<Vec<Op>, engine::ReadError> {
        let mut lowest: BTreeMap<WriterId, u64> = BTreeMap::new();
        for work in works {
            let number = lowest.entry(work.writer).or_insert(work.number);
            *number = work.number.min(*number);
        }
        let mut checks = Vec::with_capacity(lowest.len());
        for (writer, number) in lowest {
            let row = self.store.writers().get(writer).await?;
            let below = row.filter(|(row, _)| row.watermark < number);
            // No row, or passed already: a version that no row has, so that the batch stops here.
            let version = below.map_or(Version(0), |(_, version)| version);
            checks.push(Op::Check {
                key: rows::writer_key(writer),
                expect: Expect::Version(version),
            });
        }
        Ok(checks)
    }

    /// Claims that the batch was to mark as done, and perhaps did not.
    fn settle_finished(&self, finished: Vec<Finished>, answers: &[Result<(), WriteError>]) {
        let mut kept: Vec<Finished> = Vec::new();
        for (at, one) in finished.into_iter().enumerate() {
            match answers.get(at) {
                // A conflict: somebody took the claim over and finds everything done.
                Some(Ok(()) | Err(WriteError::Conflict | WriteError::Refused(_))) => {}
                Some(Err(_)) | None => kept.push(one),
            }
        }
        self.finished().extend(kept);
    }

    /// A segment by itself, after the batch did not go through. `answer`: that of its claim.
    async fn one_by_one(&self, work: Work, answer: Option<Result<(), WriteError>>) -> Outcome {
        match self.claimed(&work, answer).await {
            Claimed::Won => {}
            // Whoever has it finishes it; the sweep sees to that.
            Claimed::Lost => return self.later("another deliverer took the segment"),
            Claimed::Unknown => return self.later("whether the segment was claimed is not known"),
        }
        // (5) [E]: number ≤ watermark: the segment was finished long ago.
        match self.store.writers().get(work.writer).await {
            Ok(Some((row, _))) if !passed(&row, work.number) => {}
            Ok(Some(_)) => {
                let claims = self.store.claims();
                let removed = claims.remove(work.writer, work.number, work.version).await;
                if let Err(error) = removed {
                    tracing::debug!(%error, "a late claim stays; it does nothing");
                }
                return Outcome::Done;
            }
            // [K]: neither "all is new" nor "ended".
            Ok(None) => {
                tracing::error!(writer = %work.writer, number = work.number,
                    "a segment of a writer that nobody announced is left alone");
                let now = self.store.engines().index.now();
                let at = now.after(self.store.options().timing.sweep);
                return Outcome::Later { at, why: "the segment's writer has no row".into() };
            }
            Err(error) => return self.later(error),
        }
        let deliveries = work.deliveries();
        let (_, delivered) = self.store.append_all(Vec::new(), &deliveries).await;
        drop(deliveries);
        self.settle(vec![work], delivered).await.pop().unwrap_or(Outcome::Done)
    }

    /// Whether the claim is ours: a fact, or not known.
    async fn claimed(&self, work: &Work, mut answer: Option<Result<(), WriteError>>) -> Claimed {
        let Op::Put { key, row, expect } = &work.op else { return Claimed::Lost };
        let index = &self.store.engines().index;
        let clock = &self.store.engines().clock;
        for _ in 0..CLAIM_TRIES_MAX {
            match answer.take() {
                Some(Ok(())) => return Claimed::Won,
                Some(Err(WriteError::Conflict | WriteError::Refused(_))) => return Claimed::Lost,
                Some(Err(_)) => clock.sleep(self.store.options().timing.retry_min).await,
                None => {}
            }
            // The same row with the same nonce: repeated, it is the same claim [M].
            answer = Some(index.put_if(key, row.clone(), *expect).await);
        }
        match answer {
            Some(Ok(())) => Claimed::Won,
            Some(Err(WriteError::Conflict)) => Claimed::Lost,
            _ => Claimed::Unknown,
        }
    }

    /// (6) ended, per segment: done, or an item takes over, or it is begun again.
    async fn settle(
        &self,
        works: Vec<Work>,
        delivered: Vec<Result<Delivered, DeliverError>>,
    ) -> Vec<Outcome> {
        let mut delivered = delivered.into_iter();
        let mut outcomes = Vec::with_capacity(works.len());
        for work in works {
            let mut missing = Vec::new();
            let mut again = None;
            for (account, log) in &work.logs {
                let error = match log {
                    Err(error) => Some(error.to_string()),
                    Ok(_) => match delivered.next() {
                        Some(Ok(Delivered::InLog)) => None,
                        Some(Err(DeliverError::Log(error))) if stays(&error) => {
                            Some(error.to_string())
                        }
                        Some(Err(error)) => {
                            again = Some(error);
                            None
                        }
                        Some(Ok(Delivered::NotTried)) | None => {
                            again = Some(DeliverError::Log(LogError::Behind));
                            None
                        }
                    },
                };
                missing.extend(error.map(|why| (*account, why)));
            }
            outcomes.push(match again {
                // Start again at the claim; it says what has happened meanwhile [D, F].
                Some(error) => self.later(error),
                None => self.complete(work, missing).await,
            });
        }
        outcomes
    }

    /// (7) Entries are in; items for the rest; then the claim is done.
    async fn complete(&self, mut work: Work, missing: Vec<(mail::Account, String)>) -> Outcome {
        if !(missing.is_empty() && work.claim.plan.items.is_empty())
            && let Err(error) = self.make_items(&mut work, missing).await
        {
            return self.later(error);
        }
        // It is in the mailboxes; with the claim still open, reports in it are read for certain.
        if let Err(error) = learn(&self.store, work.segment(), &work.index).await {
            return self.later(error);
        }
        let records = work.index.records.len();
        tracing::info!(writer = %work.writer, number = work.number, records,
            accounts = work.claim.plan.accounts.len(), items = work.claim.plan.items.len(),
            "segment delivered");
        work.claim.state = ClaimState::Done;
        let Work { writer, number, claim, version, .. } = work;
        self.finished().push(Finished { writer, number, claim, version });
        Outcome::Done
    }
}

fn passed(row: &WriterRow, number: u64) -> bool {
    number <= row.watermark
}
