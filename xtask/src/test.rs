//! `cargo xtask test`: all checks, in the order in which they fail fastest.

use std::time::Instant;

use crate::command::{Failure, at_root, run};
use crate::{controls, install, tidy};

/// Seeds of the simulation that every run of the tests plays.
const SEEDS: &str = "500";
/// The same, of sending.
const SENDING_SEEDS: &str = "60";

/// One step of the tests: what it is called, and what it does.
type Check = (&'static str, fn() -> Result<(), Failure>);

/// Runs everything.
pub(crate) fn all() -> Result<(), Failure> {
    let checks: &[Check] = &[
        ("install", install::for_tests),
        ("fmt", || cargo(&["fmt", "--all", "--check"])),
        ("clippy", || {
            cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
        }),
        ("deny", || {
            cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])
        }),
        ("tidy", tidy::check),
        ("build", || cargo(&["build", "--workspace", "--bins", "--locked"])),
        ("unit", || cargo(&["test", "--workspace", "--exclude", "tests", "--locked"])),
        ("sim", || sim(&["--seeds".to_owned(), SEEDS.to_owned()])),
        ("sending", || sim(&["--sending", "--seeds", SENDING_SEEDS].map(str::to_owned))),
        ("controls", || controls::run(&[])),
        ("black box", || cargo(&["test", "--package", "tests", "--locked"])),
    ];
    let mut times = Vec::new();
    for (name, check) in checks {
        println!("== {name}");
        let start = now();
        let done = check();
        times.push((name, start.elapsed()));
        if let Err(error) = done {
            report(&times);
            return Err(format!("{name}: {error}").into());
        }
    }
    report(&times);
    Ok(())
}

/// Plays the simulation.
pub(crate) fn sim(arguments: &[String]) -> Result<(), Failure> {
    run(at_root("cargo", &["run", "-q", "--locked", "-p", "sim", "--"]).args(arguments))
}

fn cargo(arguments: &[&str]) -> Result<(), Failure> {
    run(&mut at_root("cargo", arguments))
}

#[expect(clippy::disallowed_methods, reason = "times of checks are for people only")]
fn now() -> Instant {
    Instant::now()
}

fn report(times: &[(&&str, std::time::Duration)]) {
    println!("== times");
    for (name, time) in times {
        println!("{name:>10} {:6.1} s", time.as_secs_f64());
    }
}
