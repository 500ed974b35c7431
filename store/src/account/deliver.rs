//! Delivering into logs: many accounts at once, each record once.
//!
//! A deliverer looked at each log before its claim (its *sight*). Whatever came into the log after
//! that is read before anything is appended: records met there are left out, a release of the
//! segment stops it, and who cannot read every entry in between starts again at the claim [D, F].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{Op, WriteError};
use mail::{Account, Seq};

use super::append::Prepared;
use super::ring::Placed;
use super::{AccountLog, LogError, Turn};
use crate::change::{Arrival, Change, MailboxId};
use crate::context::Context;
use crate::place::SegmentRef;
use crate::rows::Phase;
use crate::state::{LetGo, Met, State};

/// Tries against others for one log.
const TRIES_MAX: u32 = 12;

/// Bytes of arrivals that go into one entry: what fits a row in nearly all cases.
const ENTRY_BYTES: usize = 7 * 1024;

/// Mail of one segment for one account.
#[derive(Debug)]
pub struct Delivery {
    /// The account's log.
    pub log: Arc<AccountLog>,
    /// The segment it comes from.
    pub segment: SegmentRef,
    /// Seq of the log seen before the claim.
    pub sight: Seq,
    /// The messages, all with places in that segment.
    pub arrivals: Vec<Arrival>,
}

/// How a delivery ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Every record is in the log, some perhaps since before.
    InLog,
    /// Not tried: an operation that had to come before failed.
    NotTried,
}

/// Why a delivery did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The log has moved on too far since the sight: start again at the claim [D].
    #[error("the account log has moved on too far")]
    Lapped,
    /// The account has let this segment go: somebody else has finished it. Start again at the
    /// claim, which says so [F].
    #[error("the segment was released")]
    Released,
    /// The log; [`LogError::is_lasting`] tells whether trying again helps.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The deliveries of one log, in the order given.
struct Group<'a> {
    log: &'a AccountLog,
    turn: Turn<'a>,
    /// Numbers of its deliveries.
    members: Vec<usize>,
}

/// Carries out `before` and then puts all deliveries into their logs. Where the engine can, all of
/// it is one commit: the first entry of each log goes into the same ordered batch as `before`.
/// Unless every operation of `before` succeeds, no delivery is tried. The answers of `before` end
/// with the first failure.
pub(crate) async fn append_all(
    cx: &Context,
    before: Vec<Op>,
    deliveries: &[Delivery],
) -> (Vec<Result<(), WriteError>>, Vec<Result<Delivered, DeliverError>>) {
    let mut answers: Vec<Result<Delivered, DeliverError>> =
        deliveries.iter().map(|_| Ok(Delivered::NotTried)).collect();
    // Turns are taken in the order of the accounts, so that two of these never wait in a ring.
    let mut logs: BTreeMap<Account, Vec<usize>> = BTreeMap::new();
    for (number, delivery) in deliveries.iter().enumerate() {
        logs.entry(delivery.log.account()).or_default().push(number);
    }
    let mut groups = Vec::with_capacity(logs.len());
    for members in logs.into_values() {
        let Some(first) = members.first().and_then(|number| deliveries.get(*number)) else {
            continue;
        };
        let log = &*first.log;
        groups.push(Group { log, turn: log.lane.lock().await, members });
    }
    let mut prepared: Vec<Option<(Prepared, BTreeSet<usize>)>> = Vec::new();
    for group in &groups {
        prepared.push(group.prepare(deliveries, &mut answers).await);
    }
    let count = before.len();
    let mut ops = before;
    ops.extend(prepared.iter().flatten().map(|(prepared, _)| prepared.op.clone()));
    let mut outcomes = cx.engines.index.ordered(ops).await;
    let entries = if outcomes.len() > count { outcomes.split_off(count) } else { Vec::new() };
    if outcomes.len() < count || outcomes.iter().any(Result::is_err) {
        return (outcomes, answers);
    }
    let mut entries = entries.into_iter();
    for (group, prepared) in groups.iter().zip(prepared) {
        let answer = prepared.as_ref().and_then(|_| entries.next());
        group.finish(prepared, answer, deliveries, &mut answers).await;
    }
    (outcomes, answers)
}

impl Group<'_> {
    /// The first entry of this log, if anything is left to deliver; `None` also where it could not
    /// be prepared, which [`Self::finish`] then meets again.
    async fn prepare(
        &self,
        deliveries: &[Delivery],
        answers: &mut [Result<Delivered, DeliverError>],
    ) -> Option<(Prepared, BTreeSet<usize>)> {
        let (arrivals, of) = self.left(deliveries, answers);
        if arrivals.is_empty() {
            return None;
        }
        let prepared = self.log.prepare(&self.turn, Change::Deliver(arrivals)).await.ok()?;
        Some((prepared, of))
    }

    /// What of the deliveries is not in the log yet, up to one entry, and which deliveries it is
    /// of. Deliveries that are complete or have to stop get their answer.
    fn left(
        &self,
        deliveries: &[Delivery],
        answers: &mut [Result<Delivered, DeliverError>],
    ) -> (Vec<Arrival>, BTreeSet<usize>) {
        let loaded = self.log.read_state();
        let (mut arrivals, mut of, mut bytes) = (Vec::new(), BTreeSet::new(), 0);
        for number in &self.members {
            let (Some(delivery), Some(answer)) =
                (deliveries.get(*number), answers.get_mut(*number))
            else {
                continue;
            };
            if !matches!(answer, Ok(Delivered::NotTried)) {
                continue;
            }
            match left(&loaded.state, delivery) {
                Err(error) => *answer = Err(error),
                Ok(left) if left.is_empty() => *answer = Ok(Delivered::InLog),
                Ok(left) => {
                    for arrival in left {
                        bytes += arrival.summary.len() + 64;
                        if bytes <= ENTRY_BYTES || arrivals.is_empty() || arrival.again {
                            arrivals.push(at_home(&loaded.state, arrival));
                            of.insert(*number);
                        }
                    }
                }
            }
        }
        (arrivals, of)
    }

    /// Goes on from the answer of the batch until every delivery of this log has its own.
    async fn finish(
        &self,
        mut prepared: Option<(Prepared, BTreeSet<usize>)>,
        mut answer: Option<Result<(), WriteError>>,
        deliveries: &[Delivery],
        answers: &mut [Result<Delivered, DeliverError>],
    ) {
        for _ in 0..TRIES_MAX * 8 {
            let ended = match (prepared.take(), answer.take()) {
                (Some((prepared, _)), Some(answer)) => {
                    match self.log.ring.settle(&prepared.op, answer).await {
                        Ok(Placed::Ours) => self.log.appended(&prepared).map(|_| ()),
                        Ok(Placed::Theirs) => self.log.catch_up(&self.turn).await,
                        Err(error) => Err(error),
                    }
                }
                // Not tried, after another log's entry failed in the batch.
                (Some((prepared, _)), None) => match self.log.ring.put(&prepared.op).await {
                    Ok(Placed::Ours) => self.log.appended(&prepared).map(|_| ()),
                    Ok(Placed::Theirs) => self.log.catch_up(&self.turn).await,
                    Err(error) => Err(error),
                },
                _ => Ok(()),
            };
            let ended = match ended {
                Err(LogError::Behind) => self.log.reopen(&self.turn).await,
                other => other,
            };
            if let Err(error) = ended {
                return self.fail(error, answers);
            }
            let (arrivals, of) = self.left(deliveries, answers);
            if arrivals.is_empty() {
                return self.log.ask_if_due().await;
            }
            match self.log.prepare(&self.turn, Change::Deliver(arrivals)).await {
                Ok(next) => prepared = Some((next, of)),
                Err(LogError::Behind) => {
                    if let Err(error) = self.log.reopen(&self.turn).await {
                        return self.fail(error, answers);
                    }
                }
                Err(error) => return self.fail(error, answers),
            }
        }
        self.fail(LogError::Behind, answers);
    }

    /// The same error for every delivery of this log that has no answer yet.
    fn fail(&self, error: LogError, answers: &mut [Result<Delivered, DeliverError>]) {
        let mut error = Some(error);
        for number in &self.members {
            if let Some(answer) = answers.get_mut(*number)
                && matches!(answer, Ok(Delivered::NotTried))
            {
                *answer = Err(DeliverError::Log(error.take().unwrap_or(LogError::Behind)));
            }
        }
    }
}

/// An arrival whose mailbox was deleted meanwhile goes into the inbox.
fn at_home(state: &State, arrival: &Arrival) -> Arrival {
    let mut arrival = arrival.clone();
    if state.mailbox(arrival.mailbox).is_none() {
        arrival.mailbox = MailboxId::INBOX;
    }
    arrival
}

/// The arrivals of a delivery that are not in the log.
fn left<'a>(state: &State, delivery: &'a Delivery) -> Result<Vec<&'a Arrival>, DeliverError> {
    // [n]: the log decides whether it takes mail, not the directory.
    match state.phase() {
        Phase::Open => {}
        Phase::Waiting => {
            return Err(LogError::Unavailable("the log does not take mail yet".into()).into());
        }
        Phase::Fenced { region, epoch } => {
            let (region, epoch) = (region.clone(), *epoch);
            return Err(LogError::Fenced { region, epoch }.into());
        }
    }
    // [D, F]: every entry since the sight is asked, or it all starts again.
    match state.met(delivery.sight, LetGo::Segment(delivery.segment)) {
        Met::LetGo => Err(DeliverError::Released),
        Met::Lapped => Err(DeliverError::Lapped),
        // [J]: ids that were delivered and not released are in the window, expunged ones too.
        Met::No => Ok(delivery
            .arrivals
            .iter()
            .filter(|arrival| !state.is_in_window(arrival.record))
            .collect()),
    }
}
