//! One run from a seed: set up, hostile phase, healing, judgement.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use engine::memory::{Faults, Options, World};
use mail::Domain;
use store::rows::{AccountRow, AddressRow, DirectoryChange, DomainRow};
use tests::ledger::Fate;

use crate::chaos;
use crate::check;
use crate::known::Known;
use crate::mood::Mood;
use crate::office::{Office, PROCESSES};
use crate::people::{self, ACCOUNTS, ALIAS, DOMAIN};
use crate::states;

/// How far the store's clock is set forward when all heals: more than it can have gone back.
const HEALED_AHEAD_MS: i64 = 24 * 3_600_000;

/// Store calls of one run; far more than any run needs that comes to rest (I8).
const CALLS_MAX: u64 = 200_000;

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    acknowledged: usize,
    unknown: usize,
    refused: usize,
    expunged: usize,
    steps: u64,
}

impl Counts {
    /// Of a run of sending.
    pub(crate) fn of_sending(sent: &[Fate], steps: u64) -> Self {
        let count = |fate| sent.iter().filter(|known| **known == fate).count();
        Self {
            acknowledged: count(Fate::Acknowledged),
            unknown: count(Fate::Unknown),
            refused: count(Fate::Refused),
            expunged: 0,
            steps,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.expunged += other.expunged;
        self.steps += other.steps;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} acknowledged, {} unknown, {} refused, {} expunged, {} store calls",
            self.acknowledged, self.unknown, self.refused, self.expunged, self.steps
        )
    }
}

/// A run's end.
pub(crate) struct Outcome {
    /// What is wrong; nothing if all is well.
    pub(crate) wrong: Vec<String>,
    /// Every call with its outcome, if asked for.
    pub(crate) trace: String,
    pub(crate) counts: Counts,
}

/// Plays a seed. `steps`: each transition of a row is judged, not only the end.
pub(crate) fn seed(seed: u64, traced: bool, steps: bool) -> Outcome {
    let trace = Arc::new(Mutex::new(String::new()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else {
        return Outcome {
            wrong: vec!["no runtime".to_owned()],
            trace: String::new(),
            counts: Counts::default(),
        };
    };
    let lines = trace.clone();
    let known = Known::default();
    let steps = runtime.block_on(async {
        let world = World::new(Options {
            seed,
            puts_in_flight: 1 + usize::from(seed % 2 == 1) * 3,
            calls_max: CALLS_MAX,
            ..Options::default()
        });
        if traced {
            world.trace(move |line| {
                if let Ok(mut lines) = lines.lock() {
                    // A String takes what is written to it.
                    writeln!(lines, "{line}").ok();
                }
            });
        }
        if steps {
            states::watch(&world, &known);
        }
        run(world.clone(), seed, &known).await;
        if world.calls() > CALLS_MAX {
            known.wrong(format!("I8: no rest after {CALLS_MAX} store calls"));
        }
        world.calls()
    });
    let trace = trace.lock().map_or_else(|_| String::new(), |mut trace| std::mem::take(&mut trace));
    let mut facts = known.facts();
    let counts = Counts {
        acknowledged: facts.ledger.count(Fate::Acknowledged),
        unknown: facts.ledger.count(Fate::Unknown),
        refused: facts.ledger.count(Fate::Refused),
        expunged: facts.gone.len(),
        steps,
    };
    Outcome { wrong: std::mem::take(&mut facts.wrong), trace, counts }
}

async fn run(world: World, seed: u64, known: &Known) {
    let mut office = Office::new(world.clone(), Mood::of(seed));
    if let Err(error) = furnish(&mut office).await {
        known.wrong(format!("the directory could not be set up: {error}"));
        return;
    }
    for (name, _) in PROCESSES {
        chaos::start(&mut office, name, seed, 0, known);
    }
    chaos::reign(&mut office, seed, known).await;
    world.set_faults(Faults::default());
    // Whatever was put off by a clock that was ahead is due now (I10: it is late, not lost).
    world.jump(HEALED_AHEAD_MS);
    // People stop; processes start afresh and finish what is left.
    for (name, functions) in PROCESSES {
        world.cut(name, false);
        office.start(name, functions);
    }
    check::settled(&mut office, known).await;
}

/// A domain, two accounts, an alias.
async fn furnish(office: &mut Office) -> Result<(), store::directory::DirectoryError> {
    let (name, functions) = PROCESSES[0];
    let store = office.start(name, functions);
    let domain = Domain::parse(DOMAIN).expect("the simulation's domain is one");
    let mut changes = vec![DirectoryChange::Domain(domain, DomainRow::new())];
    for name in ACCOUNTS {
        let account = people::account(name);
        let row = AccountRow::new("home", account.epoch.0, people::address(name));
        changes.push(DirectoryChange::Account(account.id, Box::new(row)));
        let row = AddressRow::Account(account.id);
        changes.push(DirectoryChange::Address(people::address(name), row));
    }
    let row = AddressRow::Alias(vec![people::address(ACCOUNTS[0])]);
    changes.push(DirectoryChange::Address(people::address(ALIAS), row));
    store.directory().change(changes).await?;
    store.directory().apply_new().await.map(|_| ())
}
