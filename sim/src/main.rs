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
mod office;
mod people;
mod play;
mod rows;

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
    /// Print every call of one seed with its outcome.
    #[arg(long)]
    trace: bool,
    /// Play every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        let outcome = play::seed(arguments.first, true);
        print!("{}", outcome.trace);
        return report(arguments.first, &outcome.wrong);
    }
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first + arguments.seeds;
    let red = Mutex::new(Vec::new());
    let sums = Mutex::new(play::Counts::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let mut outcome = play::seed(seed, arguments.twice);
                    if arguments.twice && play::seed(seed, true).trace != outcome.trace {
                        outcome.wrong.push("the same seed gave another trace".to_owned());
                    }
                    if let Ok(mut sums) = sums.lock() {
                        sums.add(&outcome.counts);
                    }
                    if !outcome.wrong.is_empty()
                        && let Ok(mut red) = red.lock()
                    {
                        red.push((seed, outcome.wrong));
                    }
                }
            });
        }
    });
    let mut red = red.into_inner().unwrap_or_default();
    red.sort();
    println!(
        "{} seeds, {} red: {}",
        arguments.seeds,
        red.len(),
        sums.into_inner().unwrap_or_default()
    );
    let worst = red.iter().take(10).map(|(seed, wrong)| report(*seed, wrong)).next_back();
    worst.unwrap_or(ExitCode::SUCCESS)
}

fn report(seed: u64, wrong: &[String]) -> ExitCode {
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    let first = wrong.first().map_or("", String::as_str);
    eprintln!("seed {seed} is red ({}): {first}", wrong.len());
    for more in wrong.iter().skip(1).take(5) {
        eprintln!("    {more}");
    }
    eprintln!("    replay: cargo xtask sim --first {seed} --trace");
    ExitCode::FAILURE
}
