//! What waits to be sent, by destination: who is next, how many connections each may have, and which
//! destinations are left alone for a while. Pure: no I/O, no clock.
//!
//! Fair by turns: destinations with something to do are taken one after the other, so a busy one
//! delays no other. A destination that does not answer is held, and begins again with one
//! connection (H9). Bounded: what has no room here waits in its due row (I8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::pace::{Pace, Paced};
use mail::Timestamp;
use store::Announced;
use store::rows::ItemKey;

#[cfg(test)]
mod tests;

/// Connections that a destination may have at once before anything is known of it.
const ALLOWED_FIRST: usize = 4;

/// Items that are remembered as not to be done now.
const LATER_MAX: usize = 20_000;

/// Markers of one destination that are remembered; there is more than one only for a moment.
const MARKERS_MAX: usize = 16;

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) per_destination: usize,
    pub(super) waiting: usize,
    pub(super) waiting_all: usize,
}

/// Where an item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits here, or is being worked on.
    Here,
    /// Its destination is held, or has too many: it belongs at the destination's own place.
    Aside,
    /// There is no room at all: its due row brings it again.
    NoRoom,
}

/// A destination.
#[derive(Debug)]
struct Destination {
    waiting: VecDeque<Announced>,
    /// Connections.
    active: usize,
    /// Connections that it may have: grows with what is taken (slow start).
    allowed: usize,
    /// Left alone until then.
    held: Option<Timestamp>,
    /// How long it was held last; zero when it answers.
    hold: Duration,
    /// Its markers, as last seen: due rows lie at its own place. Some may have gone since.
    markers: Vec<Announced>,
    /// Whether its own place is to be looked at.
    look: bool,
    /// How many messages it had of late.
    paced: Paced,
    /// When its items are looked at for age.
    reviewed: Timestamp,
}

impl Default for Destination {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            active: 0,
            allowed: ALLOWED_FIRST,
            held: None,
            hold: Duration::ZERO,
            markers: Vec::new(),
            look: false,
            paced: Paced::default(),
            reviewed: Timestamp(0),
        }
    }
}

impl Destination {
    fn is_held(&self, now: Timestamp) -> bool {
        self.held.is_some_and(|until| until > now)
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.active == 0
            && self.markers.is_empty()
            && self.held.is_none()
            && self.paced == Paced::default()
    }
}

/// All destinations of one relay.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    destinations: BTreeMap<String, Destination>,
    /// Waiting or being worked on.
    known: BTreeSet<ItemKey>,
    /// Found not to be done now, and not looked at again before: what has another's lease, say.
    later: BTreeMap<ItemKey, Timestamp>,
    waiting: usize,
    active: usize,
    /// The destination that had its turn last.
    last: String,
    /// Something found no room since a connection ended last.
    turned_away: bool,
}

impl Queue {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            destinations: BTreeMap::new(),
            known: BTreeSet::new(),
            later: BTreeMap::new(),
            waiting: 0,
            active: 0,
            last: String::new(),
            turned_away: false,
        }
    }

    /// An item that is due. One that lies at its destination's own place already is not put there
    /// again.
    pub(super) fn add(&mut self, due: Announced, now: Timestamp) -> Added {
        if self.known.contains(&due.item) {
            return Added::Here;
        }
        match self.later.get(&due.item) {
            Some(until) if *until > now => return Added::Here,
            Some(_) => {
                self.later.remove(&due.item);
            }
            None => {}
        }
        let from_own = matches!(due.place, store::rows::DuePlace::Own(_));
        let of = self.destinations.entry(due.item.destination.clone()).or_default();
        if of.is_held(now) || of.waiting.len() >= self.bounds.waiting {
            return if from_own { Added::NoRoom } else { Added::Aside };
        }
        if self.waiting >= self.bounds.waiting_all {
            self.turned_away = true;
            return Added::NoRoom;
        }
        self.known.insert(due.item.clone());
        of.waiting.push_back(due);
        self.waiting += 1;
        Added::Here
    }

    /// The next destination to open a connection to; it counts as open.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<String> {
        if self.active >= self.bounds.connections {
            return None;
        }
        let most = self.bounds.per_destination;
        let ready = |of: &Destination| {
            !of.is_held(now)
                && of.active < of.allowed.min(most)
                && of.waiting.len() > of.active
                && of.paced.wait(now).is_none()
        };
        let behind = self.destinations.range::<String, _>((
            std::ops::Bound::Excluded(&self.last),
            std::ops::Bound::Unbounded,
        ));
        let mut all = behind.chain(self.destinations.iter());
        let name = all.find(|(_, of)| ready(of)).map(|(name, _)| name.clone())?;
        if let Some(of) = self.destinations.get_mut(&name) {
            of.active += 1;
            if of.held.take().is_some() {
                // Half open: what was held begins anew.
                of.allowed = 1;
            }
        }
        self.active += 1;
        self.last.clone_from(&name);
        Some(name)
    }

    /// The next item of a destination, for one of its connections; it counts as sent.
    pub(super) fn take(
        &mut self,
        destination: &str,
        now: Timestamp,
        pace: Option<Pace>,
    ) -> Option<Announced> {
        let of = self.destinations.get_mut(destination)?;
        if of.is_held(now) || of.active > of.allowed.max(1) || of.paced.wait(now).is_some() {
            return None;
        }
        let due = of.waiting.pop_front()?;
        if let Some(pace) = pace {
            of.paced.spend(pace, now);
        }
        self.waiting -= 1;
        Some(due)
    }

    /// An item that was taken was not sent.
    pub(super) fn refund(&mut self, destination: &str, pace: Option<Pace>) {
        if let Some((of, pace)) = self.destinations.get_mut(destination).zip(pace) {
            of.paced.refund(pace);
        }
    }

    /// Until when nothing may go to a destination that something waits for.
    pub(super) fn pause(&self, destination: &str, now: Timestamp) -> Option<Timestamp> {
        let of = self.destinations.get(destination)?;
        of.paced.wait(now).filter(|_| !of.waiting.is_empty() && !of.is_held(now))
    }

    /// When something may go that waits for nothing but its turn.
    pub(super) fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.destinations.values().filter(|of| !of.waiting.is_empty());
        waiting.filter(|of| !of.is_held(now)).filter_map(|of| of.paced.wait(now)).min()
    }

    /// It said that too much came: it begins anew with one connection, through whichever egress.
    pub(super) fn slow(&mut self, destination: &str) {
        if let Some(of) = self.destinations.get_mut(destination) {
            of.allowed = 1;
        }
    }

    /// An item is not worked on any more.
    pub(super) fn done(&mut self, item: &ItemKey) {
        self.known.remove(item);
    }

    /// An item is not to be done now; its due row brings it again after `until`.
    pub(super) fn put_off(&mut self, item: &ItemKey, now: Timestamp, until: Timestamp) {
        self.known.remove(item);
        if self.later.len() >= LATER_MAX {
            self.later.retain(|_, until| *until > now);
        }
        if self.later.len() < LATER_MAX {
            self.later.insert(item.clone(), until);
        }
    }

    /// A connection has ended.
    ///
    /// Whether due rows are to be looked at: the destination has a place of its own, or some found
    /// no room.
    pub(super) fn ended(&mut self, destination: &str) -> bool {
        self.active = self.active.saturating_sub(1);
        let mut look = std::mem::take(&mut self.turned_away);
        if let Some(of) = self.destinations.get_mut(destination) {
            of.active = of.active.saturating_sub(1);
            of.look |= !of.markers.is_empty();
            look |= of.look;
            if of.is_idle() {
                self.destinations.remove(destination);
            }
        }
        look
    }

    /// A message was taken: one more connection may be open; whether there was a hold.
    pub(super) fn succeeded(&mut self, destination: &str) -> bool {
        let most = self.bounds.per_destination;
        let Some(of) = self.destinations.get_mut(destination) else { return false };
        of.allowed = (of.allowed + 1).min(most);
        !std::mem::take(&mut of.hold).is_zero()
    }

    /// It does not answer: held for twice as long as before, within these. Until when; what waited
    /// here belongs at its own place. `None` if it is held already.
    pub(super) fn hold(
        &mut self,
        destination: &str,
        now: Timestamp,
        (first, longest): (Duration, Duration),
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Option<(Timestamp, Vec<Announced>)> {
        let of = self.destinations.entry(destination.to_owned()).or_default();
        if of.is_held(now) {
            return None;
        }
        of.hold = (of.hold * 2).clamp(first, longest.max(first));
        let until = now.after(jitter(of.hold));
        of.held = Some(until);
        of.allowed = 1;
        let waited: Vec<Announced> = of.waiting.drain(..).collect();
        self.waiting -= waited.len();
        for due in &waited {
            self.known.remove(&due.item);
        }
        Some((until, waited))
    }

    /// Held since before this process began.
    pub(super) fn recall(&mut self, destination: &str, until: Timestamp, hold: Duration) {
        let of = self.destinations.entry(destination.to_owned()).or_default();
        of.held = Some(until);
        of.hold = hold;
        of.allowed = 1;
    }

    /// Whether a destination is held, and until when.
    pub(super) fn held(&self, destination: &str, now: Timestamp) -> Option<Timestamp> {
        let of = self.destinations.get(destination)?;
        of.held.filter(|until| *until > now)
    }

    /// Notes a marker of a destination that was seen, or put in place of those that are `gone`.
    pub(super) fn mark(&mut self, marker: Announced, gone: &[Announced]) {
        let of = self.destinations.entry(marker.item.destination.clone()).or_default();
        of.markers.retain(|one| !gone.contains(one));
        of.look = true;
        // What has no room here is seen again when those here have gone.
        if !of.markers.contains(&marker) && of.markers.len() < MARKERS_MAX {
            of.markers.push(marker);
        }
    }

    /// Notes that these markers of a destination have gone.
    pub(super) fn unmark(&mut self, destination: &str, gone: &[Announced]) {
        let Some(of) = self.destinations.get_mut(destination) else { return };
        of.markers.retain(|one| !gone.contains(one));
        of.look = !of.markers.is_empty();
        if of.is_idle() {
            self.destinations.remove(destination);
        }
    }

    /// The markers of a destination.
    pub(super) fn markers(&self, destination: &str) -> Vec<Announced> {
        self.destinations.get(destination).map(|of| of.markers.clone()).unwrap_or_default()
    }

    /// Forgets the markers of destinations that are somebody else's now [g].
    pub(super) fn keep(&mut self, is_ours: impl Fn(&str) -> bool) {
        self.destinations.retain(|name, of| {
            if !of.markers.is_empty() && !is_ours(name) {
                of.markers.clear();
                of.look = false;
            }
            !of.is_idle()
        });
    }

    /// Destinations whose own place is to be looked at: not held, and with room for more; with how
    /// many of theirs are here.
    pub(super) fn places_due(&mut self, now: Timestamp) -> Vec<(String, usize)> {
        let low = self.bounds.waiting / 2;
        let mut all = Vec::new();
        // What was held alone, and is over, is remembered by its row.
        self.destinations.retain(|_, of| {
            let over = !of.is_held(now) && of.paced.wait(now).is_none();
            !(over && of.waiting.is_empty() && of.active == 0 && of.markers.is_empty())
        });
        for (name, of) in &mut self.destinations {
            let due = of.markers.iter().any(|marker| marker.at <= now) || of.look;
            if due && !of.markers.is_empty() && !of.is_held(now) && of.waiting.len() <= low {
                of.look = false;
                all.push((name.clone(), of.waiting.len() + of.active));
            }
        }
        all
    }

    /// Held destinations whose items were not looked at for age since `before`; they are now.
    pub(super) fn reviews_due(&mut self, now: Timestamp, before: Timestamp) -> Vec<String> {
        let mut all = Vec::new();
        for (name, of) in &mut self.destinations {
            if !of.markers.is_empty() && of.is_held(now) && of.reviewed < before {
                of.reviewed = now;
                all.push(name.clone());
            }
        }
        all
    }

    /// When the first hold ends.
    pub(super) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.destinations.values().filter_map(|of| of.held.filter(|until| *until > now)).min()
    }

    /// Connections open, and items waiting here.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.active, self.waiting)
    }
}
