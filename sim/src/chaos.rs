//! What befalls the office: crashes, processes cut off, clocks that jump, an alias that moves.

use std::time::Duration;

use engine::memory::World;
use store::rows::{AddressRow, DirectoryChange};

use crate::dice::Dice;
use crate::known::Known;
use crate::office::{Office, PROCESSES};
use crate::people::{self, ACCOUNTS, ALIAS};

/// How long the hostile phase lasts, in virtual time.
const HOSTILE: Duration = Duration::from_secs(90);

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
    }
}

/// Plays the hostile phase.
pub(crate) async fn reign(office: &mut Office, seed: u64, known: &Known) {
    let mut dice = Dice::new(seed, "chaos");
    let world = office.world().clone();
    let clock = world.process("chaos").clock;
    let end = clock.instant().after(HOSTILE);
    let mut life = 0;
    while clock.instant() < end {
        clock.sleep(dice.millis(100, 3_000)).await;
        crate::rows::watch(&world, known);
        life += 1;
        let Some(&(name, _)) = dice.one_of(&PROCESSES) else { continue };
        match dice.below(10) {
            0..=4 => {
                office.crash(name);
                clock.sleep(dice.millis(0, 2_000)).await;
                start(office, name, seed, life, known);
            }
            5 => cut_off(&world, name, &mut dice).await,
            6 => world.jump(i64::try_from(dice.below(7_200_000)).unwrap_or(0) - 3_600_000),
            _ => move_alias(office, &mut dice).await,
        }
    }
}

async fn cut_off(world: &World, name: &str, dice: &mut Dice) {
    world.cut(name, true);
    let clock = world.process("chaos").clock;
    clock.sleep(dice.millis(200, 5_000)).await;
    world.cut(name, false);
}

/// The alias goes to the other account, mail for it under way or not [H].
async fn move_alias(office: &Office, dice: &mut Dice) {
    let Some(store) = office.store("edge-1") else { return };
    let Some(name) = dice.one_of(&ACCOUNTS) else { return };
    let row = AddressRow::Alias(vec![people::address(name)]);
    let change = DirectoryChange::Address(people::address(ALIAS), row);
    // Whatever becomes of it: mail for the alias comes to one of the two, once.
    let clock = store.engines().clock.clone();
    let moved = store.directory().change(vec![change]);
    if let Ok(Err(error)) = clock.timeout(Duration::from_secs(5), moved).await {
        office.world().note(&format!("the alias stays: {error}"));
    }
}
