//! The store of one process in one region: all of its parts behind one handle.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Engines, ObjectKey, Op, ReadError, WriteError};
use mail::{Account, RecordId, Seq};

use crate::account::{self, AccountLog, DeliverError, Delivered, Delivery, LogError};
use crate::accounts::Accounts;
use crate::bodies::Bodies;
use crate::budgets::Budgets;
use crate::claims::Claims;
use crate::context::Context;
use crate::directory::Directory;
use crate::follow;
use crate::hints::Hints;
use crate::ingest::{Ingest, Spools};
use crate::items::Items;
use crate::made::{self, Made};
use crate::names;
use crate::options::Options;
use crate::place::{SegmentRef, Slot};
use crate::policies::Policies;
use crate::reports::Reports;
use crate::segment::Index;
use crate::space::Space;
use crate::writers::Writers;

/// What edges and functions are given. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Parts>);

struct Parts {
    cx: Arc<Context>,
    accounts: Arc<Accounts>,
    bodies: Arc<Bodies>,
    ingest: Arc<Ingest>,
    hints: Arc<Hints>,
    budgets: Budgets,
    claims: Claims,
    writers: Writers,
    items: Items,
    reports: Reports,
    policies: Policies,
    directory: Directory,
    space: Arc<Space>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("region", &self.options().region).finish_non_exhaustive()
    }
}

impl Store {
    /// The store on these engines.
    #[must_use]
    pub fn new(engines: Engines, options: Options) -> Self {
        let cx = Arc::new(Context::new(engines, options));
        let space = Arc::new(Space::new(cx.clone()));
        let bodies = Arc::new(Bodies::new(cx.clone()));
        let spools = Arc::new(Spools::new(&cx, &space));
        let hints = Arc::new(Hints::new(cx.clone()));
        let accounts = Accounts::new(cx.clone(), bodies.clone(), spools.clone(), hints.clone());
        let accounts = Arc::new(accounts);
        let events = cx.engines.events.subscribe();
        let follow = follow::run(cx.clone(), accounts.clone(), hints.clone(), events);
        cx.engines.tasks.spawn("follow", follow);
        Self(Arc::new(Parts {
            ingest: Arc::new(Ingest::new(&cx, &bodies, &space, &spools)),
            accounts,
            bodies,
            hints,
            budgets: Budgets::new(cx.clone()),
            claims: Claims::new(cx.clone()),
            writers: Writers::new(cx.clone()),
            items: Items::new(cx.clone()),
            reports: Reports::new(cx.clone()),
            policies: Policies::new(cx.clone()),
            directory: Directory::new(cx.clone()),
            space,
            cx,
        }))
    }

    /// The engines below: clock, randomness, wake-ups and tasks for those above.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.0.cx.engines
    }

    /// What was set.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.cx.options
    }

    /// Puts a message that a function makes; `Ok` also if it was made before.
    /// # Errors
    /// [`WriteError`]; make it again, it stays one.
    pub async fn make(&self, made: Made) -> Result<(), WriteError> {
        made::make(&self.0.cx, made).await
    }

    /// Notes that a made message may be appended to an account, before it is: and only after that
    /// is its cause seen not to know of it yet.
    /// # Errors
    /// [`WriteError`]; nothing may be appended then.
    pub async fn reach_by_made(&self, id: RecordId, account: Account) -> Result<(), WriteError> {
        made::reach(&self.0.cx, id, account).await
    }

    /// The accounts that a made message may have been appended to: all of them, if its cause was
    /// seen to know of it before.
    /// # Errors
    /// [`ReadError`].
    pub async fn reached_by_made(&self, id: RecordId) -> Result<Vec<Account>, ReadError> {
        made::reached(&self.0.cx, id).await
    }

    /// Deletes a made message that these have let go.
    /// # Errors
    /// [`WriteError`]; do it again.
    pub async fn delete_made(&self, id: RecordId, reached: &[Account]) -> Result<(), WriteError> {
        made::delete(&self.0.cx, id, reached).await?;
        self.forget_segment(&names::made(id));
        Ok(())
    }

    /// Part of the record in a segment of many accounts, prefix first, checked; `None`: the
    /// segment is not there.
    /// # Errors
    /// [`ReadError`].
    pub async fn read_record(
        &self,
        slot: Slot,
        range: std::ops::Range<u64>,
    ) -> Result<Option<Bytes>, ReadError> {
        let key = match slot.segment {
            SegmentRef::Ingest { writer, number } => names::ingest(writer, number),
            SegmentRef::Made { id } => names::made(id),
            SegmentRef::Account { .. } => return Ok(None),
        };
        self.0.bodies.read(&key, slot.index, range).await
    }

    /// The index of the segment that a record lies in, of many accounts; `None`: it is not there.
    /// # Errors
    /// [`ReadError`].
    pub async fn index_of(&self, slot: Slot) -> Result<Option<Arc<Index>>, ReadError> {
        match slot.segment {
            SegmentRef::Ingest { writer, number } => {
                self.segment_index(&names::ingest(writer, number)).await
            }
            SegmentRef::Made { id } => self.segment_index(&names::made(id)).await,
            SegmentRef::Account { .. } => Ok(None),
        }
    }

    /// Where mail comes in.
    #[must_use]
    pub fn ingest(&self) -> &Arc<Ingest> {
        &self.0.ingest
    }

    /// Daily budgets.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.0.budgets
    }

    /// The index of a segment of many accounts (ingest or made); `None`: there is no such object.
    /// A tombstone has no records.
    /// # Errors
    /// [`ReadError`].
    pub async fn segment_index(&self, key: &ObjectKey) -> Result<Option<Arc<Index>>, ReadError> {
        self.0.bodies.index(key).await
    }

    /// A segment was deleted: nothing of it is answered from memory any more.
    pub fn forget_segment(&self, key: &ObjectKey) {
        self.0.bodies.forget(key);
    }

    /// An account's log, opened if it is not open. Keep it while it is used; it is bounded how
    /// many stay open unused.
    /// # Errors
    /// [`LogError`]; nothing was changed.
    pub async fn account(&self, account: Account) -> Result<Arc<AccountLog>, LogError> {
        self.0.accounts.get(account).await
    }

    /// Voids the entries of an account's log that cannot be replayed, and returns which; none if
    /// all can. An admin's act: `reason` says who and why, and stays in the log [U].
    /// # Errors
    /// [`LogError`]; what was voided stays so.
    pub async fn repair(&self, account: Account, reason: &str) -> Result<Vec<Seq>, LogError> {
        self.0.accounts.repair(account, reason).await
    }

    /// A record id that no other record has or will have: for APPEND and imports.
    #[must_use]
    pub fn fresh_record(&self) -> RecordId {
        self.0.cx.fresh_record()
    }

    /// Carries out `before`, in order, and then puts all deliveries into their logs; where the
    /// engine can, all in one commit. Unless every operation of `before` succeeds, no delivery is
    /// tried. The answers of `before` end with the first failure; deliveries have one each.
    pub async fn append_all(
        &self,
        before: Vec<Op>,
        deliveries: &[Delivery],
    ) -> (Vec<Result<(), WriteError>>, Vec<Result<Delivered, DeliverError>>) {
        account::append_all(&self.0.cx, before, deliveries).await
    }

    /// Who delivers which segment.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Who puts ingest segments.
    #[must_use]
    pub fn writers(&self) -> &Writers {
        &self.0.writers
    }

    /// Which accounts were changed, for processes that no wake-up reaches.
    #[must_use]
    pub fn hints(&self) -> &Hints {
        &self.0.hints
    }

    /// Outbound, delayed and parked work.
    #[must_use]
    pub fn items(&self) -> &Items {
        &self.0.items
    }

    /// MTA-STS policies of other domains.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.0.policies
    }

    /// Reports of DMARC and TLS, in and out.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.0.reports
    }

    /// Domains, addresses, accounts.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Room on the medium.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.0.space
    }
}
