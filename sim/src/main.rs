//! Whole offices in one deterministic process, from a seed: the real store and the real functions
//! on in-memory engines that fail, forget, delay and repeat, while processes crash at every step.
//!
//! Time is virtual, chance is the seed's, one thread runs all: the same seed gives the same trace,
//! byte for byte. After a hostile phase everything heals, and the checker asks I1 to I6 and I11 of
//! what is left. A red seed prints the line that replays it.
#![expect(clippy::print_stdout, reason = "a command line tool: this is its output")]

mod chaos;
mod check;
mod dice;
mod known;
mod leftovers;
mod mood;
mod office;
mod people;
mod play;
mod sending;
mod states;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;

/// Plays seeds; ends with failure if one is red.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Play sending instead of mailboxes: relays and bounces before a scripted remote world.
    #[arg(long)]
    sending: bool,
    /// Print every call of one seed with its outcome.
    #[arg(long)]
    trace: bool,
    /// Play every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Judge only what is left in the end, not each transition on the way: what a rule's absence
    /// does to people.
    #[arg(long)]
    ends_only: bool,
    /// End with the first seed that is red.
    #[arg(long)]
    until_red: bool,
    /// How many seeds are played at the same time; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<usize>,
}

impl Arguments {
    const fn game(&self) -> Game {
        if self.sending { Game::Sending } else { Game::Mailboxes { steps: !self.ends_only } }
    }
}

/// What is played.
#[derive(Clone, Copy)]
enum Game {
    /// Accept, deliver, read, flag, expunge, compact; `steps`: each transition of a row is judged.
    Mailboxes { steps: bool },
    /// Relays and bounces before a scripted remote world.
    Sending,
}

impl Game {
    fn play(self, seed: u64, traced: bool) -> play::Outcome {
        match self {
            Self::Mailboxes { steps } => play::seed(seed, traced, steps),
            Self::Sending => sending::seed(seed, traced),
        }
    }
}

/// Red seeds, with what is wrong in each.
type Red = Vec<(u64, Vec<String>)>;

/// Red seeds told in full.
const TOLD_MAX: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        let outcome = arguments.game().play(arguments.first, true);
        print!("{}", outcome.trace);
        return end(&[(arguments.first, outcome.wrong)]);
    }
    let (red, counts) = play_all(&arguments);
    println!("{} seeds, {} red: {counts}", arguments.seeds, red.len());
    end(&red)
}

fn play_all(arguments: &Arguments) -> (Red, play::Counts) {
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first.saturating_add(arguments.seeds);
    let red = Mutex::new(Red::new());
    let sums = Mutex::new(play::Counts::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = play_one(arguments.game(), seed, arguments.twice);
                    if let Ok(mut sums) = sums.lock() {
                        sums.add(&outcome.counts);
                    }
                    if outcome.wrong.is_empty() {
                        continue;
                    }
                    if let Ok(mut red) = red.lock() {
                        red.push((seed, outcome.wrong));
                    }
                    if arguments.until_red {
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut red = red.into_inner().unwrap_or_default();
    red.sort();
    (red, sums.into_inner().unwrap_or_default())
}

/// Plays a seed; `twice`: and again, which must give the same trace, byte for byte.
fn play_one(game: Game, seed: u64, twice: bool) -> play::Outcome {
    let mut outcome = game.play(seed, twice);
    if twice && game.play(seed, true).trace != outcome.trace {
        outcome.wrong.push("the same seed gave another trace".to_owned());
    }
    outcome
}

/// Tells what is red; success if nothing is.
fn end(red: &[(u64, Vec<String>)]) -> ExitCode {
    let told: Vec<String> =
        red.iter().take(TOLD_MAX).filter_map(|(seed, wrong)| report(*seed, wrong)).collect();
    told.iter().for_each(|told| eprintln!("{told}"));
    if told.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is told of a red seed: the first things that are wrong, and the line that replays it.
fn report(seed: u64, wrong: &[String]) -> Option<String> {
    let (first, more) = wrong.split_first()?;
    let mut told = format!("seed {seed} is red ({}): {first}", wrong.len());
    for more in more.iter().take(5) {
        told.push_str(&format!("\n    {more}"));
    }
    told.push_str(&format!("\n    replay: cargo xtask sim --first {seed} --trace"));
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_trace_twice_byte_for_byte() {
        for seed in 0..3 {
            let outcome = play_one(Game::Mailboxes { steps: true }, seed, true);
            assert!(outcome.trace.lines().count() > 1_000, "seed {seed} does next to nothing");
            assert_eq!(outcome.wrong, Vec::<String>::new(), "seed {seed}");
        }
        assert_ne!(play::seed(0, true, true).trace, play::seed(1, true, true).trace);
    }

    #[test]
    fn sending_is_green_and_the_same_twice() {
        for seed in 0..2 {
            let outcome = play_one(Game::Sending, seed, true);
            assert!(outcome.trace.lines().count() > 1_000, "seed {seed} does next to nothing");
            assert_eq!(outcome.wrong, Vec::<String>::new(), "seed {seed}");
        }
    }

    #[test]
    fn a_red_seed_is_told_with_the_line_that_replays_it() {
        let wrong = ["I1: lost it".to_owned(), "I6: doubled it".to_owned()];
        let told = report(7, &wrong).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "seed 7 is red (2): I1: lost it",
                "    I6: doubled it",
                "    replay: cargo xtask sim --first 7 --trace",
            ]
        );
        assert_eq!(report(7, &[]), None);
        assert_eq!(end(&[(7, wrong.to_vec())]), ExitCode::FAILURE);
        assert_eq!(end(&[]), ExitCode::SUCCESS);
    }
}
