//! Steps 1 to 3 for one segment: claim, index, plan, heads. Nothing is written here.

use std::sync::Arc;

use engine::{Op, ReadError, Version};
use mail::{Account, Seq, Verdicts, WriterId};
use store::change::{Arrival, ArrivalPlace, MailboxId, SpecialUse};
use store::place::{SegmentRef, Slot};
use store::rows::{Claim, ClaimState, Lease, PlanAccount};
use store::segment::{Index, IndexRecord};
use store::{AccountLog, Delivery, LogError, names};

use super::{Deliver, plan};
use crate::handler::Outcome;

/// A segment that is ready to be claimed.
pub(super) struct Work {
    pub(super) writer: WriterId,
    pub(super) number: u64,
    pub(super) index: Arc<Index>,
    pub(super) claim: Claim,
    /// The claim as it is put, with the version it gets.
    pub(super) op: Op,
    pub(super) version: Version,
    /// Per account of the plan: its log and the seq seen before the claim, or why there is none.
    pub(super) logs: Vec<Sight>,
}

/// An account of a plan, with its log and the seq seen of it, or why it cannot take mail.
pub(super) type Sight = (Account, Result<(Arc<AccountLog>, Seq), LogError>);

impl Deliver {
    /// Looks at a segment.
    /// # Errors
    /// How it ends instead: done already, or to be asked again.
    pub(super) async fn prepare(&self, writer: WriterId, number: u64) -> Result<Work, Outcome> {
        // (1) The claim row and the index.
        let claims = self.store.claims();
        let existing = claims.get(writer, number).await.map_err(|error| self.later(error))?;
        if let Some((claim, _)) = &existing {
            if claim.state == ClaimState::Done {
                return Err(Outcome::Done);
            }
            self.check_lease(claim)?;
        }
        let index = self.store.segment_index(&names::ingest(writer, number)).await;
        let index = match index.map_err(|error| self.unread(error))? {
            // Not there (a hole, or deleted since), or a tombstone: nothing to deliver.
            None => return Err(Outcome::Done),
            Some(index) if index.records.is_empty() => return Err(Outcome::Done),
            Some(index) => index,
        };
        // (2) The plan. [H]: one that is in the claim row is used for ever.
        let (before, plan, tries) = match existing {
            Some((claim, version)) => (Some(version), claim.plan, claim.tries),
            None => {
                let made = plan::make(self.store.directory(), &index.records).await;
                (None, made.map_err(|error| self.later(error))?, 0)
            }
        };
        // (3) Heads, and the whole state where somebody may have begun before.
        let logs = self.sights(&plan.accounts, before.is_some()).await?;
        let until = self.store.engines().index.now().after(self.store.options().timing.claim_lease);
        let lease = Lease { holder: self.process, until };
        let claim = Claim { state: ClaimState::Open, plan, lease, tries: tries.saturating_add(1) };
        let op = claims
            .put_op(writer, number, &claim, before)
            .map_err(|error| Outcome::Park { why: Box::new(error) })?;
        let version = Version(before.map_or(1, |version| version.0 + 1));
        Ok(Work { writer, number, index, claim, op, version, logs })
    }

    /// Somebody else's claim is left to them for a while. Economy only.
    fn check_lease(&self, claim: &Claim) -> Result<(), Outcome> {
        let now = self.store.engines().index.now();
        let longest = self.store.options().timing.claim_lease;
        if claim.lease.holder != self.process && claim.lease.is_live(now, longest) {
            let why = "somebody else is delivering this segment".into();
            return Err(Outcome::Later { at: claim.lease.until, why });
        }
        Ok(())
    }

    /// Opens the logs and notes what was seen of them. This process's last sight of a log is good
    /// enough where nobody has begun before: whatever came after it is met by a conflict [D].
    async fn sights(
        &self,
        accounts: &[PlanAccount],
        begun_before: bool,
    ) -> Result<Vec<Sight>, Outcome> {
        let mut logs = Vec::with_capacity(accounts.len());
        for member in accounts {
            let sight = async {
                let log = self.store.account(member.account).await?;
                let seq = if begun_before { log.fresh().await? } else { log.seq() };
                Ok((log, seq))
            };
            match sight.await {
                Err(error) if !stays(&error) => return Err(self.later(error)),
                found => logs.push((member.account, found)),
            }
        }
        Ok(logs)
    }

    /// A segment that cannot be read: damaged ones are shown, the sweep brings them again.
    fn unread(&self, error: ReadError) -> Outcome {
        match error {
            ReadError::Damaged(why) => Outcome::Park { why },
            other => self.later(other),
        }
    }

    /// Ask again soon: nothing was harmed.
    pub(super) fn later(
        &self,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Outcome {
        let timing = &self.store.options().timing;
        Outcome::Later {
            at: self.store.engines().index.now().after(timing.deliver_retry),
            why: why.into(),
        }
    }
}

/// Whether an account cannot take mail for now, so that an item has to [O].
pub(super) fn stays(error: &LogError) -> bool {
    error.is_lasting() || matches!(error, LogError::Fenced { .. })
}

impl Work {
    pub(super) fn segment(&self) -> SegmentRef {
        SegmentRef::Ingest { writer: self.writer, number: self.number }
    }

    /// What goes into the logs that are there.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let members = self.claim.plan.accounts.iter().zip(&self.logs);
        members
            .filter_map(|(member, (_, log))| {
                let (log, sight) = log.as_ref().ok()?;
                Some(Delivery {
                    log: log.clone(),
                    segment: self.segment(),
                    sight: *sight,
                    arrivals: self.arrivals(member, log),
                })
            })
            .collect()
    }

    /// The messages of one account, straight from the index: no body is read.
    pub(super) fn arrivals(&self, member: &PlanAccount, log: &AccountLog) -> Vec<Arrival> {
        let records = member.mail.iter().map(|(record, _)| *record);
        arrivals(&self.index, self.segment(), records, log)
    }
}

/// Arrivals of these records of a segment: into the inbox, or where the account keeps Junk if the
/// edge's checks say so.
pub(crate) fn arrivals(
    index: &Index,
    segment: SegmentRef,
    records: impl Iterator<Item = u32>,
    log: &AccountLog,
) -> Vec<Arrival> {
    let junk = || {
        let kept = log.view(|state| state.by_use(SpecialUse::Junk).map(|mailbox| mailbox.id()));
        kept.unwrap_or(MailboxId::INBOX)
    };
    records
        .filter_map(|number| {
            let record = index.records.get(usize::try_from(number).ok()?)?;
            Some(Arrival {
                record: record.location.id,
                again: false,
                mailbox: if is_junk(record) { junk() } else { MailboxId::INBOX },
                flags: mail::FlagSet::default(),
                date: record.received,
                size: record.location.size(),
                place: ArrivalPlace::Slot(Slot { segment, index: number }),
                summary: record.summary.clone(),
            })
        })
        .collect()
}

/// What the edge found of the message. Verdicts that cannot be read are no reason to hide mail.
pub(super) fn is_junk(record: &IndexRecord) -> bool {
    Verdicts::decode(&record.verdicts).is_ok_and(|verdicts| verdicts.junk)
}
