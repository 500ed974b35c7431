//! Wake-ups between the processes of a world: as lossy as they are allowed to be.

use std::sync::Arc;

use super::call::Process;
use crate::counters::Call;
use crate::events::{Told, listen};
use crate::{Event, Events, Subscription};

impl Events for Process {
    fn publish(&self, event: Event) {
        self.counters.call(Call::EventPublish);
        let mut state = self.world.state();
        if state.cut.contains(&*self.name) {
            return;
        }
        let faults = state.faults.clone();
        let listeners: Vec<_> = state
            .listeners
            .iter()
            .filter(|(name, _)| !state.cut.contains(name))
            .filter_map(|(_, listener)| listener.upgrade())
            .collect();
        for listener in listeners {
            if state.dice.chance(faults.event_lost) {
                continue;
            }
            let times = 1 + usize::from(state.dice.chance(faults.event_doubled));
            for _ in 0..times {
                if state.dice.chance(faults.event_late) {
                    let late = state.dice.up_to(faults.event_late_max);
                    let (world, event, listener) =
                        (self.world.clone(), event.clone(), Arc::downgrade(&listener));
                    self.world.tasks.spawn("late event", async move {
                        world.sleep(late).await;
                        if let Some(listener) = listener.upgrade() {
                            tell(&listener, event);
                        }
                    });
                } else {
                    tell(&listener, event.clone());
                }
            }
        }
        if state.trace.is_some() {
            let at = self.world.elapsed();
            state.line(at, &format!("{} events.publish {event:?}", self.name));
        }
    }

    fn subscribe(&self) -> Box<dyn Subscription> {
        listen(&self.events)
    }
}

/// Tells whoever listens; nobody need.
fn tell(listener: &tokio::sync::broadcast::Sender<Told>, event: Event) {
    drop(listener.send(Some(event)));
}
