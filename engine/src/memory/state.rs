//! What a world holds, and the effects of single operations on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use mail::Timestamp;
use tokio::sync::broadcast;

use super::faults::{Ending, Faults};
use crate::condition::{Verdict, check_op, judge};
use crate::dice::Dice;
use crate::events::Told;
use crate::tasks::Pulse;
use crate::{Checksum, Key, ObjectKey, Op, Put, Row, WriteError};

/// Events that a slow listener may be behind before it is told that it lost some.
const EVENTS_WAITING_MAX: usize = 1_024;

/// Expired rows removed by one write, at most.
const SWEPT_AT_ONCE: usize = 4;

/// Writes that a lying store has answered and not yet made safe; those before them are safe.
const LIES_MAX: usize = 64;

/// Told every line of the trace.
type Trace = Box<dyn FnMut(&str) + Send>;

/// Told everything that comes to be or goes.
type Observer = Box<dyn FnMut(&Seen<'_>) + Send>;

/// What an effect made of what is stored: told to [`World::observe`](super::World::observe).
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A row.
    Row {
        /// Its key.
        key: &'a Key,
        /// What it is now; `None`: it was deleted, or has expired.
        now: Option<&'a Row>,
    },
    /// An object.
    Object {
        /// Its key.
        key: &'a ObjectKey,
        /// What it is now; `None`: it was deleted.
        now: Option<&'a Bytes>,
    },
}

pub(crate) struct State {
    pub(super) objects: BTreeMap<ObjectKey, Bytes>,
    object_bytes: u64,
    pub(super) ballast_released: bool,
    pub(super) rows: BTreeMap<Key, Row>,
    /// What was under a key before its last write: what an eventual read may still see.
    before: BTreeMap<Key, Option<Row>>,
    expiring: BTreeSet<(Timestamp, Key)>,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) script: VecDeque<Ending>,
    pub(super) cut: BTreeSet<String>,
    /// Until when, in time since the world began, the calls of a process hang.
    pub(super) stalled: BTreeMap<String, Duration>,
    /// After which call of a process its calls begin to hang, and for how long.
    pub(super) traps: BTreeMap<String, (&'static str, Duration)>,
    pub(super) skew_ms: i64,
    /// Answers are given before the write is safe: it is kept how to undo it.
    pub(super) lying: bool,
    lies: VecDeque<Lie>,
    pub(super) trace: Option<Trace>,
    pub(super) observer: Option<Observer>,
    pub(super) calls: u64,
    seed: u64,
    admitted: u64,
    /// Of all that were admitted, by number.
    pulses: BTreeMap<u64, Pulse>,
    pub(super) listeners: Vec<(String, Weak<broadcast::Sender<Told>>)>,
}

/// What a power cut brings back.
enum Lie {
    Object(ObjectKey, Option<Bytes>),
    Row(Key, Option<Row>),
}

/// The store is full.
#[derive(Debug, thiserror::Error)]
#[error("{wanted} bytes do not fit in the {free} left")]
struct NoRoom {
    wanted: u64,
    free: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            object_bytes: 0,
            ballast_released: false,
            rows: BTreeMap::new(),
            before: BTreeMap::new(),
            expiring: BTreeSet::new(),
            dice: Dice::new(seed),
            faults: Faults::default(),
            script: VecDeque::new(),
            cut: BTreeSet::new(),
            stalled: BTreeMap::new(),
            traps: BTreeMap::new(),
            skew_ms: 0,
            lying: false,
            lies: VecDeque::new(),
            trace: None,
            observer: None,
            calls: 0,
            seed,
            admitted: 0,
            pulses: BTreeMap::new(),
            listeners: Vec::new(),
        }
    }

    /// A process starts: the seed of its random bytes, and where it hears of events.
    pub(super) fn admit(
        &mut self,
        name: &str,
        pulse: Pulse,
    ) -> (u64, Arc<broadcast::Sender<Told>>, u64) {
        self.admitted += 1;
        self.stalled.remove(name);
        self.traps.remove(name);
        let mut dice = Dice::new(self.seed ^ 0x70_6f_73_74);
        // Mixed before the name comes in, or short names of neighbours give the same numbers.
        let mut seed = Dice::new(dice.next().wrapping_add(self.admitted)).next();
        for byte in name.bytes() {
            seed = Dice::new(seed ^ u64::from(byte)).next();
        }
        let events = Arc::new(broadcast::Sender::new(EVENTS_WAITING_MAX));
        self.listeners.retain(|(_, listener)| listener.strong_count() > 0);
        self.listeners.push((name.into(), Arc::downgrade(&events)));
        self.pulses.insert(self.admitted, pulse);
        (seed, events, self.admitted)
    }

    /// Whether a process was started, and has crashed.
    pub(super) fn is_dead(&self, process: u64) -> bool {
        self.pulses.get(&process).is_some_and(Pulse::is_over)
    }

    pub(super) fn line(&mut self, at: Duration, text: &str) {
        if let Some(trace) = &mut self.trace {
            trace(&format!("{:>10}.{:03} {text}", at.as_millis(), at.as_micros() % 1_000));
        }
    }

    /// Free bytes of `capacity`, of which `ballast` are kept back until released.
    pub(super) fn free(&self, capacity: u64, ballast: u64) -> u64 {
        let kept = if self.ballast_released { 0 } else { ballast };
        capacity.saturating_sub(kept).saturating_sub(self.object_bytes)
    }

    /// As [`Self::free`], the ballast's share not counted even while it is released.
    pub(super) fn free_for_mail(&self, capacity: u64, ballast: u64) -> u64 {
        capacity.saturating_sub(ballast).saturating_sub(self.object_bytes)
    }

    pub(super) fn put_object(
        &mut self,
        key: &ObjectKey,
        bytes: &Bytes,
        room: Option<(u64, u64)>,
    ) -> Result<Put, WriteError> {
        if let Some(there) = self.objects.get(key) {
            return Ok(Put::Exists(Checksum::of(std::slice::from_ref(there))));
        }
        let wanted = bytes.len() as u64;
        if let Some((capacity, ballast)) = room {
            let free = self.free(capacity, ballast);
            if wanted > free {
                return Err(WriteError::Full(NoRoom { wanted, free }.into()));
            }
        }
        self.replace_object(key, Some(bytes.clone()));
        Ok(Put::Stored)
    }

    pub(super) fn delete_object(&mut self, key: &ObjectKey) {
        self.replace_object(key, None);
    }

    fn replace_object(&mut self, key: &ObjectKey, bytes: Option<Bytes>) {
        self.object_bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let old = match bytes {
            Some(bytes) => self.objects.insert(key.clone(), bytes),
            None => self.objects.remove(key),
        };
        self.object_bytes -= old.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if let Some(observer) = &mut self.observer {
            observer(&Seen::Object { key, now: self.objects.get(key) });
        }
        self.lie(Lie::Object(key.clone(), old));
    }

    fn lie(&mut self, lie: Lie) {
        if self.lying {
            self.lies.push_back(lie);
            if self.lies.len() > LIES_MAX {
                self.lies.pop_front();
            }
        }
    }

    /// Takes back, the last first, all that was done while lying.
    pub(super) fn undo_lies(&mut self) {
        let lying = std::mem::take(&mut self.lying);
        while let Some(lie) = self.lies.pop_back() {
            match lie {
                Lie::Object(key, old) => self.replace_object(&key, old),
                Lie::Row(key, old) => self.replace(&key, old),
            }
        }
        self.lying = lying;
    }

    /// One operation on a row, now.
    pub(super) fn operate(&mut self, op: &Op, now: Timestamp) -> Result<(), WriteError> {
        check_op(op)?;
        self.sweep(now);
        let found = self.rows.get(op.key()).map(|row| (row.version, row.nonce));
        match judge(found, op.expect(), op.own()) {
            Verdict::Already => return Ok(()),
            Verdict::Conflict => return Err(WriteError::Conflict),
            Verdict::Go => {}
        }
        match op {
            Op::Check { .. } => {}
            Op::Put { key, row, .. } => self.replace(key, Some(row.clone())),
            Op::Delete { key, .. } => self.replace(key, None),
        }
        Ok(())
    }

    fn replace(&mut self, key: &Key, row: Option<Row>) {
        if let Some(expiry) = row.as_ref().and_then(|row| row.expiry) {
            self.expiring.insert((expiry, key.clone()));
        }
        let old = match row {
            Some(row) => self.rows.insert(key.clone(), row),
            None => self.rows.remove(key),
        };
        if let Some(expiry) = old.as_ref().and_then(|row| row.expiry) {
            let kept = self.rows.get(key).and_then(|row| row.expiry) == Some(expiry);
            if !kept {
                self.expiring.remove(&(expiry, key.clone()));
            }
        }
        if let Some(observer) = &mut self.observer {
            observer(&Seen::Row { key, now: self.rows.get(key) });
        }
        self.lie(Lie::Row(key.clone(), old.clone()));
        self.before.insert(key.clone(), old);
    }

    /// Removes a few rows past their expiry.
    fn sweep(&mut self, now: Timestamp) {
        for _ in 0..SWEPT_AT_ONCE {
            match self.expiring.first() {
                Some((expiry, key)) if *expiry < now => {
                    let key = key.clone();
                    self.replace(&key, None);
                }
                _ => return,
            }
        }
    }

    /// The row, or, `stale`, the one before it.
    pub(super) fn row(&self, key: &Key, stale: bool) -> Option<Row> {
        match self.before.get(key) {
            Some(before) if stale => before.clone(),
            _ => self.rows.get(key).cloned(),
        }
    }
}
