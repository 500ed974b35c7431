//! Items, and the due rows that announce them.

use engine::{Key, Row, Version};
use store::place::SegmentRef;
use store::rows::{Due, Item, ItemKey, ItemKind, ItemState};

use super::States;

impl States {
    pub(super) fn see_item(&mut self, key: &ItemKey, now: Option<&Row>) {
        let before = self.items.get(key).cloned();
        let Some(row) = now else {
            self.items.remove(key);
            let finished = before.is_none_or(|(_, item)| item.state.is_finished());
            return self.rule(finished, || format!("[x] {key:?} goes unfinished"));
        };
        let Some(now) = self.read::<Item>(row) else { return };
        self.counts(before.as_ref().map(|(version, _)| *version), row.version, key);
        self.rule(now.state.is_finished() == row.expiry.is_some(), || {
            format!("[b, x] {key:?} is {:?} and expires at {:?}", now.state, row.expiry)
        });
        match before {
            None => {
                let named = match now.place.segment {
                    SegmentRef::Ingest { writer, number } => self
                        .claims
                        .get(&(writer, number))
                        .is_some_and(|(_, claim)| claim.names_item(key)),
                    _ => false,
                };
                self.rule(named, || format!("[O′] no plan names {key:?}"));
                let begins = match key.kind {
                    ItemKind::Report => ItemState::Bouncing,
                    _ => ItemState::Waiting,
                };
                self.rule(now.state == begins, || format!("{key:?} begins as {now:?}"));
            }
            Some((_, before)) => {
                let to = matches!(
                    (before.state, now.state),
                    (ItemState::Waiting | ItemState::Held, _)
                        | (ItemState::Bouncing, ItemState::Bouncing | ItemState::Failed)
                        | (ItemState::Bouncing, ItemState::Delivered | ItemState::Removed)
                );
                let same = (before.place, before.created) == (now.place, now.created);
                self.rule(to && same, || format!("[b, d] {key:?} goes from {before:?} to {now:?}"));
            }
        }
        self.items.insert(key.clone(), (row.version, now));
    }

    /// A due row may be written at any time; it goes when its item has reached the version that it
    /// announces and is due elsewhere, or is finished [a].
    pub(super) fn see_due(&mut self, key: &Key, now: Option<&Row>) {
        if let Some(row) = now {
            if let Some(due) = self.read::<Due>(row) {
                self.dues.insert(key.clone(), due.version);
            }
            return;
        }
        let (Some(version), Some((at, item))) = (self.dues.remove(key), Due::parse_sort(&key.sort))
        else {
            return;
        };
        let free = match self.items.get(&item) {
            Some((there, now)) => {
                now.state.is_finished() || (*there >= Version(version) && now.due != at)
            }
            // Gone since long; one that is still to come is in nobody's plan any more.
            None => !self.claims.values().any(|(_, claim)| claim.names_item(&item)),
        };
        self.rule(free, || format!("[a] the due row of {item:?} at {at:?} goes"));
    }
}
