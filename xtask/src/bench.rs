//! `cargo xtask bench`: the benchmark, with the peers that it is measured beside.

use crate::command;
use crate::command::{Failure, at_root};
use crate::install;

/// Installs the peers, builds us as released, runs the benchmark.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    install::for_bench()?;
    command::run(&mut at_root(
        "cargo",
        &["build", "--release", "--locked", "-q", "-p", "postroad"],
    ))?;
    // The benchmark starts the binary that lies beside it.
    command::run(
        at_root("cargo", &["run", "--release", "--locked", "-q", "-p", "bench", "--"])
            .args(arguments),
    )
}
