//! Whom a segment's plan came to reach, once its items are finished: more than the plan names, for a
//! `fan` and a parked item are expanded when they are worked on [δ].

use std::collections::{BTreeSet, VecDeque};

use mail::{Account, WriterId};
use store::Store;
use store::rows::{Claim, ItemKey, ItemKind, ItemState};

use crate::deliver::parse_local;
use crate::handler::Error;

/// Accounts beside those that the plan names.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// All that an item reached.
    pub(super) accounts: BTreeSet<Account>,
    /// Those of them of which it is not certain that anything was ever appended: they have let go
    /// of nothing so far [F].
    pub(super) perhaps: BTreeSet<Account>,
}

impl Reached {
    /// `None`: an item that concerns the caller is not finished, of the plan or of a page.
    pub(super) async fn of(
        store: &Store,
        writer: WriterId,
        number: u64,
        claim: &Claim,
        concerns: impl Fn(&ItemKey) -> bool,
    ) -> Result<Option<Self>, Error> {
        let mut reached = Self::default();
        let mut waiting: VecDeque<ItemKey> =
            claim.plan.items.iter().map(|item| item.key.clone()).collect();
        while let Some(key) = waiting.pop_front() {
            if !concerns(&key) {
                continue;
            }
            let item = store.items().get(&key).await?.map(|(item, _)| item.state);
            if item.is_some_and(|state| !state.is_finished()) {
                return Ok(None);
            }
            if key.kind == ItemKind::Local {
                reached.perhaps.extend(parse_local(&key.destination));
            }
            if !matches!(key.kind, ItemKind::Fan | ItemKind::Parked) {
                continue;
            }
            // Read after it was seen to be finished: pages come before anything else of it.
            let pages = store.claims().pages(writer, number, &key).await?;
            let mut accounts = BTreeSet::new();
            for page in pages.into_iter().flatten() {
                accounts.extend(page.accounts.iter().map(|member| member.account));
                waiting.extend(page.items.into_iter().map(|item| item.key));
            }
            if item != Some(ItemState::Delivered) {
                // Taken out by somebody, or so long ago that its row is gone.
                reached.perhaps.extend(&accounts);
            }
            reached.accounts.extend(accounts);
        }
        reached.accounts.extend(&reached.perhaps);
        Ok(Some(reached))
    }
}
