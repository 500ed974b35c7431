use std::slice::from_ref;

use mail::{RecordId, WriterId};
use store::rows::{DuePlace, ItemKind};

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn due(destination: &str, counter: u64) -> Announced {
    let id = RecordId { writer: WriterId([1; 16]), counter };
    let item = ItemKey { id, kind: ItemKind::Remote, destination: destination.into(), k: 0 };
    Announced { at: NOW, item, version: engine::Version(1), place: DuePlace::Shard(0) }
}

fn queue() -> Queue {
    Queue::new(Bounds { connections: 6, per_destination: 3, waiting: 5, waiting_all: 8 })
}

#[test]
fn destinations_take_turns_and_bounds_hold() {
    let mut queue = queue();
    for n in 0..6 {
        let expected = if n < 5 { Added::Here } else { Added::Aside };
        assert_eq!(queue.add(due("a", n), NOW), expected, "{n}");
    }
    for n in 0..4 {
        let expected = if n < 3 { Added::Here } else { Added::NoRoom };
        assert_eq!(queue.add(due("b", n), NOW), expected, "{n}");
    }
    assert_eq!(queue.add(due("a", 0), NOW), Added::Here, "known");
    let starts: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).collect();
    assert_eq!(starts, ["a", "b", "a", "b", "a", "b"]);
    assert_eq!(queue.counts(), (6, 8));
    assert_eq!(queue.take("a", NOW, None).map(|due| due.item.id.counter), Some(0));
    queue.done(&due("a", 0).item);
    assert_eq!(queue.add(due("a", 0), NOW), Added::Here);
}

#[test]
fn a_held_destination_waits_longer_each_time_and_begins_with_one_connection() {
    let mut queue = queue();
    (0..4).for_each(|n| assert_eq!(queue.add(due("a", n), NOW), Added::Here));
    assert!(queue.start(NOW).is_some());
    let times = (SECOND, SECOND * 3);
    let (until, waited) = queue.hold("a", NOW, times, |time| time).unwrap();
    assert_eq!((until, waited.len()), (NOW.after(SECOND), 4));
    assert_eq!(queue.hold("a", NOW, times, |time| time), None, "once");
    assert_eq!(queue.add(due("a", 9), NOW), Added::Aside);
    assert_eq!(queue.start(NOW), None);
    queue.ended("a");
    let later = NOW.after(SECOND * 2);
    (0..4).for_each(|n| assert_eq!(queue.add(due("a", n), later), Added::Here));
    assert!(queue.start(later).is_some());
    assert_eq!(queue.start(later), None, "half open");
    assert!(queue.succeeded("a") && !queue.succeeded("a"));
    assert!(queue.start(later).is_some(), "slow start");
    let holds: Vec<_> = (0..3)
        .map(|n| {
            let now = later.after(SECOND * 60 * (n + 1));
            queue.hold("a", now, times, |time| time).unwrap().0.since(now).as_secs()
        })
        .collect();
    assert_eq!(holds, [1, 2, 3]);
}

#[test]
fn what_is_not_to_be_done_now_is_not_met_again_at_once() {
    let mut queue = queue();
    queue.add(due("a", 1), NOW);
    assert!(queue.start(NOW).is_some());
    let one = queue.take("a", NOW, None).unwrap();
    queue.put_off(&one.item, NOW, NOW.after(SECOND));
    assert_eq!(queue.add(one.clone(), NOW), Added::Here);
    assert_eq!(queue.take("a", NOW, None), None);
    assert_eq!(queue.add(one.clone(), NOW.after(SECOND)), Added::Here);
    assert_eq!(queue.take("a", NOW.after(SECOND), None), Some(one));
}

#[test]
fn markers_tell_when_a_place_is_to_be_looked_at() {
    let mut queue = queue();
    let (first, second) = (due("a", 0), due("a", 1));
    queue.mark(first.clone(), &[]);
    queue.mark(first.clone(), &[]);
    assert_eq!(queue.markers("a"), from_ref(&first));
    assert_eq!(queue.places_due(NOW), [("a".to_owned(), 0)]);
    queue.mark(second.clone(), from_ref(&first));
    assert_eq!(queue.markers("a"), from_ref(&second));
    queue.mark(first.clone(), &[]);
    queue.unmark("a", &[second]);
    assert_eq!(queue.places_due(NOW), [("a".to_owned(), 0)], "one is left");
    queue.keep(|destination| destination == "a");
    assert_eq!(queue.markers("a"), [first]);
    queue.keep(|_| false);
    assert_eq!(queue.places_due(NOW), []);
    let later = Announced { at: NOW.after(SECOND), ..due("a", 0) };
    queue.recall("a", NOW.after(SECOND), SECOND);
    queue.mark(later, &[]);
    assert_eq!(queue.places_due(NOW), []);
    assert_eq!(queue.next_end(NOW), Some(NOW.after(SECOND)));
    assert_eq!(queue.reviews_due(NOW, NOW), ["a"]);
    assert_eq!(queue.reviews_due(NOW, NOW), Vec::<String>::new());
    assert_eq!(queue.places_due(NOW.after(SECOND)), [("a".to_owned(), 0)]);
}

#[test]
fn a_destination_that_has_had_enough_for_now_waits_and_slows_down() {
    let mut queue = queue();
    let pace = Pace::of(60);
    (0..4).for_each(|n| assert_eq!(queue.add(due("a", n), NOW), Added::Here));
    assert!(queue.start(NOW).is_some());
    for n in 0..6 {
        queue.add(due("a", n), NOW);
        let taken = queue.take("a", NOW, pace).unwrap();
        queue.done(&taken.item);
    }
    queue.add(due("a", 9), NOW);
    assert_eq!(queue.take("a", NOW, pace), None);
    let turn = queue.pause("a", NOW);
    assert_eq!((turn, queue.next_start(NOW)), (Some(NOW.after(SECOND)), turn));
    queue.ended("a");
    assert_eq!(queue.start(NOW), None, "not its turn");
    queue.refund("a", pace);
    assert!(queue.start(NOW).is_some());
    assert!(queue.take("a", NOW, pace).is_some());
    (10..14).for_each(|n| assert_eq!(queue.add(due("a", n), NOW), Added::Here));
    queue.slow("a");
    assert_eq!(queue.start(NOW.after(SECOND * 9)), None, "one connection is open");
}
