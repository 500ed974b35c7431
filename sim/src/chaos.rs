//! What befalls the office: crashes, power cuts, processes that hang or are cut off, clocks that
//! jump, disks that are full, rows that cannot be read, events of long ago, an alias that moves.
//!
//! Each seed has its own mix of these: what would be rare among all of them is common in some.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use engine::memory::{Faults, World};
use engine::{Engines, Event, Key, ObjectKey, Row};
use mail::Instant;
use store::rows::{self, AddressRow, DirectoryChange};

use crate::dice::Dice;
use crate::known::Known;
use crate::office::{Office, PROCESSES};
use crate::people::{self, ACCOUNTS, ALIAS};

/// How long the hostile phase lasts, in virtual time.
const HOSTILE: Duration = Duration::from_secs(90);

/// When a process becomes a zombie: some mail has come, and there is time for much more.
const ZOMBIE: Duration = Duration::from_secs(6);

/// Keys of segments that are remembered, to speak of them again much later.
const REMEMBERED_MAX: usize = 400;

/// Processes that hang at the same time.
const HANGING_MAX: usize = 2;

/// A process that hung lives on for so long, to do the harm it can.
const SPARED: Duration = Duration::from_secs(5);

/// What may befall, with how often it does among the others.
const CALAMITIES: [(Calamity, usize); 10] = [
    (Calamity::Crash, 6),
    (Calamity::Stall, 8),
    (Calamity::CutOff, 3),
    (Calamity::Jump, 2),
    (Calamity::MoveAlias, 5),
    (Calamity::OldEvents, 5),
    (Calamity::Unreadable, 2),
    (Calamity::Full, 1),
    (Calamity::PowerCut, 1),
    (Calamity::NoUpkeep, 1),
];

#[derive(Clone, Copy)]
enum Calamity {
    Crash,
    Stall,
    CutOff,
    Jump,
    MoveAlias,
    OldEvents,
    Unreadable,
    Full,
    PowerCut,
    NoUpkeep,
}

/// After which calls a process begins to hang: between a look and the act that stands on it.
fn traps(name: &str) -> &'static [&'static str] {
    match name {
        "edge-1" => &[
            "objects.put ingest/",
            "objects.put big/",
            "objects.put acct/*/s/",
            "index.get l",
            "index.put l",
        ],
        // It accepts, and delivers too.
        "edge-2" => &[
            "objects.put ingest/",
            "objects.put acct/*/s/",
            "index.put c",
            "index.check",
            "index.get w",
        ],
        "deliver" => &[
            "index.get c",
            "objects.get_ranges ingest/",
            "index.put c",
            "index.check",
            "index.check",
            "index.get w",
            "index.get l",
            "index.put d",
        ],
        _ => &[
            "objects.put acct/*/s/",
            "objects.put acct/*/s/",
            "objects.put acct/",
            "objects.list acct/",
            "objects.list ingest/",
            "objects.delete acct/",
            "index.put l",
            "index.get w",
            "index.put c",
        ],
    }
}

/// How a calamity ends, when its time has come.
enum End {
    Start(&'static str),
    Connect(&'static str),
    /// The row can be read again.
    Mend(Key, Row),
    Room,
}

/// Starts a process with the people who use it.
pub(crate) fn start(
    office: &mut Office,
    name: &'static str,
    seed: u64,
    life: usize,
    known: &Known,
) {
    let Some((_, functions)) = PROCESSES.iter().find(|(known, _)| *known == name) else { return };
    let store = office.start(name, *functions);
    if !name.starts_with("edge") {
        return;
    }
    let tasks = store.engines().tasks.clone();
    for number in 0..2 {
        let dice = Dice::new(seed, &format!("sender {name} {life} {number}"));
        tasks.spawn("sender", people::sender(store.clone(), known.clone(), dice));
    }
    for owner in ACCOUNTS {
        let dice = Dice::new(seed, &format!("owner {name} {life} {owner}"));
        tasks.spawn("owner", people::owner(store.clone(), known.clone(), owner, dice));
        if office.mood().busy {
            let dice = Dice::new(seed, &format!("ticker {name} {life} {owner}"));
            tasks.spawn("ticker", people::ticker(store.clone(), owner, dice));
        }
    }
}

/// Plays the hostile phase, and ends all that it began.
pub(crate) async fn reign(office: &mut Office, seed: u64, known: &Known) {
    let mut chaos = Chaos::new(office, seed, known);
    let clock = chaos.engines.clock.clone();
    let over = clock.instant().after(HOSTILE);
    let mut zombie = Some(clock.instant().after(ZOMBIE)).filter(|_| chaos.office.mood().hangs);
    while clock.instant() < over {
        if zombie.is_some_and(|at| at <= clock.instant()) {
            zombie = None;
            chaos.make_zombie();
        }
        let next = clock.instant().after(chaos.dice.millis(100, 2_200));
        chaos.let_end(next).await;
        clock.sleep_until(next).await;
        chaos.remember();
        chaos.strike().await;
    }
    let ends = std::mem::take(&mut chaos.ends);
    ends.into_iter().for_each(|(_, end)| chaos.end(end));
}

struct Chaos<'a> {
    office: &'a mut Office,
    world: World,
    seed: u64,
    known: &'a Known,
    engines: Engines,
    dice: Dice,
    faults: Faults,
    weights: Vec<(Calamity, usize)>,
    ends: Vec<(Instant, End)>,
    /// Processes that hang, until when they are to live: a dead one is no zombie.
    spared: BTreeMap<&'static str, Instant>,
    old: BTreeSet<ObjectKey>,
    lives: usize,
}

impl<'a> Chaos<'a> {
    fn new(office: &'a mut Office, seed: u64, known: &'a Known) -> Self {
        let world = office.world().clone();
        let mut dice = Dice::new(seed, "chaos");
        let mood = office.mood();
        let often = |calamity, often| match calamity {
            // A process that crashes is no zombie.
            Calamity::PowerCut if mood.hangs => 0,
            _ => often,
        };
        let weights = CALAMITIES
            .map(|(calamity, weight)| (calamity, often(calamity, weight) * dice.below(4)));
        let mild = |dice: &mut Dice, most: u16| {
            u16::try_from(dice.below(usize::from(most))).unwrap_or_default()
        };
        let faults = Faults {
            failed: mild(&mut dice, 60),
            lost_done: mild(&mut dice, 50),
            lost_dropped: mild(&mut dice, 50),
            lost_late: mild(&mut dice, 40),
            late_max: Duration::from_secs(if mood.hangs { 80 } else { 20 }),
            read_failed: mild(&mut dice, 50),
            slow: mild(&mut dice, 300),
            slow_max: dice.millis(100, 1_500),
            ..Faults::hostile()
        };
        world.set_faults(faults.clone());
        Self {
            engines: world.process("chaos"),
            office,
            world,
            seed,
            known,
            dice,
            faults,
            weights: weights.to_vec(),
            ends: Vec::new(),
            spared: BTreeMap::new(),
            old: BTreeSet::new(),
            lives: 0,
        }
    }

    fn now(&self) -> Instant {
        self.engines.clock.instant()
    }

    fn later(&mut self, from_ms: u64, to_ms: u64, end: End) {
        let at = self.now().after(self.dice.millis(from_ms, to_ms));
        self.ends.push((at, end));
    }

    /// Ends what is to end before `until`, each at its time.
    async fn let_end(&mut self, until: Instant) {
        loop {
            let first = self.ends.iter().enumerate().min_by_key(|(_, (at, _))| *at);
            let Some((number, (at, _))) = first else { return };
            if *at > until {
                return;
            }
            let (number, at) = (number, *at);
            self.engines.clock.sleep_until(at).await;
            let (_, end) = self.ends.remove(number);
            self.end(end);
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Start(name) => {
                self.lives += 1;
                start(self.office, name, self.seed, self.lives, self.known);
            }
            End::Connect(name) => self.world.cut(name, false),
            End::Mend(key, row) => self.world.damage(&key, row.version, row.value),
            End::Room => self.world.set_faults(self.faults.clone()),
        }
    }

    fn is_spared(&self, name: &str) -> bool {
        self.spared.get(name).is_some_and(|until| *until >= self.now())
    }

    /// One process hangs from between two steps on while ages pass, and then goes on with what it
    /// knew before [D, E, G].
    fn make_zombie(&mut self) {
        let Some(&(name, _)) = self.dice.one_of(&PROCESSES) else { return };
        let Some(call) = self.dice.one_of(traps(name)) else { return };
        let time = self.dice.millis(45_000, 60_000);
        self.world.note(&format!("{name} will hang after {call}"));
        self.world.stall_after(name, call, time);
        // It may take a while until it makes that call.
        self.spared.insert(name, self.now().after(time + 3 * SPARED));
    }

    /// How many processes hang, or are to hang soon.
    fn hanging(&self) -> usize {
        let now = self.now().after(SPARED);
        self.spared.values().filter(|until| **until > now).count()
    }

    /// Notes which segments there are, to speak of them when they are long gone.
    fn remember(&mut self) {
        if self.old.len() < REMEMBERED_MAX {
            let keys = self.world.object_keys();
            self.old.extend(keys.into_iter().filter(|key| key.as_str().starts_with("ingest/")));
        }
    }

    async fn strike(&mut self) {
        let all: usize = self.weights.iter().map(|(_, often)| often).sum();
        let mut left = self.dice.below(all);
        let Some(&(calamity, _)) = self.weights.iter().find(|(_, often)| {
            let found = left < *often;
            left = left.saturating_sub(*often);
            found
        }) else {
            return;
        };
        let Some(&(name, _)) = self.dice.one_of(&PROCESSES) else { return };
        match calamity {
            Calamity::Crash if !self.is_spared(name) => {
                self.office.crash(name);
                self.later(0, 2_000, End::Start(name));
            }
            Calamity::Crash => {}
            // Somebody has to do what those who hang do not know of.
            Calamity::Stall if self.hanging() >= HANGING_MAX => {}
            Calamity::Stall => {
                let most = if self.office.mood().hangs { 45_000 } else { 30_000 };
                let time = self.dice.millis(1_000, most);
                match self.dice.one_of(traps(name)) {
                    Some(call) if self.dice.percent(70) => {
                        self.world.stall_after(name, call, time);
                    }
                    _ => self.world.stall(name, time),
                }
                self.spared.insert(name, self.now().after(time + SPARED));
            }
            Calamity::CutOff => {
                self.world.cut(name, true);
                self.later(200, 8_000, End::Connect(name));
            }
            Calamity::Jump => {
                let by = i64::try_from(self.dice.below(7_200_000)).unwrap_or_default();
                self.world.jump(by - 3_600_000);
            }
            Calamity::MoveAlias => self.move_alias().await,
            Calamity::OldEvents => self.tell_old_events(),
            Calamity::Unreadable => self.make_unreadable(),
            Calamity::Full => {
                self.world.set_faults(Faults { full: 500, ..self.faults.clone() });
                self.later(500, 5_000, End::Room);
            }
            Calamity::PowerCut => {
                for (name, _) in PROCESSES {
                    self.office.crash(name);
                    self.later(0, 1_000, End::Start(name));
                }
                self.world.power_cut();
            }
            Calamity::NoUpkeep => {
                for name in ["maintain-1", "maintain-2"] {
                    if self.is_spared(name) {
                        continue;
                    }
                    self.office.crash(name);
                    self.later(5_000, 30_000, End::Start(name));
                }
            }
        }
    }

    /// The alias goes to the other account, mail for it under way or not [H].
    async fn move_alias(&mut self) {
        let Some(store) = self.office.store("edge-1") else { return };
        let Some(name) = self.dice.one_of(&ACCOUNTS) else { return };
        let row = AddressRow::Alias(vec![people::address(name)]);
        let change = DirectoryChange::Address(people::address(ALIAS), row);
        // Whatever becomes of it: mail for the alias comes to one of the two, once.
        let moved = store.directory().change(vec![change]);
        let moved = self.engines.clock.timeout(Duration::from_secs(3), moved).await;
        if let Ok(Err(error)) = moved {
            self.world.note(&format!("the alias stays: {error}"));
        }
    }

    /// Events of long ago come again [E].
    fn tell_old_events(&mut self) {
        let old: Vec<ObjectKey> = self.old.iter().cloned().collect();
        for _ in 0..3 {
            if let Some(key) = self.dice.one_of(&old) {
                self.engines.events.publish(Event::Object(key.clone()));
            }
        }
    }

    /// An account cannot be opened for a while: its mail becomes local items [O].
    fn make_unreadable(&mut self) {
        let Some(name) = self.dice.one_of(&ACCOUNTS) else { return };
        let key = rows::pointer_key(people::account(name));
        let Some((key, row)) = self.world.rows().into_iter().find(|(at, _)| *at == key) else {
            return;
        };
        if row.value == UNREADABLE {
            return;
        }
        self.world.note(&format!("the log of {name} cannot be read"));
        self.world.damage(&key, row.version, UNREADABLE);
        self.later(1_000, 12_000, End::Mend(key, row));
    }
}

/// What is in a row that cannot be read.
const UNREADABLE: Bytes = Bytes::from_static(b"?");
