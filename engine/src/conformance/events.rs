//! The promises of [`Events`](crate::Events): few, for all of it is a hint.

use mail::AccountId;

use super::{PATIENCE, Region, object};
use crate::{Event, Subscription};

/// A listener of any process hears what any process publishes, itself included, where nothing is
/// lost.
pub async fn p01_every_process_is_woken(region: &dyn Region) {
    let (one, two) = (region.process(), region.process());
    let (mut at_one, mut at_two) = (one.events.subscribe(), two.events.subscribe());
    let events = [
        Event::Object(object("ingest/w/1")),
        Event::Accounts([AccountId([1; 16]), AccountId([2; 16])].into()),
        Event::Directory,
        Event::Items,
    ];
    for publisher in [&one, &two] {
        for event in &events {
            publisher.events.publish(event.clone());
        }
        for listener in [&mut at_one, &mut at_two] {
            for event in &events {
                let heard = one.clock.timeout(PATIENCE, listener.next()).await;
                assert_eq!(heard.as_ref(), Ok(&Some(event.clone())));
            }
        }
    }
}

/// Publishing never waits for a listener: the slow one learns that it lost something (I8).
pub async fn p02_a_slow_listener_is_told_that_it_lost_some(region: &dyn Region) {
    let engines = region.process();
    let mut slow = engines.events.subscribe();
    for _ in 0..50_000 {
        engines.events.publish(Event::Items);
    }
    let mut heard = 0;
    let lost = async |slow: &mut Box<dyn Subscription>, heard: &mut u32| {
        while slow.next().await.is_some() {
            *heard += 1;
        }
    };
    let told = engines.clock.timeout(PATIENCE, lost(&mut slow, &mut heard)).await;
    assert!(told.is_ok(), "never told of the loss after {heard} events");
}
