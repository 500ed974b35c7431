//! What `deliver` made to tell of what was delivered, and could not be told yet: an item had taken over
//! some of its recipients. It waits for them.

use engine::WriteError;
use engine::{Event, Version};
use store::Announced;
use store::rows::{Item, ItemKind, ItemState, RecipientState};

use super::Bounce;
use crate::handler::Error;

/// Items of one record that are looked at; more than a plan has of it.
const ITEMS_MAX: usize = 1_024;

impl Bounce {
    /// Whether there is anything to tell: of a report that `deliver` made, whose recipients have got
    /// their mail. What has changed is written, and told the next time, so that the report which its
    /// version makes is always the same one [e].
    pub(super) async fn arrived(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
    ) -> Result<bool, Error> {
        let waits = item.recipients.iter().any(|one| one.state == RecipientState::Open);
        if due.item.kind != ItemKind::Report || !waits {
            return Ok(true);
        }
        if item.recipients.iter().any(|one| one.state == RecipientState::Taken) {
            // Some are to be told of now; the others after that.
            return Ok(true);
        }
        let others = self.store.items().of_record(due.item.id, ITEMS_MAX).await?;
        let of = |number: u32| {
            let took = others.iter().filter(move |(key, other, _)| {
                matches!(key.kind, ItemKind::Local | ItemKind::Fan)
                    && other.recipients.iter().any(|one| one.envelope == number)
            });
            took.map(|(_, other, _)| other.state).collect::<Vec<_>>()
        };
        let mut now = item.clone();
        for one in now.recipients.iter_mut().filter(|one| one.state == RecipientState::Open) {
            let states = of(one.envelope);
            if states.contains(&ItemState::Removed) {
                // An admin took it out: there is no success to tell of.
                one.state = RecipientState::Told;
            } else if states.iter().all(|state| state.is_finished()) {
                one.state = RecipientState::Taken;
            }
        }
        let any = |state| now.recipients.iter().any(|one| one.state == state);
        let at = self.store.engines().index.now();
        let items = self.store.items();
        let written = if any(RecipientState::Taken) {
            now.due = at;
            items.put_off(due, &now, version).await.map(|_| ())
        } else if any(RecipientState::Open) {
            now.due = at.after(self.options.retry_min);
            items.put_off(due, &now, version).await.map(|_| ())
        } else {
            now.state = ItemState::Failed;
            items.finish(due, &now, version).await
        };
        match written {
            Ok(()) | Err(WriteError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        self.store.engines().events.publish(Event::Items);
        Ok(false)
    }
}
